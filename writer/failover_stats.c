// SPDX-License-Identifier: Apache-2.0
/* Metrics of backups. */
#include "writer/failover.h"

#include "base/text/duration.h"

struct failover_family {
    const char *name;
    enum stats_kind kind;
    const char *help;
    double (*value)(const struct failover_status *s, int64_t now);
};

static double failover_active(const struct failover_status *s, int64_t now UNUSED) { return s->sends; }
static double failover_active_seconds(const struct failover_status *s, int64_t now)
{
    return s->sends && now > s->since ? (double)(now - s->since) / 1000 : 0;
}
static double failover_switches(const struct failover_status *s, int64_t now UNUSED) { return (double)s->switches; }
static double failover_n_windows(const struct failover_status *s, int64_t now UNUSED) { return s->windows; }
static double failover_window_seconds(const struct failover_status *s, int64_t now UNUSED)
{
    return (double)s->window_ms / 1000;
}

static const struct failover_family failover_families[] = {
    {"sluice_failover_active", STATS_GAUGE, "1 while the backup sends because its primary does not accept samples",
     failover_active},
    {"sluice_failover_active_seconds", STATS_GAUGE, "Time since the backup sends; 0 while it does not",
     failover_active_seconds},
    {"sluice_failover_switches_total", STATS_COUNTER, "How often the backup began to send", failover_switches},
    {"sluice_failover_windows", STATS_GAUGE, "Time windows of which the backup has samples", failover_n_windows},
    {"sluice_failover_window_seconds", STATS_GAUGE, "Length of these windows, together", failover_window_seconds},
};

struct failover_visit { struct stats_out *out; const struct failover_family *family; int64_t now; };

static void failover_write_value(struct destination *d, void *arg)
{
    const struct failover_visit *v = arg;
    struct failover_status s;
    if (d->failover == NULL)
        return;
    failover_status(d->failover, v->now, &s);
    const struct stats_label labels[] = {{"primary", str_of(s.primary)}, {"url", str_of(d->name)}};
    stats_value(v->out, v->family->name, labels, LEN(labels), v->family->value(&s, v->now));
}

void failover_collect(struct writer *w, struct stats_out *out)
{
    for (size_t i = 0; i < LEN(failover_families); i++) {
        const struct failover_family *f = &failover_families[i];
        stats_family(out, f->name, f->kind, f->help);
        writer_each_destination(w, failover_write_value, &(struct failover_visit){out, f, clock_wall_ms()});
    }
}
