/* Calls on range vectors: one series at a time is loaded, freed of stale markers, cut to what the windows can see, and
 * given to the function, which fills a whole row.
 */
#include "promql/walk.h"

#include "model/histogram_math.h"

static uint32_t first_after(const struct sample *s, uint32_t n, int64_t t) /* binary search */
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s[mid].t <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint32_t first_hist_after(const struct hist_sample *s, uint32_t n, int64_t t)
{
    uint32_t i = 0;
    while (i < n && s[i].t <= t)
        i++;
    return i;
}

static void feed_floats(struct eval *ev, struct range_feed *f, const struct series *s, int64_t after, int64_t last,
                        struct range_input *in)
{
    uint32_t from = first_after(s->samples, s->n_samples, after), to = first_after(s->samples, s->n_samples, last);
    uint32_t stale = from;
    while (stale < to && !is_stale(s->samples[stale].v))
        stale++;
    in->samples = from < to ? s->samples + from : NULL; /* nothing may be added to NULL */
    in->n_samples = to - from;
    if (stale == to)
        return;
    arena_grow(ev->arena, &f->samples, &f->samples_cap, to - from, sizeof *f->samples);
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        if (!is_stale(s->samples[i].v))
            f->samples[n++] = s->samples[i];
    in->samples = f->samples;
    in->n_samples = n;
}

static void feed_hists(struct eval *ev, struct range_feed *f, const struct series *s, int64_t after, int64_t last,
                       struct range_input *in)
{
    uint32_t from = first_hist_after(s->hists, s->n_hists, after), to = first_hist_after(s->hists, s->n_hists, last);
    uint32_t n = 0;
    in->hists = NULL;
    in->n_hists = 0;
    if (from == to)
        return;
    arena_grow(ev->arena, &f->hists, &f->hists_cap, to - from, sizeof *f->hists);
    for (uint32_t i = from; i < to; i++)
        if (!histogram_is_stale(s->hists[i].h))
            f->hists[n++] = s->hists[i];
    if (f->bare)
        bare_histograms(ev, f->hists, n);
    in->hists = f->hists;
    in->n_hists = n;
}

bool feed_series(struct eval *ev, struct range_feed *f, struct series_set *set, size_t i, struct range_input *in)
{
    struct series s;
    eval_check(ev);
    if (!series_set_get(set, i, &s, ev->err))
        eval_stop(ev);
    int64_t around = in->anchored || in->smoothed ? in->lookback : 0, ahead = in->smoothed ? in->lookback : 0;
    int64_t after = in->first_end - in->range - around, last = window_end(in, ev->grid.n - 1) + ahead;
    in->labels = s.labels;
    feed_floats(ev, f, &s, after, last, in);
    feed_hists(ev, f, &s, after, last, in);
    return in->n_samples + in->n_hists > 0;
}

static uint64_t input_weight(const struct range_input *in)
{
    uint64_t sum = in->n_samples;
    for (uint32_t i = 0; i < in->n_hists; i++)
        sum += histogram_weight(in->hists[i].h);
    return sum;
}

static uint64_t floats_in_windows(const struct range_input *in, uint32_t steps)
{
    struct window w = {0};
    uint64_t sum = 0;
    for (uint32_t i = 0; i < steps; i++) {
        window_move(in, i, &w);
        sum += w.to - w.from;
    }
    return sum;
}

/* Each step is charged for all samples of its window, as Prometheus counts them. */
static void count_windows(struct eval *ev, const struct range_input *in)
{
    struct window w = {0};
    if (ev->per_step == NULL && in->n_hists == 0) {
        ev->stats.samples += floats_in_windows(in, ev->grid.n);
        return;
    }
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        uint64_t sum = w.to - w.from;
        for (uint32_t h = w.hist_from; h < w.hist_to; h++)
            sum += histogram_weight(in->hists[h].h);
        if (sum > 0)
            eval_count_read(ev, i, sum);
    }
}

static void call_on(struct eval *ev, const struct function_impl *impl, const struct range_input *in, bool drops_name,
                    struct value *out)
{
    uint64_t held = input_weight(in);
    eval_hold(ev, held);
    struct row *row = value_add_row(ev, out, in->labels);
    if (drops_name || !impl->keeps_name)
        row_drop_name(ev, row);
    count_windows(ev, in);
    impl->range(ev, in, row);
    ev->live -= held;
    struct value one = {.type = VALUE_VECTOR, .rows = row, .n = 1};
    uint64_t weight = value_weight(&one, &ev->grid);
    if (weight == 0)
        out->n--;
    eval_hold(ev, weight);
}

