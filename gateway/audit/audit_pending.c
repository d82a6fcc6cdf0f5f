// SPDX-License-Identifier: Apache-2.0
#include "gateway/audit/audit_pending.h"

#include "base/text/duration.h"
#include "base/text/url.h"

enum {
    PENDING_MS = 2000,       /* blocks that are pending for longer are behind, the others are being delivered */
    PENDING_LEAD_MS = 60000  /* samples may be older than their block */
};

static bool audit_same_host(struct str one, struct str other)
{
    struct url a, b;
    return url_parse(one, &a, NULL) && url_parse(other, &b, NULL) && str_ieq(a.host, b.host) && str_eq(a.port, b.port);
}

/* The only destination that fills the group, or the one with the server's address. */
static const struct destination_conf *audit_destination(const struct group *g, const struct audit_writer *w,
                                                        const struct server *s)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < g->written_by.n; k++)
            if (str_eq(w->destinations[i].name, g->written_by.items[k]) &&
                (g->written_by.n == 1 || audit_same_host(w->destinations[i].url, s->sent_url)))
                return &w->destinations[i];
    return NULL;
}

static bool audit_may_fill(const struct group *g, const struct destination_conf *by, struct str name)
{
    if (by)
        return str_eq(by->name, name);
    for (size_t k = 0; k < g->written_by.n; k++)
        if (str_eq(g->written_by.items[k], name))
            return true;
    return false;
}

struct audit_fill *audit_fills(struct arena *a, const struct group *g, const struct audit_writer *w)
{
    struct audit_fill *fills = ARENA_ARRAY(a, struct audit_fill, g->n_servers);
    struct destination_status *all;
    size_t n;
    int64_t now = clock_wall_ms();
    writer_status(w->writer, a, &all, &n);
    for (size_t i = 0; i < g->n_servers; i++) {
        fills[i] = (struct audit_fill){audit_destination(g, w, g->servers[i]), INT64_MAX};
        for (size_t k = 0; k < n; k++) {
            int64_t since = now - all[k].oldest_ms - PENDING_LEAD_MS;
            if (audit_may_fill(g, fills[i].by, all[k].name) && all[k].oldest_ms > PENDING_MS && since < fills[i].pending_since)
                fills[i].pending_since = since;
        }
    }
    return fills;
}
