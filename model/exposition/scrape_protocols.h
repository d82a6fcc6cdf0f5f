// SPDX-License-Identifier: Apache-2.0
/* Exposition formats that a job requests (scrape_protocols), and the one that a response has by its Content-Type. Names
 * and header are those of Prometheus. Pure; any thread. */
#ifndef MODEL_SCRAPE_PROTOCOLS_H
#define MODEL_SCRAPE_PROTOCOLS_H

#include "base/conf/conf.h"
#include "model/exposition/exposition.h"

enum escaping { ESCAPING_ALLOW_UTF8, ESCAPING_UNDERSCORES, ESCAPING_DOTS, ESCAPING_VALUES };
extern const char *const escaping_names[];

/* Valid names of a job: all, or those of Prometheus 2 (label_name_legacy, metric_name_legacy). */
enum name_scheme { NAMES_UTF8, NAMES_LEGACY };
extern const char *const name_scheme_names[];

/* What Prometheus requests by default, and with native histograms. */
extern const struct str_list protocols_of_prometheus, protocols_with_histograms;

/* False: an unknown or repeated name. `key` begins the message. */
bool protocols_check(const struct yaml *node, const char *key, const struct str_list *list, struct err *err) MUST_USE;
/* The Accept header with its name; an empty list requests Prometheus' text format. */
char *protocols_accept(struct arena *a, const struct str_list *list, enum escaping escaping);
enum scrape_format { SCRAPE_TEXT, SCRAPE_OPENMETRICS, SCRAPE_PROTOBUF };
static inline enum exposition_format scrape_text_format(enum scrape_format f)
{
    return f == SCRAPE_OPENMETRICS ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT;
}
/* The format of a response; fallback: the protocol of one whose type is missing or unknown, empty: the text format. */
enum scrape_format protocols_format(struct str content_type, struct str fallback);

#endif
