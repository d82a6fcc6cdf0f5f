// SPDX-License-Identifier: Apache-2.0
/* The set of a period is a list of filters: when one has as many series as it was made for, the next one has four times the
 * bits. A series is known if any filter has it, and new ones go to the last.
 *
 * A filter is blocked: a hash chooses a cache line, and bits within it.
 */
#include "writer/pipeline/limits.h"

#include "base/refs.h"
#include "base/telemetry/log.h"
#include "base/telemetry/stats.h"

#define LIMIT_STATS(X) \
    X(LIMIT_LABELS, "vm_rows_ignored_total{reason=\"too_many_labels\"}", STATS_COUNTER,                                \
      "Series dropped because of their labels, at each time they arrive: more than max_labels, names or values longer than "   \
      "max_label_name_length and max_label_value_length")                                                                      \
    X(LIMIT_NAME, "vm_rows_ignored_total{reason=\"too_long_label_name\"}", STATS_COUNTER, NULL)                       \
    X(LIMIT_VALUE, "vm_rows_ignored_total{reason=\"too_long_label_value\"}", STATS_COUNTER, NULL)                     \
    X(LIMIT_HOURLY, "vmagent_hourly_series_limit_rows_dropped_total", STATS_COUNTER,                                   \
      "Samples dropped because max_hourly_series was reached")                                                         \
    X(LIMIT_DAILY, "vmagent_daily_series_limit_rows_dropped_total", STATS_COUNTER,                                     \
      "Samples dropped because max_daily_series was reached")
enum limit_stat { LIMIT_STATS(STATS_ID) };
struct stats_group limit_stats = STATS_GROUP(LIMIT_STATS);

/* ---- labels ------------------------------------------------------------------------------------------------------ */

struct label_limit_stage { struct stage stage; struct label_limits limits; };

enum { LIMIT_LOG_LABELS = 512, LIMIT_LOG_MS = 1000 };
struct limit_lane { struct stage_lane lane; int64_t next_log; /* loop_mono */ };

/* Labels are printed once a second at most: a client may send nothing but series that exceed a limit. */
static void limit_log(struct stage_lane *lane, const char *key, uint64_t limit, struct labels labels)
{
    struct limit_lane *l = (struct limit_lane *)lane;
    struct buf text = {0};
    int64_t now = loop_mono(lane->loop);
    if (now < l->next_log)
        return;
    l->next_log = now + LIMIT_LOG_MS;
    labels_print(&text, labels);
    log_warn("pipeline", "series exceeds a limit; dropped", "limit", key, LOG_U64("value", limit),
             LOG_STR("series", str_first(buf_str(&text), LIMIT_LOG_LABELS)));
    buf_free(&text);
}

static enum stage_result limit_drop(struct stage_lane *lane, enum limit_stat stat, const char *key, uint64_t limit,
                                    struct labels labels)
{
    stats_add(&limit_stats, stat, 1);
    limit_log(lane, key, limit, labels);
    return STAGE_DROPPED;
}

static enum stage_result label_limit_apply(struct stage_lane *lane, struct pipeline_series *s)
{
    const struct label_limits *l = &((const struct label_limit_stage *)lane->stage)->limits;
    struct labels labels = s->in.labels;
    if (l->labels > 0 && labels.count > l->labels)
        return limit_drop(lane, LIMIT_LABELS, "max_labels", l->labels, labels);
    bool names = l->name_length > 0 && labels.n > l->name_length, values = l->value_length > 0 && labels.n > l->value_length;
    struct labels_iter it = labels_iter(labels);
    struct label label;
    while ((names || values) && labels_next(&it, &label)) {
        if (names && label.name.n > l->name_length)
            return limit_drop(lane, LIMIT_NAME, "max_label_name_length", l->name_length, labels);
        if (values && label.value.n > l->value_length)
            return limit_drop(lane, LIMIT_VALUE, "max_label_value_length", l->value_length, labels);
    }
    return STAGE_PASSED;
}

static void limit_stage_free(struct stage *s) { mem_free(s); }
static void limit_lane_init(struct stage_lane *lane UNUSED) {}

static const struct stage_ops label_limit_ops = {.lane_size = sizeof(struct limit_lane), .free = limit_stage_free,
                                                 .lane_init = limit_lane_init, .apply = label_limit_apply};

struct stage *label_limits_new(const struct label_limits *limits)
{
    struct label_limit_stage *s = mem_zalloc(sizeof *s);
    s->limits = *limits;
    s->stage = (struct stage){&label_limit_ops, STAGE_LABEL_LIMITS,
                              stage_identity(STAGE_LABEL_LIMITS, hash_bytes(limits, sizeof *limits)), 0};
    return &s->stage;
}

