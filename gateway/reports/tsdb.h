// SPDX-License-Identifier: Apache-2.0
/* The size of all storages: series, label pairs, and the metrics and labels that have most of them. Of the servers of a
 * group, which are replicas, the largest number counts, and so does that of the recent store if it has the samples of
 * the group (written_by); groups are added up. Servers report their largest entries only, so that sums over groups may
 * lack small ones. Labels of groups are not counted.
 */
#ifndef GATEWAY_REPORTS_TSDB_H
#define GATEWAY_REPORTS_TSDB_H

#include "gateway/reports/report.h"
#include "model/query_work.h"

enum tsdb_list {
    TSDB_SERIES_BY_METRIC, TSDB_VALUES_BY_LABEL, TSDB_BYTES_BY_LABEL, TSDB_SERIES_BY_PAIR, TSDB_LISTS
};
struct tsdb_status {
    double series, label_pairs, chunks;
    bool timed; int64_t oldest, newest;   /* Unix ms; timed false: there are no samples */
    struct map *lists[TSDB_LISTS];        /* name -> number */
};
/* source: the upstream, whose recent store is counted, too. False: the query must end. */
bool tsdb_status_merge(const struct report_set *set, struct source *source, struct tsdb_status *out,
                       struct query_work *work, struct err *err) MUST_USE;
/* Writes the data of /api/v1/status/tsdb with at most `limit` entries a list. False: the query must end. */
bool tsdb_status_write(struct json_writer *w, const struct tsdb_status *s, size_t limit, struct query_work *work,
                       struct arena *a, struct err *err) MUST_USE;

#endif
