// SPDX-License-Identifier: Apache-2.0
/* Metadata of a metric family: type, help and unit, as in the TYPE, HELP and UNIT lines of an exposition and in
 * remote write's MetricMetadata. Strings are borrowed. Pure; any thread. */
#ifndef MODEL_METADATA_H
#define MODEL_METADATA_H

#include "base/str.h"

enum metric_type {
    METRIC_UNKNOWN, METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_GAUGEHISTOGRAM, METRIC_SUMMARY, METRIC_INFO,
    METRIC_STATESET
};
struct metadata { struct str family, help, unit; enum metric_type type; };
const char *metric_type_name(enum metric_type t);               /* "counter"; "unknown" */
enum metric_type metric_type_parse(struct str s);               /* untyped and anything else: unknown */

#endif
