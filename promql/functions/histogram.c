// SPDX-License-Identifier: Apache-2.0
/* histogram_count ... histogram_stdvar of native histograms; histogram_quantile, histogram_quantiles and
 * histogram_fraction of native and classic ones. */
#include "promql/functions/classic.h"

#include "base/text/num.h"

#include <time.h>

/* --- statistics of native histograms ------------------------------------------------------------------------------ */

typedef double histogram_fn(const struct histogram *h);

static void map_histograms(struct eval *ev, const struct call *c, struct value *out, histogram_fn *fn)
{
    static const struct str name = {METRIC_NAME, sizeof METRIC_NAME - 1};
    fn_reuse_rows(out, &c->args[0]);
    for (size_t r = 0; r < out->n; r++) {
        struct row *row = &out->rows[r];
        eval_charge(ev, CHARGE_LABELS + 8 * (uint64_t)ev->grid.n);
        for (uint32_t i = 0; i < ev->grid.n; i++) {
            const struct histogram *h = row_hist(row, i);
            row->v[i] = h ? fn(h) : absent_value();
        }
        row->h = NULL;
        row->drop_name = true;
        if (!ev->delayed_names) /* type and unit are kept */
            row->labels = labels_drop(ev->arena, row->labels, &name, 1);
    }
}

static double quantile_count_of(const struct histogram *h) { return h->count; }
static double sum_of(const struct histogram *h) { return h->sum; }

#define PER_HISTOGRAM(name, function) \
    static void name##_rows(struct eval *ev, const struct call *c, struct value *out) \
    { \
        map_histograms(ev, c, out, function); \
    } \
    const struct function_impl fn_histogram_##name = {.rows = name##_rows}
PER_HISTOGRAM(count, quantile_count_of);
PER_HISTOGRAM(sum, sum_of);
PER_HISTOGRAM(avg, histogram_avg);
PER_HISTOGRAM(stddev, histogram_stddev);
PER_HISTOGRAM(stdvar, histogram_stdvar);

/* --- quantiles and fractions -------------------------------------------------------------------------------------- */

/* Classic histograms of one name whose counts had to be raised, in all calls of the query: reported by one annotation
 * at the position of the first. */
struct forced {
    const char *of;  /* suffix " for metric name ...", see eval_for_metric */
    const struct expr *at;
    struct classic_fix fix;
    int64_t first, last;
    uint64_t n;
    struct forced *next;
};

struct estimate {
    struct eval *ev;
    const struct expr *at;          /* the vector argument, for annotations */
    struct classic_set set;
    struct classic_bucket *buckets; /* capacity for the largest classic histogram */
    double (*native)(struct estimate *e, uint32_t i, const struct histogram *h, unsigned *flags);
    double (*classic)(struct estimate *e, uint32_t i, struct labels labels, size_t n);
    const double *q, *lower, *upper; /* per step */
    uint64_t only;                   /* histogram_quantiles: only steps whose q has these bits */
    bool chosen;                     /* whether `only` is set */
    struct str label, label_value;   /* histogram_quantiles: an additional label */
};

static void remember_forced(struct estimate *e, uint32_t i, struct labels labels, const struct classic_fix *fix)
{
    const char *of = eval_for_metric(e->ev, labels);
    struct forced *f = e->ev->forced;
    int64_t t = grid_time(&e->ev->grid, i);
    while (f && strcmp(f->of, of) != 0)
        f = f->next;
    if (f == NULL) {
        f = ARENA_NEW(e->ev->arena, struct forced);
        *f = (struct forced){.of = of, .at = e->at, .fix = *fix, .first = t, .last = t, .next = e->ev->forced};
        e->ev->forced = f;
    }
    f->n++;
    f->first = t < f->first ? t : f->first;
    f->last = t > f->last ? t : f->last;
    f->fix.min_upper = fmin(f->fix.min_upper, fix->min_upper);
    f->fix.max_upper = fmax(f->fix.max_upper, fix->max_upper);
    f->fix.max_diff = fmax(f->fix.max_diff, fix->max_diff);
}

static const char *rfc3339(struct eval *ev, int64_t ms)
{
    time_t seconds = ms / 1000;
    struct tm tm;
    char text[64];
    size_t n = gmtime_r(&seconds, &tm) ? strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) : 0;
    return arena_z(ev->arena, str_n(text, n));
}

