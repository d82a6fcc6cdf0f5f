// SPDX-License-Identifier: Apache-2.0
/* Samples into the state of a rule.
 *
 * Counters. Of each series the last value is known. A sample adds the difference to it, or its value if it is lower:
 * the counter was reset. The first sample of a series adds its value to `increase` and `total`, since the series has
 * begun since the last one was not there; but not soon after the start, when it cannot be known
 * (ignore_first_sample_interval). A sample that is older than the last one is ignored. */
#include "writer/aggregate/aggregate_internal.h"

static struct aggregate_counter *input_counter(const struct aggregate_part *p, struct aggregate_input *in)
{
    return (struct aggregate_counter *)((char *)in + p->layout.counter);
}
static struct aggregate_rates *input_rates(const struct aggregate_part *p, struct aggregate_input *in)
{
    return (struct aggregate_rates *)((char *)in + p->layout.rates);
}

/* --- the end of a window of a series ------------------------------------------------------------------------------ */

void aggregate_end_rate(struct aggregate_part *p, struct aggregate_input *in, unsigned window)
{
    struct aggregate_rates *r = input_rates(p, in);
    struct aggregate_output_group *g = table_at(&p->groups, in->group);
    double *increase = &r->increase[p->layout.rates_twice ? window : 0];
    int64_t t = p->layout.rates_twice ? r->t[window] : input_counter(p, in)->t;
    double seconds = ((double)t - (double)r->before) / 1000;
    if (seconds > 0) {
        g->words[p->layout.rate].d += *increase / seconds;
        g->words[p->layout.rate_n].u++;
    }
    r->before = t;
    *increase = 0;
    in->flags &= ~(INPUT_RATED << window);
}

void aggregate_end_kept(struct aggregate_part *p, struct aggregate_input *in, unsigned window, int64_t now)
{
    const struct aggregate_pending *kept = aggregate_kept(p, in, window);
    struct sample s = {kept->t, kept->value};
    in->flags &= ~(INPUT_PENDING << window);
    aggregate_add(p, table_at(&p->groups, in->group), in, s,
                  &(struct aggregate_arrival){now, p->dedup_time + p->rule->staleness, 0});
}

/* --- a sample ----------------------------------------------------------------------------------------------------- */

static void aggregate_add_rate(struct aggregate_part *p, struct aggregate_input *in, struct sample s, bool known,
                               double increase, unsigned window)
{
    struct aggregate_rates *r = input_rates(p, in);
    if (!known) {
        memset(r, 0, p->layout.rates_twice ? sizeof *r : offsetof(struct aggregate_rates, increase[1]));
        r->before = s.t;
        in->flags &= ~(INPUT_RATED | INPUT_RATED << 1);
    } else if (!p->layout.rates_twice && in->flags & INPUT_RATED << !window) {
        aggregate_end_rate(p, in, !window); /* the flush has not come to this series yet */
    }
    r->increase[p->layout.rates_twice ? window : 0] += increase;
    if (p->layout.rates_twice)
        r->t[window] = s.t;
    in->flags |= INPUT_RATED << window;
}

static void aggregate_add_counter(struct aggregate_part *p, union aggregate_word *w, struct aggregate_input *in, struct sample s,
                                  const struct aggregate_arrival *how, unsigned window)
{
    const struct aggregate_layout *l = &p->layout;
    struct aggregate_counter *c = input_counter(p, in);
    int64_t second = how->now / 1000;
    bool known = in->flags & INPUT_KNOWN && in->deadline >= second * 1000;
    double increase = 0;
    if (known) {
        if (s.t < c->t)
            return;
        increase = s.v - c->value;
        if (increase < 0) {
            increase = s.v;
            aggregate_count(&p->counts->counter_resets, 1);
        }
        if (l->increase_known)
            w[l->increase_known].d += increase;
        if (l->increase)
            w[l->increase].d += increase;
    } else if (l->increase && second >= p->ignore_first_until) {
        w[l->increase].d += s.v;
    }
    if (l->rates)
        aggregate_add_rate(p, in, s, known, increase, window);
    *c = (struct aggregate_counter){s.v, s.t};
    in->flags |= INPUT_KNOWN;
    in->deadline = how->deadline;
}

static void aggregate_add_values(const struct aggregate_layout *l, union aggregate_word *w, struct sample s)
{
    if (l->values)
        value_set_add(&w[l->values].values, s.v);
    if (l->sample)
        value_sample_add(&w[l->sample].sample, s.v);
    if (l->buckets) {
        unsigned bucket = vmrange_bucket(s.v);
        if (bucket < VMRANGE_BUCKETS)
            vmrange_add(&w[l->buckets].buckets, bucket, 1);
    }
}

