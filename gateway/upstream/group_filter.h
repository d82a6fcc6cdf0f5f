// SPDX-License-Identifier: Apache-2.0
/* label_filter: which queries a group need not be sent, because none of the values that its labels are known to have
 * matches. It saves requests and hides nothing: a selector is excluded only if for some filtered label every value that
 * the group may have fails its matchers, and the label cannot be absent either.
 *
 * Values of a dynamic label are read from all servers in the background (gateway/background/filter_sync.h). Until all
 * of them have responded once, the label excludes nothing. Values of a listed label are those of the configuration.
 * Excluded values count as absent; a label of which only excluded values are known may have all others.
 *
 * Threads: group_filter_admits any; the rest on one thread at a time. A mutex guards the values that were read.
 */
#ifndef GATEWAY_UPSTREAM_GROUP_FILTER_H
#define GATEWAY_UPSTREAM_GROUP_FILTER_H

#include "base/conf/conf.h"
#include "model/matcher.h"

struct label_filter_conf {
    struct str_list dynamic_labels;
    int64_t sync_interval;           /* ms; 0: the values are read once */
    struct multimap include, exclude;
};
extern const struct conf_section label_filter_section;

/* A label with more values is not filtered. */
enum { FILTER_VALUES = 100000, FILTER_RETRY_MS = 10000 };

struct group_filter;
struct group_filter *group_filter_new(const struct label_filter_conf *conf); /* NULL: filters nothing */
void group_filter_free(struct group_filter *f);
/* Whether series with these labels, as the group shows them, may exist. read: values that were read apply. */
bool group_filter_admits(struct group_filter *f, const struct matcher *m, size_t n, bool read);

/* The i-th dynamic label; {NULL, 0} after the last. */
struct str group_filter_dynamic(const struct group_filter *f, size_t i);
bool group_filter_due(const struct group_filter *f, int64_t now_mono);
/* All values of a dynamic label, which are copied. complete: of all servers; otherwise values known before remain. */
void group_filter_set(struct group_filter *f, struct str name, const struct str *values, size_t n, bool complete);
void group_filter_synced(struct group_filter *f, int64_t now_mono, bool complete); /* decides when it is due again */

#endif