/* ---- sets of series ---------------------------------------------------------------------------------------------- */

enum { LINE_WORDS = 8, LINE_BITS = 512, FILTER_FIRST = 16384, FILTER_GROWTH = 4, FILTERS = 12, BITS_PER_SERIES = 16, FILTER_PROBES = 6 };

struct series_filter { uint64_t lines, most; atomic_ullong n; _Atomic uint64_t words[]; };
struct series_set { _Atomic(struct series_filter *) filters[FILTERS]; atomic_ullong n; };

static struct series_filter *series_filter_new(uint64_t most)
{
    uint64_t lines = most * BITS_PER_SERIES / LINE_BITS;
    struct series_filter *f = mem_zalloc(sizeof *f + lines * LINE_WORDS * sizeof *f->words);
    f->lines = lines;
    f->most = most;
    return f;
}

static void series_set_free(struct series_set *s)
{
    for (int i = 0; s && i < FILTERS; i++)
        mem_free(atomic_load(&s->filters[i]));
    mem_free(s);
}

static _Atomic uint64_t *series_filter_line(struct series_filter *f, uint64_t hash)
{
    return &f->words[(uint64_t)((unsigned __int128)hash * f->lines >> 64) * LINE_WORDS];
}

static uint64_t series_mix(uint64_t x) /* the upper bits have chosen the line */
{
    x ^= x >> 31;
    x *= 0x9E3779B97F4A7C15;
    return x ^ x >> 29;
}

static bool series_filter_has(struct series_filter *f, uint64_t hash)
{
    _Atomic uint64_t *line = series_filter_line(f, hash);
    uint64_t bits = series_mix(hash);
    for (int i = 0; i < FILTER_PROBES; i++, bits >>= 9)
        if ((atomic_load_explicit(&line[bits >> 6 & 7], memory_order_relaxed) >> (bits & 63) & 1) == 0)
            return false;
    return true;
}

static void series_filter_add(struct series_filter *f, uint64_t hash)
{
    _Atomic uint64_t *line = series_filter_line(f, hash);
    uint64_t bits = series_mix(hash);
    for (int i = 0; i < FILTER_PROBES; i++, bits >>= 9)
        atomic_fetch_or_explicit(&line[bits >> 6 & 7], UINT64_C(1) << (bits & 63), memory_order_relaxed);
    atomic_fetch_add_explicit(&f->n, 1, memory_order_relaxed);
}

/* The filter that new series go to. */
static struct series_filter *series_set_last(struct series_set *s)
{
    uint64_t most = FILTER_FIRST;
    for (int i = 0; i < FILTERS; i++, most *= FILTER_GROWTH) {
        struct series_filter *f = atomic_load_explicit(&s->filters[i], memory_order_acquire);
        if (f == NULL) {
            struct series_filter *fresh = series_filter_new(most);
            if (atomic_compare_exchange_strong(&s->filters[i], &f, fresh))
                f = fresh;
            else
                mem_free(fresh);
        }
        if (atomic_load_explicit(&f->n, memory_order_relaxed) < f->most || i == FILTERS - 1)
            return f;
    }
    return NULL;
}

/* False: the series is new, and there are `most` already. */
static bool series_set_admit(struct series_set *s, uint64_t hash, uint64_t most)
{
    for (int i = 0; i < FILTERS; i++) {
        struct series_filter *f = atomic_load_explicit(&s->filters[i], memory_order_acquire);
        if (f == NULL)
            break;
        if (series_filter_has(f, hash))
            return true;
    }
    if (atomic_fetch_add_explicit(&s->n, 1, memory_order_relaxed) >= most) {
        atomic_fetch_sub_explicit(&s->n, 1, memory_order_relaxed);
        return false;
    }
    series_filter_add(series_set_last(s), hash);
    return true;
}

/* ---- periods ----------------------------------------------------------------------------------------------------- */

struct series_limit_period {
    int64_t length, max; /* ms; as configured */
    _Atomic(struct series_set *) set;
    struct series_set *last; /* of the period before: lanes may still read it in the turn in which it is replaced */
    atomic_llong ends;       /* loop_mono ms; 0: not begun */
};
struct series_limits { struct refs refs; struct series_limit_period periods[SERIES_PERIODS]; };
struct series_limit_stage { struct stage stage; struct series_limits *limits; };