static void aggregate_add_moments(const struct aggregate_layout *l, union aggregate_word *w, struct sample s)
{
    double mean = w[l->mean].d + (s.v - w[l->mean].d) / (double)w[0].u;
    w[l->squares].d += (s.v - w[l->mean].d) * (s.v - mean);
    w[l->mean].d = mean;
}

void aggregate_add(struct aggregate_part *p, struct aggregate_output_group *g, struct aggregate_input *in, struct sample s,
                   const struct aggregate_arrival *how)
{
    const struct aggregate_layout *l = &p->layout;
    unsigned window = l->windows == 1 ? 0 : how->window;
    union aggregate_word *w = g->words + window * l->window_words;
    bool first = w[0].u++ == 0;
    g->deadline = how->deadline;
    g->flags |= GROUP_LIVE;
    if (l->sum)
        w[l->sum].d += s.v;
    if (l->min && (first || s.v < w[l->min].d))
        w[l->min].d = s.v;
    if (l->max && (first || s.v > w[l->max].d))
        w[l->max].d = s.v;
    if (l->last && s.t >= w[l->last_t].i) {
        w[l->last].d = s.v;
        w[l->last_t].i = s.t;
    }
    if (l->mean)
        aggregate_add_moments(l, w, s);
    aggregate_add_values(l, w, s);
    if (l->series && (in->flags & INPUT_SEEN << window) == 0) {
        in->flags |= INPUT_SEEN << window;
        w[l->series].u++;
    }
    if (l->counter)
        aggregate_add_counter(p, w, in, s, how, window);
    else if (in)
        in->deadline = how->deadline;
}

/* Of several samples of an interval the newest is kept; of equal times a number rather than a stale marker, and the
 * greater one. */
static void aggregate_keep_newest(struct aggregate_part *p, struct aggregate_input *in, struct sample s,
                                  unsigned window, int64_t now)
{
    struct aggregate_pending *kept = aggregate_kept(p, in, window);
    if (!p->layout.dedup_twice && in->flags & INPUT_PENDING << !window)
        aggregate_end_kept(p, in, !window, now); /* the flush has not come to this series yet */
    if ((in->flags & INPUT_PENDING << window) == 0) {
        in->flags |= INPUT_PENDING << window;
        *kept = (struct aggregate_pending){s.v, s.t};
        return;
    }
    aggregate_count(&p->counts->dedup_dropped, 1);
    if (s.t > kept->t || (s.t == kept->t && (is_stale(kept->value) || s.v > kept->value)))
        *kept = (struct aggregate_pending){s.v, s.t};
}

/* The window of a sample. While one is being flushed, all go to the other one. */
static unsigned aggregate_choose_window(const struct aggregate_part *p, int64_t t)
{
    if (!p->rule->enable_windows || t <= p->most || p->phase != AGGREGATE_IDLE)
        return p->window;
    return !p->window;
}

static bool aggregate_ignores(struct aggregate_part *p, struct sample s)
{
    const struct aggregate_rule *r = p->rule;
    if (!r->passes && isnan(s.v)) {
        aggregate_count(&p->counts->ignored_nan, 1);
        return true;
    }
    bool limited = r->enable_windows || (r->ignore_old_samples && !r->passes);
    if (!limited || s.t >= p->least)
        return false;
    aggregate_count(r->passes ? &p->counts->dedup_dropped : &p->counts->ignored_old, 1);
    return true;
}

void aggregate_receive(struct aggregate_part *p, uint32_t at, const struct sample *samples, size_t n, int64_t now)
{
    struct aggregate_input *in = p->layout.inputs ? table_at(&p->inputs, at) : NULL;
    uint32_t group = in ? in->group : at;
    struct aggregate_output_group *g = table_at(&p->groups, group);
    struct aggregate_arrival how = {now, now + p->rule->staleness, 0};
    uint64_t matched = 0;
    for (size_t i = 0; i < n; i++) {
        if (aggregate_ignores(p, samples[i]))
            continue;
        matched++;
        if (samples[i].t < now - p->lag)
            p->lag = samples[i].t > 0 ? now - samples[i].t : now;
        how.window = aggregate_choose_window(p, samples[i].t);
        if (p->layout.dedup)
            aggregate_keep_newest(p, in, samples[i], how.window, now);
        else
            aggregate_add(p, g, in, samples[i], &how);
    }
    if (matched > 0) {
        aggregate_group_changed(p, g, group);
        if (in)
            aggregate_input_changed(p, in, at);
    }
    aggregate_count(&p->counts->matched, matched);
}
