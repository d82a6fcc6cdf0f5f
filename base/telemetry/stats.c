// SPDX-License-Identifier: Apache-2.0
/* Counters in per-thread slots, and the exposition of all metrics.
 *
 * A thread's slots are an array of doubles that only this thread writes: a relaxed load and store, no locked
 * instruction. The arrays are never freed: the counts of a thread that ended remain, and the next new thread
 * continues in its array.
 */
#include "base/telemetry/stats.h"

#include "base/lock_rank.h"
#include "base/text/num.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slots {
    _Atomic double v[STATS_SLOTS];
    struct slots *next;
    bool in_use; /* in use by a running thread */
};
struct collector { stats_collect_fn *fn; void *arg; };

static _Thread_local struct slots *own;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit; /* its destructor releases the array */

static pthread_mutex_t slots_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct slots *all_slots;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the fields below; held while rendering */
static unsigned n_slots = 1;                              /* slot 0 means "not registered" */
static struct stats_group *groups, **groups_end = &groups;
static struct stats_histogram *histograms, **histograms_end = &histograms;
static struct collector *collectors;
static size_t n_collectors, cap_collectors;

static void lock_registry(void)
{
    lock_rank_enter(RANK_STATS);
    pthread_mutex_lock(&mutex);
}

static void unlock_registry(void)
{
    lock_rank_leave(RANK_STATS);
    pthread_mutex_unlock(&mutex);
}

/* ---- slots ---- */

static void stats_release_slots(void *arg)
{
    struct slots *s = arg;
    pthread_mutex_lock(&slots_mutex);
    s->in_use = false;
    pthread_mutex_unlock(&slots_mutex);
}

static void make_key(void) { pthread_key_create(&at_exit, stats_release_slots); }

static void stats_claim_slots(void)
{
    pthread_once(&once, make_key);
    pthread_mutex_lock(&slots_mutex);
    struct slots *s = all_slots;
    while (s && s->in_use)
        s = s->next;
    if (s == NULL) {
        s = mem_zalloc(sizeof *s);
        s->next = all_slots;
        all_slots = s;
    }
    s->in_use = true;
    pthread_mutex_unlock(&slots_mutex);
    pthread_setspecific(at_exit, s);
    own = s;
}

static void stats_slot_add(unsigned slot, double v)
{
    if (own == NULL)
        stats_claim_slots();
    double before = atomic_load_explicit(&own->v[slot], memory_order_relaxed);
    atomic_store_explicit(&own->v[slot], before + v, memory_order_relaxed);
}

static double sum(unsigned slot)
{
    double total = 0;
    pthread_mutex_lock(&slots_mutex);
    for (struct slots *s = all_slots; s; s = s->next)
        total += atomic_load_explicit(&s->v[slot], memory_order_relaxed);
    pthread_mutex_unlock(&slots_mutex);
    return total;
}

static unsigned stats_reserve(unsigned n)
{
    if (n > STATS_SLOTS - n_slots) {
        fprintf(stderr, "sluice: more metrics than STATS_SLOTS (%d)\n", STATS_SLOTS);
        abort();
    }
    n_slots += n;
    return n_slots - n;
}

/* ---- groups and histograms ---- */

void stats_register(struct stats_group *g)
{
    lock_registry();
    if (g->_base == 0) {
        g->_base = stats_reserve(g->n);
        *groups_end = g;
        groups_end = &g->_next;
    }
    unlock_registry();
}

void stats_add(const struct stats_group *g, unsigned id, double v)
{
    if (g->_base != 0)
        stats_slot_add(g->_base + id, v);
}

double stats_sum(const struct stats_group *g, unsigned id) { return g->_base ? sum(g->_base + id) : 0; }

void stats_register_histogram(struct stats_histogram *h)
{
    lock_registry();
    if (h->_base == 0) {
        h->_base = stats_reserve(h->n_bounds + 2);
        *histograms_end = h;
        histograms_end = &h->_next;
    }
    unlock_registry();
}

void stats_observe(const struct stats_histogram *h, double v)
{
    if (h->_base == 0 || isnan(v))
        return;
    unsigned i = 0;
    while (i < h->n_bounds && v > h->bounds[i])
        i++;
    stats_slot_add(h->_base + i, 1);
    stats_slot_add(h->_base + h->n_bounds + 1, v);
}

/* ---- text ---- */

static void add_escaped(struct buf *out, struct str s, bool quote)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            buf_add_z(out, "\\\\");
        else if (s.p[i] == '\n')
            buf_add_z(out, "\\n");
        else if (s.p[i] == '"' && quote)
            buf_add_z(out, "\\\"");
        else
            buf_add_char(out, s.p[i]);
    }
}

