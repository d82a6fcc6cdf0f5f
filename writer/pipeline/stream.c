// SPDX-License-Identifier: Apache-2.0
/* The label chain of a stream. Without relabel rules, external and extra labels are spliced into the sorted labels;
 * with rules, the result for each label set is cached per lane. */
#include "writer/pipeline/stream.h"

#include "base/hash.h"

enum { SCRATCH_RESET = 256 << 10 };

static bool same_map(struct str_map a, struct str_map b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (!str_eq(a.keys[i], b.keys[i]) || !str_eq(a.values[i], b.values[i]))
            return false;
    return true;
}

bool stream_same(const struct stream *s, struct relabel_rules rules, struct str_map external, struct str_map extra,
                 unsigned shards)
{
    return s->shards == shards && relabel_equal(s->rules, rules) && same_map(s->external, external) &&
           same_map(s->extra, extra);
}

/* --- splicing labels ---------------------------------------------------------------------------------------------- */

static void set_addition(struct stream_labels *l, struct str name, struct str value, bool override)
{
    size_t at = 0;
    while (at < l->n_additions && str_cmp(l->additions[at].name, name) < 0)
        at++;
    bool exists = at < l->n_additions && str_eq(l->additions[at].name, name);
    if (!exists) {
        memmove(&l->additions[at + 1], &l->additions[at], (l->n_additions - at) * sizeof *l->additions);
        l->n_additions++;
        l->additions[at] = (struct addition){.name = name};
    }
    struct addition *a = &l->additions[at];
    a->override = override;
    buf_clear(&a->wire);
    if (value.n > 0)
        labels_append(&a->wire, name, value);
}

static void prepare_additions(struct stream_labels *l)
{
    const struct stream *s = l->stream;
    l->additions = mem_zalloc((s->external.n + s->extra.n + 1) * sizeof *l->additions);
    for (size_t i = 0; i < s->external.n; i++)
        set_addition(l, s->external.keys[i], s->external.values[i], false);
    for (size_t i = 0; i < s->extra.n; i++)
        set_addition(l, s->extra.keys[i], s->extra.values[i], true);
}

static void append_addition(struct stream_labels *l, const struct addition *a, uint32_t *count)
{
    buf_add_str(&l->out, buf_str(&a->wire));
    *count += a->wire.n > 0;
}

/* One pass over the sorted labels; labels between two additions are copied together. */
static struct labels splice_additions(struct stream_labels *l, struct labels in)
{
    struct labels_iter it = labels_iter(in);
    const uint8_t *run = in.p, *before = in.p;
    uint32_t count = in.count;
    size_t k = 0;
    struct label label;
    buf_clear(&l->out);
    while (k < l->n_additions && labels_next(&it, &label)) {
        int order = -1;
        for (; k < l->n_additions && (order = str_cmp(l->additions[k].name, label.name)) <= 0; k++) {
            const struct addition *a = &l->additions[k];
            if (order == 0 && !a->override)
                continue; /* the series' own label wins */
            buf_add(&l->out, run, (size_t)(before - run));
            append_addition(l, a, &count);
            run = before;
            if (order == 0) {
                run = it.p;
                count--;
            }
        }
        before = it.p;
    }
    buf_add(&l->out, run, (size_t)(in.p + in.n - run));
    for (; k < l->n_additions; k++)
        append_addition(l, &l->additions[k], &count);
    return (struct labels){(const uint8_t *)l->out.p, (uint32_t)l->out.n, count};
}

/* --- relabel chain ------------------------------------------------------------------------------------------------ */

void stream_labels_init(struct stream_labels *l, const struct stream *s)
{
    memset(l, 0, sizeof *l);
    l->stream = s;
    arena_init(&l->scratch, 0);
    l->builder.scratch = &l->scratch;
    prepare_additions(l);
}

void stream_labels_free(struct stream_labels *l)
{
    for (size_t i = 0; i < l->n_additions; i++)
        buf_free(&l->additions[i].wire);
    mem_free(l->additions);
    relabel_cache_free(&l->cache);
    buf_free(&l->out);
    builder_free(&l->builder);
    arena_free(&l->scratch);
}

static bool run_chain(struct stream_labels *l, struct labels in, struct labels *out)
{
    const struct stream *s = l->stream;
    struct labels_builder *b = &l->builder;
    if (l->scratch.used > SCRATCH_RESET)
        arena_free(&l->scratch);
    struct arena_mark mark = arena_mark(&l->scratch);
    builder_start(b, in);
    for (size_t i = 0; i < s->external.n; i++)
        if (builder_get(b, s->external.keys[i]).n == 0)
            builder_set(b, s->external.keys[i], s->external.values[i]);
    bool kept = relabel_apply(s->rules, b);
    for (size_t i = 0; i < s->extra.n; i++)
        builder_set(b, s->extra.keys[i], s->extra.values[i]);
    if (kept) {
        buf_clear(&l->out);
        *out = builder_append(b, &l->out);
        kept = out->count > 0;
    }
    arena_release(&l->scratch, mark);
    return kept;
}

bool stream_labels_apply(struct stream_labels *l, struct labels in, struct labels *out)
{
    const struct stream *s = l->stream;
    if (!relabel_any(s->rules)) {
        *out = l->n_additions ? splice_additions(l, in) : in;
        return out->count > 0;
    }
    uint64_t hash = hash_keyed(in.p, in.n);
    enum relabel_result known = relabel_cache_get(&l->cache, hash, in, out);
    if (known != RELABEL_ENTRY_NONE)
        return known != RELABEL_ENTRY_DROPPED;
    bool kept = run_chain(l, in, out);
    relabel_cache_put(&l->cache, hash, in, kept, *out);
    return kept;
}