static const char *short_number(struct eval *ev, double v)
{
    return isinf(v) ? eval_number_text(ev, v) : arena_printf(ev->arena, "%.2g%c", v, 0).p;
}

static void annotate_forced_monotonic(struct eval *ev)
{
    static const char until[] = ", from buckets ";
    static const char format[] =
        "input to histogram_quantile needed to be fixed for monotonicity "
        "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)%s%s%s to %s, "
        "with a max diff of %s, over %llu samples from %s to %s";
    for (const struct forced *f = ev->forced; f; f = f->next)
        eval_info_replace(ev, f->at, until, format, f->of, until, eval_number_text(ev, f->fix.min_upper),
                          eval_number_text(ev, f->fix.max_upper), short_number(ev, f->fix.max_diff),
                          (unsigned long long)f->n, rfc3339(ev, f->first), rfc3339(ev, f->last));
}

static double native_quantile(struct estimate *e, uint32_t i, const struct histogram *h, unsigned *flags)
{
    return histogram_quantile(h, e->q[i], flags);
}

static double native_fraction(struct estimate *e, uint32_t i, const struct histogram *h, unsigned *flags)
{
    return histogram_fraction(h, e->lower[i], e->upper[i], flags);
}

static double classic_quantile_at(struct estimate *e, uint32_t i, struct labels labels, size_t n)
{
    struct classic_fix fix;
    double v = classic_quantile(e->buckets, n, e->q[i], &fix);
    if (fix.forced)
        remember_forced(e, i, labels, &fix);
    return v;
}

static double classic_fraction_at(struct estimate *e, uint32_t i, struct labels labels, size_t n)
{
    (void)labels;
    return classic_fraction(e->buckets, n, e->lower[i], e->upper[i]);
}

static struct row *quantile_add_row(struct estimate *e, struct value *out, struct labels labels)
{
    struct row *row = value_add_row(e->ev, out, labels);
    row_drop_name(e->ev, row);
    if (e->label.n > 0)
        row->labels = labels_with(e->ev->arena, row->labels, e->label, e->label_value);
    return row;
}

static bool step_counts(const struct estimate *e, uint32_t i)
{
    return !e->chosen || double_bits(e->q[i]) == e->only;
}

static void annotate_nan_bounds(const struct estimate *e, unsigned flags, struct labels labels)
{
    const char *of = flags ? eval_for_metric(e->ev, labels) : "";
    if (flags & HISTOGRAM_NAN_RESULT)
        eval_info(e->ev, e->at, "input to histogram_quantile has NaN observations, result is NaN%s", of);
    if ((flags & HISTOGRAM_NAN_SKEW) && e->native == native_quantile)
        eval_info(e->ev, e->at, "input to histogram_quantile has NaN observations, result is skewed higher%s", of);
    if ((flags & HISTOGRAM_NAN_SKEW) && e->native == native_fraction)
        eval_info(e->ev, e->at,
                  "input to histogram_fraction has NaN observations, which are excluded from all fractions%s", of);
}

static void estimate_native(struct estimate *e, size_t which, struct value *out)
{
    const struct row *in = e->set.natives[which];
    const struct classic *rival = e->set.rivals[which];
    struct row *row = quantile_add_row(e, out, in->labels);
    unsigned flags = 0;
    bool conflict = false;
    for (uint32_t i = 0; i < e->ev->grid.n; i++) {
        if (row_hist(in, i) == NULL || !step_counts(e, i))
            continue;
        eval_charge(e->ev, CHARGE_HISTOGRAM);
        if (rival && classic_any(rival, i))
            conflict = true;
        else
            row_set(row, i, e->native(e, i, in->h[i], &flags));
    }
    if (conflict)
        eval_warn(e->ev, e->at, "vector contains a mix of classic and native histograms%s",
                  eval_for_metric(e->ev, in->labels));
    annotate_nan_bounds(e, flags, in->labels);
}