static void write_metadata(struct stats_out *o, struct str name, enum stats_kind kind, const char *help)
{
    static const char *const kinds[] = {
        [STATS_COUNTER] = "counter", [STATS_GAUGE] = "gauge", [STATS_HISTOGRAM] = "histogram",
        [STATS_SUMMARY] = "summary"};
    if (!o->metadata)
        return;
    buf_printf(o->out, "# HELP %.*s ", STR_ARG(name));
    add_escaped(o->out, str_of(help), false);
    buf_printf(o->out, "\n# TYPE %.*s %s\n", STR_ARG(name), kinds[kind]);
}

void stats_family(struct stats_out *o, const char *name, enum stats_kind kind, const char *help)
{
    write_metadata(o, str_of(name), kind, help);
}

void stats_value(struct stats_out *o, const char *name, const struct stats_label *labels, unsigned n, double v)
{
    buf_add_z(o->out, name);
    for (unsigned i = 0; i < n; i++) {
        buf_printf(o->out, "%c%s=\"", i ? ',' : '{', labels[i].name);
        add_escaped(o->out, labels[i].value, true);
        buf_add_char(o->out, '"');
    }
    buf_add_z(o->out, n ? "} " : " ");
    buf_add_num(o->out, v);
    buf_add_char(o->out, '\n');
}

void stats_single(struct stats_out *o, const char *name, enum stats_kind kind, const char *help, double v)
{
    stats_family(o, name, kind, help);
    stats_value(o, name, NULL, 0, v);
}

static struct str family_of(const char *name) /* the name without its constant labels */
{
    struct str s = str_of(name);
    return str_first(s, str_find(s, '{'));
}

static bool has_family(const struct stats_group *g, struct str family)
{
    for (unsigned i = 0; i < g->n; i++)
        if (str_eq(family_of(g->rows[i].name), family))
            return true;
    return false;
}

static bool stats_precedes(const struct stats_group *g, struct str family)
{
    for (const struct stats_group *before = groups; before != g; before = before->_next)
        if (has_family(before, family))
            return true;
    return false;
}

static void write_rows(struct stats_out *o, const struct stats_group *g, struct str family)
{
    for (unsigned i = 0; i < g->n; i++)
        if (str_eq(family_of(g->rows[i].name), family))
            stats_value(o, g->rows[i].name, NULL, 0, sum(g->_base + i));
}

/* A family shared by several groups is written completely at its first occurrence. */
static void write_group(struct stats_out *o, const struct stats_group *g)
{
    struct str last = STR_NONE;
    for (unsigned i = 0; i < g->n; i++) {
        const struct stats_row *r = &g->rows[i];
        struct str family = family_of(r->name);
        bool begins = !str_eq(family, last) && !stats_precedes(g, family);
        last = family;
        if (!begins)
            continue;
        write_metadata(o, family, r->kind, r->help);
        for (const struct stats_group *part = g; part; part = part->_next)
            write_rows(o, part, family);
    }
}

static void write_histogram(struct stats_out *o, const struct stats_histogram *h)
{
    stats_family(o, h->name, STATS_HISTOGRAM, h->help);
    double count = 0;
    for (unsigned i = 0; i <= h->n_bounds; i++) {
        char le[NUM_MAX];
        struct str bound = i < h->n_bounds ? str_n(le, num_format_go(le, h->bounds[i])) : STR("+Inf");
        count += sum(h->_base + i);
        buf_printf(o->out, "%s_bucket{le=\"%.*s\"} ", h->name, STR_ARG(bound));
        buf_add_num(o->out, count);
        buf_add_char(o->out, '\n');
    }
    buf_printf(o->out, "%s_sum ", h->name);
    buf_add_num(o->out, sum(h->_base + h->n_bounds + 1));
    buf_printf(o->out, "\n%s_count ", h->name);
    buf_add_num(o->out, count);
    buf_add_char(o->out, '\n');
}

/* ---- collectors ---- */

void stats_collector(stats_collect_fn *fn, void *arg)
{
    lock_registry();
    mem_grow(&collectors, &cap_collectors, n_collectors + 1, sizeof *collectors);
    collectors[n_collectors++] = (struct collector){fn, arg};
    unlock_registry();
}

void stats_collector_remove(stats_collect_fn *fn, void *arg)
{
    lock_registry();
    for (size_t i = 0; i < n_collectors; i++)
        if (collectors[i].fn == fn && collectors[i].arg == arg) {
            memmove(&collectors[i], &collectors[i + 1], (n_collectors - i - 1) * sizeof *collectors);
            n_collectors--;
            break;
        }
    unlock_registry();
}

void stats_render(struct buf *out, bool metadata)
{
    struct stats_out o = {.out = out, .metadata = metadata};
    lock_registry();
    for (const struct stats_group *g = groups; g; g = g->_next)
        write_group(&o, g);
    for (const struct stats_histogram *h = histograms; h; h = h->_next)
        write_histogram(&o, h);
    for (size_t i = 0; i < n_collectors; i++)
        collectors[i].fn(&o, collectors[i].arg);
    unlock_registry();
}