static void over_selector(struct eval *ev, const struct function_impl *impl, struct range_input *in, struct value *out)
{
    const struct expr *selector = in->arg->u.matrix.selector;
    struct series_set *set = &ev->sets[selector->u.selector.leaf];
    struct gaze gaze = shift_gaze(&ev->grid, &selector->u.selector.shift);
    struct range_feed feed = {.bare = selector->u.selector.bare};
    in->first_end = gaze.first;
    in->stride = gaze.stride;
    in->range = in->arg->u.matrix.range;
    in->anchored = selector->u.selector.anchored;
    in->smoothed = selector->u.selector.smoothed;
    if (in->anchored && !impl->anchored_safe)
        eval_fail(ev, ERR_EXEC,
                  "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with %s",
                  in->call->u.call.fn->name);
    if (in->smoothed && !impl->smoothed_safe)
        eval_fail(ev, ERR_EXEC, "smoothed modifier can only be used with: delta, increase, rate - not with %s",
                  in->call->u.call.fn->name);
    for (size_t i = 0; i < set->n; i++)
        if (feed_series(ev, &feed, set, i, in))
            call_on(ev, impl, in, false, out);
}

/* The steps of a subquery's row as samples. Hints of resets are forgotten: they speak of neighbours that may not be
 * here, or be here twice. */
static void row_samples(struct eval *ev, struct range_feed *f, const struct row *row, const struct grid *g,
                        struct range_input *in)
{
    arena_grow(ev->arena, &f->samples, &f->samples_cap, g->n, sizeof *f->samples);
    arena_grow(ev->arena, &f->hists, &f->hists_cap, row->h ? g->n : 0, sizeof *f->hists);
    in->n_samples = in->n_hists = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        const struct histogram *h = row_hist(row, i);
        if (h && (h->hint == RESET_YES || h->hint == RESET_NO))
            h = histogram_hinted(ev->arena, h, RESET_UNKNOWN);
        if (h) {
            f->hists[in->n_hists++] = (struct hist_sample){grid_time(g, i), h};
        } else if (!is_absent(row->v[i])) {
            f->samples[in->n_samples++] = (struct sample){grid_time(g, i), row->v[i]};
        }
    }
    in->labels = row->labels;
    in->samples = f->samples;
    in->hists = f->hists;
}

void eval_subquery(struct eval *ev, const struct expr *e, struct value *out, struct grid *inner)
{
    struct grid outer = ev->grid;
    *inner = ev->grid = subquery_grid(ev, &outer, e);
    eval_expr(ev, e->u.subquery.inner, out);
    ev->grid = outer;
}

static void over_subquery(struct eval *ev, const struct function_impl *impl, struct range_input *in, struct value *out)
{
    struct value rows;
    struct grid inner;
    struct range_feed feed = {0};
    struct gaze gaze = shift_gaze(&ev->grid, &in->arg->u.subquery.shift);
    struct tally tally = tally_pause(ev);
    eval_subquery(ev, in->arg, &rows, &inner);
    tally_resume(ev, tally);
    in->first_end = gaze.first;
    in->stride = gaze.stride;
    in->range = in->arg->u.subquery.range;
    in->subquery = true;
    for (size_t i = 0; i < rows.n; i++) {
        row_samples(ev, &feed, &rows.rows[i], &inner, in);
        if (in->n_samples + in->n_hists > 0)
            call_on(ev, impl, in, rows.rows[i].drop_name, out);
    }
}

void eval_range_call(struct eval *ev, const struct expr *e, size_t at, struct value *out)
{
    const struct function_impl *impl = function_impl(e->u.call.fn->id);
    struct value *args = arguments(ev, e->u.call.n_args);
    struct range_input in = {.call = e, .arg = e->u.call.args[at], .args = args, .lookback = ev->lookback};
    for (size_t i = 0; i < e->u.call.n_args; i++)
        if (i != at)
            eval_expr(ev, e->u.call.args[i], &args[i]);
    if (in.arg->kind == EXPR_SUBQUERY)
        over_subquery(ev, impl, &in, out);
    else
        over_selector(ev, impl, &in, out);
    if (impl->finish)
        impl->finish(ev, e, out);
    if (!ev->delayed_names)
        value_merge(ev, out);
}