static void estimate_classic(struct estimate *e, const struct classic *c, struct value *out)
{
    struct row *row = quantile_add_row(e, out, c->labels);
    for (uint32_t i = 0; i < e->ev->grid.n; i++) {
        if (!step_counts(e, i) || (c->native && row_hist(c->native, i)))
            continue;
        eval_charge(e->ev, 8 * c->n);
        size_t n = classic_step(c, i, e->buckets);
        if (n > 0)
            row_set(row, i, e->classic(e, i, c->labels, n));
    }
}

static void estimate_prepare(struct estimate *e, const struct value *in)
{
    size_t most = 0;
    classic_split(e->ev, e->at, in, &e->set);
    for (size_t i = 0; i < e->set.n; i++)
        most = e->set.items[i].n > most ? e->set.items[i].n : most;
    e->buckets = ARENA_ARRAY(e->ev->arena, struct classic_bucket, most);
}

static void estimate_all(struct estimate *e, struct value *out)
{
    for (size_t i = 0; i < e->set.n_natives; i++)
        estimate_native(e, i, out);
    for (size_t i = 0; i < e->set.n; i++)
        estimate_classic(e, &e->set.items[i], out);
}

static void check_quantiles(struct eval *ev, const struct expr *at, const double *q)
{
    for (uint32_t i = 0; i < ev->grid.n; i++)
        if (!(q[i] >= 0 && q[i] <= 1) && (i == 0 || double_bits(q[i]) != double_bits(q[i - 1])))
            eval_check_quantile(ev, at, q[i]);
}

static void quantile_rows(struct eval *ev, const struct call *c, struct value *out)
{
    struct estimate e = {.ev = ev,
                         .at = c->expr->u.call.args[1],
                         .native = native_quantile,
                         .classic = classic_quantile_at,
                         .q = c->args[0].scalar};
    check_quantiles(ev, c->expr->u.call.args[0], e.q);
    estimate_prepare(&e, &c->args[1]);
    estimate_all(&e, out);
    annotate_forced_monotonic(ev);
}

static void fraction_rows(struct eval *ev, const struct call *c, struct value *out)
{
    struct estimate e = {.ev = ev,
                         .at = c->expr->u.call.args[2],
                         .native = native_fraction,
                         .classic = classic_fraction_at,
                         .lower = c->args[0].scalar,
                         .upper = c->args[1].scalar};
    estimate_prepare(&e, &c->args[2]);
    estimate_all(&e, out);
}

/* A label value with OpenMetrics' number format: 1.0, not 1. */
static struct str quantile_label(struct eval *ev, double q)
{
    char text[NUM_MAX + 2];
    size_t n = num_format_go(text, q);
    if (isfinite(q) && memchr(text, '.', n) == NULL && memchr(text, 'e', n) == NULL) {
        text[n++] = '.';
        text[n++] = '0';
    }
    return arena_str(ev->arena, str_n(text, n));
}

/* One pass for each distinct value of q over the steps: usually it is constant. */
static void each_quantile(struct estimate *e, struct value *out)
{
    for (uint32_t i = 0; i < e->ev->grid.n; i++) {
        uint32_t before = 0;
        while (before < i && double_bits(e->q[before]) != double_bits(e->q[i]))
            before++;
        eval_charge(e->ev, before);
        if (before < i)
            continue;
        eval_check(e->ev);
        e->chosen = true;
        e->only = double_bits(e->q[i]);
        e->label_value = quantile_label(e->ev, e->q[i]);
        estimate_all(e, out);
    }
}

static void quantiles_rows(struct eval *ev, const struct call *c, struct value *out)
{
    struct estimate e = {.ev = ev,
                         .at = c->expr->u.call.args[0],
                         .native = native_quantile,
                         .classic = classic_quantile_at,
                         .label = c->args[1].string};
    for (size_t a = 2; a < c->n_args; a++)
        check_quantiles(ev, c->expr->u.call.args[a], c->args[a].scalar);
    estimate_prepare(&e, &c->args[0]);
    for (size_t a = 2; a < c->n_args; a++) {
        e.q = c->args[a].scalar;
        each_quantile(&e, out);
    }
    annotate_forced_monotonic(ev);
}

const struct function_impl fn_histogram_quantile = {.rows = quantile_rows};
const struct function_impl fn_histogram_quantiles = {.rows = quantiles_rows};
const struct function_impl fn_histogram_fraction = {.rows = fraction_rows};
