// SPDX-License-Identifier: Apache-2.0
/* Reports of servers: the state that each server of the groups reports (its rules, alerts, targets, Alertmanagers,
 * the size of its TSDB), which sluice merges into one response.
 *
 * All servers are queried concurrently, regardless of the read mode, since each replica has its own state. A server
 * that fails does not make the request fail: an info names it if another one of its group responded, otherwise a
 * warning does. A server without such an endpoint (404; VictoriaMetrics: 400) has nothing to report, and no warning.
 *
 * Files: report.c (requests), rules.c, alerts.c, targets.c, tsdb.c: one merged response each. Labels of a group are
 * added to those that its servers report, as they are to series.
 *
 * On a query worker; everything is in the query's arena.
 */
#ifndef GATEWAY_REPORTS_REPORT_H
#define GATEWAY_REPORTS_REPORT_H

#include "base/json/json_value.h"
#include "base/map.h"
#include "gateway/upstream/group.h"
#include "model/source.h"

enum { REPORT_TIMEOUT_MS = 5000 /* maximum time for these requests: one hung server must not delay a page for long */ };

struct report { /* of one server */
    const struct group *group;
    const struct server *server;
    const struct json_value *data; /* never NULL */
};
struct report_set { struct report *items; size_t n; struct query_ctx *q; }; /* in the order of the configuration */

struct report_question {
    const char *path;              /* "/api/v1/rules" */
    /* Appends the parameters for the servers of a group; false: the group has nothing to report. NULL: no parameters. */
    bool (*form)(void *arg, const struct group *g, struct buf *form);
    void *arg;
};
/* Fills `out`; false: the query must end. */
bool reports_fetch(struct source *source, struct query_ctx *q, const struct report_question *what,
                   struct report_set *out, struct err *err) MUST_USE;

/* Labels in a report, without and with those of the group (either may be NULL). False, with a warning: they are
 * invalid, and the item is to be skipped. */
bool report_labels(const struct report_set *set, const struct report *r, const struct json_value *object,
                   struct labels *own, struct labels *all) MUST_USE;

/* A map that is freed with the arena. */
struct map *report_map(struct arena *a);
/* A key for maps: texts of any bytes, and the server group (NULL: none). */
struct str report_key(struct arena *a, const struct group *g, const struct str *parts, size_t n);
static inline struct str report_labels_text(struct labels l) { return str_n(l.p, l.n); }

/* The servers that reported an item: "serverGroup":"eu","servers":["http://a:9090"]. */
struct report_servers { const struct report **items; size_t n, cap; };
/* Unless it was the last one that was added: a server may report an item several times. */
void report_servers_add(struct arena *a, struct report_servers *s, const struct report *r);
void report_servers_write(struct json_writer *w, const struct report_servers *s);
/* Whether a member that a server sent has the name of one of those: it is replaced. */
bool report_servers_key(struct str key);

#endif
