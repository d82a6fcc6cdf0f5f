// SPDX-License-Identifier: Apache-2.0
/* What the formats of Datadog share: names of metrics and tags. */
#ifndef GATEWAY_INGEST_DATADOG_H
#define GATEWAY_INGEST_DATADOG_H

#include "gateway/ingest/ingest_format.h"

enum { DATADOG_PART = 256 /* samples, fields or labels of an item at most */ };

/* The name as Datadog stores it, in in->scratch: letters, digits, dots and single underscores, none beside a dot. As it is
 * without -datadog.sanitizeMetricName. */
struct str datadog_name(struct ingest *in, struct str name);
/* Sets the label of a tag `name:value`, or `no_label_value` if it has none. A tag that occurs again replaces the earlier
 * one, and one without a name is ignored. host: name that a tag `host` gets. */
bool datadog_tag(struct ingest *in, struct str tag, const char *host, struct err *err) MUST_USE;
bool datadog_label(struct ingest *in, struct str name, struct str value, struct err *err) MUST_USE;

#endif
