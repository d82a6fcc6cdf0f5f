// SPDX-License-Identifier: Apache-2.0
/* Samples into the state of a rule.
 *
 * Counters. Of each series the last value is known. A sample adds the difference to it, or its value if it is lower: the
 * counter was reset. The first sample of a series adds its value to `increase` and `total`, since the series has begun since
 * the last one was not there; but not soon after the start, when it cannot be known (ignore_first_sample_interval). A sample
 * that is older than the last one is ignored. */
#include "writer/aggregate/aggregate_internal.h"

static struct aggregate_counter *input_counter(const struct aggregate_part *p, struct aggregate_input *in)
{
    return (struct aggregate_counter *)((char *)in + p->layout.counter);
}
static struct aggregate_rates *input_rates(const struct aggregate_part *p, struct aggregate_input *in)
{
    return (struct aggregate_rates *)((char *)in + p->layout.rates);
}
static struct aggregate_pending *input_pending(const struct aggregate_part *p, struct aggregate_input *in)
{
    return (struct aggregate_pending *)((char *)in + p->layout.dedup);
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
    if (l->rates) {
        struct aggregate_rates *r = input_rates(p, in);
        if (!known) {
            *r = (struct aggregate_rates){.before = s.t};
            in->flags &= ~(INPUT_RATED | INPUT_RATED << 1);
        }
        r->windows[window].increase += increase;
        r->windows[window].t = s.t;
        in->flags |= INPUT_RATED << window;
    }
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

/* Of several samples of an interval the newest is kept; of equal times a number rather than a stale marker, and the greater
 * one. */
static void aggregate_keep_newest(struct aggregate_part *p, struct aggregate_input *in, struct sample s, unsigned window)
{
    struct aggregate_pending *kept = &input_pending(p, in)[window];
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
    struct aggregate_output_group *g = table_at(&p->groups, in ? in->group : at);
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
            aggregate_keep_newest(p, in, samples[i], how.window);
        else
            aggregate_add(p, g, in, samples[i], &how);
    }
    aggregate_count(&p->counts->matched, matched);
}