static uint64_t series_limit_most(const struct series_limit_period *p) { return p->max < 0 ? INT32_MAX : (uint64_t)p->max; }

static const struct { const char *key; enum limit_stat stat; int64_t length; } series_periods[SERIES_PERIODS] = {
    [SERIES_HOURLY] = {"max_hourly_series", LIMIT_HOURLY, 3600000}, [SERIES_DAILY] = {"max_daily_series", LIMIT_DAILY, 86400000}};

static void series_period_renew(struct series_limit_period *p, int64_t now)
{
    long long ends = atomic_load_explicit(&p->ends, memory_order_relaxed);
    if (ends > now || !atomic_compare_exchange_strong(&p->ends, &ends, now + p->length) || ends == 0)
        return;
    struct series_set *before = atomic_exchange(&p->set, mem_zalloc(sizeof(struct series_set)));
    series_set_free(p->last);
    p->last = before;
}

static enum stage_result series_limit_apply(struct stage_lane *lane, struct pipeline_series *s)
{
    struct series_limits *l = ((const struct series_limit_stage *)lane->stage)->limits;
    for (int i = 0; i < SERIES_PERIODS; i++) {
        struct series_limit_period *p = &l->periods[i];
        if (p->max == 0)
            continue;
        struct series_set *set = atomic_load_explicit(&p->set, memory_order_acquire);
        if (!series_set_admit(set, pipeline_series_hash(s), series_limit_most(p))) {
            stats_add(&limit_stats, series_periods[i].stat, (double)(s->in.n_samples + s->in.n_hists));
            limit_log(lane, series_periods[i].key, series_limit_most(p), s->in.labels);
            return STAGE_DROPPED;
        }
    }
    return STAGE_PASSED;
}

static void series_limit_commit(struct stage_lane *lane)
{
    struct series_limits *l = ((const struct series_limit_stage *)lane->stage)->limits;
    for (int i = 0; i < SERIES_PERIODS; i++)
        if (l->periods[i].max != 0)
            series_period_renew(&l->periods[i], loop_mono(lane->loop));
}

void series_limits_unref(struct series_limits *l)
{
    if (l == NULL || !refs_drop(&l->refs))
        return;
    for (int i = 0; i < SERIES_PERIODS; i++) {
        series_set_free(atomic_load(&l->periods[i].set));
        series_set_free(l->periods[i].last);
    }
    mem_free(l);
}

static void series_limit_stage_free(struct stage *s)
{
    series_limits_unref(((struct series_limit_stage *)s)->limits);
    mem_free(s);
}

static void series_limit_stage_adopt(struct stage *s, const struct stage *old)
{
    struct series_limit_stage *to = (struct series_limit_stage *)s;
    series_limits_unref(to->limits);
    to->limits = ((const struct series_limit_stage *)old)->limits;
    refs_take(&to->limits->refs);
}

static const struct stage_ops series_limit_ops = {
    .lane_size = sizeof(struct limit_lane), .free = series_limit_stage_free, .adopt = series_limit_stage_adopt,
    .lane_init = limit_lane_init, .apply = series_limit_apply, .commit = series_limit_commit};

struct stage *series_limits_new(const int64_t max[SERIES_PERIODS])
{
    struct series_limit_stage *s = mem_zalloc(sizeof *s);
    s->limits = mem_zalloc(sizeof *s->limits);
    refs_init(&s->limits->refs);
    for (int i = 0; i < SERIES_PERIODS; i++) {
        struct series_limit_period *p = &s->limits->periods[i];
        p->length = series_periods[i].length;
        p->max = max[i];
        atomic_init(&p->set, mem_zalloc(sizeof(struct series_set)));
    }
    s->stage = (struct stage){&series_limit_ops, STAGE_SERIES_LIMITS,
                              stage_identity(STAGE_SERIES_LIMITS, hash_bytes(max, SERIES_PERIODS * sizeof *max)), 0};
    return &s->stage;
}

struct series_limits *series_limits_of(const struct stage *s)
{
    if (s->kind != STAGE_SERIES_LIMITS)
        return NULL;
    struct series_limits *l = ((const struct series_limit_stage *)s)->limits;
    refs_take(&l->refs);
    return l;
}

bool series_limits_read(struct series_limits *l, enum series_period period, uint64_t *max, uint64_t *current)
{
    struct series_limit_period *p = &l->periods[period];
    *max = series_limit_most(p);
    *current = p->max == 0 ? 0 : atomic_load(&atomic_load(&p->set)->n);
    return p->max != 0;
}
