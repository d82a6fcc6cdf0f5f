// SPDX-License-Identifier: Apache-2.0
/* Which words and bytes the records of a rule have. */
#include "writer/aggregate/aggregate_internal.h"

static uint8_t aggregate_take_words(uint8_t *at, bool needed, uint8_t n)
{
    uint8_t first = *at;
    if (!needed)
        return 0;
    *at = (uint8_t)(*at + n);
    return first;
}

void aggregate_layout_init(struct aggregate_layout *l, const struct aggregate_rule *r)
{
    unsigned needs = r->needs;
    uint8_t at = 1; /* the number of samples */
    *l = (struct aggregate_layout){0};
    l->sum = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_SUM, 1);
    l->min = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_MIN, 1);
    l->max = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_MAX, 1);
    l->last = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_LAST, 2);
    l->last_t = (uint8_t)(l->last + 1);
    l->mean = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_VARIANCE, 2);
    l->squares = (uint8_t)(l->mean + 1);
    l->increase = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_INCREASE, 1);
    l->increase_known = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_INCREASE_KNOWN, 1);
    l->series = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_SERIES, 1);
    l->values = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_VALUES, 1);
    l->sample = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_RESERVOIR, 1);
    l->buckets = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_BUCKETS, 1);
    l->window_words = at;
    l->windows = r->dedup_interval > 0 ? 1 : 2;
    at = (uint8_t)(l->windows * l->window_words);
    l->total = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_TOTAL, 1);
    l->total_known = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_TOTAL_KNOWN, 1);
    l->sum_total = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_SUM_TOTAL, 1);
    l->buckets_total = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_BUCKETS, 1);
    l->rate = aggregate_take_words(&at, needs & AGGREGATE_NEEDS_RATE, 2);
    l->rate_n = (uint8_t)(l->rate + 1);
    l->words = r->passes ? 0 : at;

    size_t bytes = sizeof(struct aggregate_input);
    if (needs & AGGREGATE_NEEDS_COUNTERS) {
        l->counter = (uint16_t)bytes;
        bytes += sizeof(struct aggregate_counter);
    }
    if (needs & AGGREGATE_NEEDS_RATE) {
        l->rates = (uint16_t)bytes;
        l->rates_twice = r->enable_windows && r->dedup_interval == 0;
        bytes += l->rates_twice ? sizeof(struct aggregate_rates) : offsetof(struct aggregate_rates, increase[1]);
    }
    if (r->dedup_interval > 0) {
        l->dedup = (uint16_t)bytes;
        l->dedup_twice = r->enable_windows || r->passes;
        bytes += (l->dedup_twice ? 2 : 1) * sizeof(struct aggregate_pending);
    }
    l->input_size = (uint16_t)bytes;
    l->inputs = bytes > sizeof(struct aggregate_input) || needs & AGGREGATE_NEEDS_SERIES;
}

void aggregate_group_clear_window(const struct aggregate_part *p, union aggregate_word *w)
{
    const struct aggregate_layout *l = &p->layout;
    if (l->values)
        value_set_free(w[l->values].values);
    if (l->sample)
        mem_free(w[l->sample].sample);
    if (l->buckets)
        mem_free(w[l->buckets].buckets);
    memset(w, 0, l->window_words * sizeof *w);
}

void aggregate_group_clear(const struct aggregate_part *p, struct aggregate_output_group *g)
{
    if (p->layout.words == 0)
        return;
    for (unsigned i = 0; i < p->layout.windows; i++)
        aggregate_group_clear_window(p, aggregate_window(p, g, i));
    if (p->layout.buckets_total)
        mem_free(g->words[p->layout.buckets_total].buckets);
    memset(g->words, 0, p->layout.words * sizeof *g->words);
}
