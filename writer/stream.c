#include "writer/stream.h"

enum { VERDICTS_MAX = 1 << 20, TEXTS_MAX = 64 << 20, SCRATCH_RESET = 256 << 10 };

static bool same_map(struct str_map a, struct str_map b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (!str_eq(a.keys[i], b.keys[i]) || !str_eq(a.values[i], b.values[i]))
            return false;
    return true;
}

bool stream_same(const struct stream *s, struct relabel_rules rules, struct str_map external, struct str_map extra, unsigned shards)
{
    return s->shards == shards && relabel_equal(s->rules, rules) && same_map(s->external, external) && same_map(s->extra, extra);
}

void stream_labels_init(struct stream_labels *l, const struct stream *s)
{
    memset(l, 0, sizeof *l);
    l->stream = s;
    arena_init(&l->scratch, 0);
    l->builder.scratch = &l->scratch;
}

void stream_labels_free(struct stream_labels *l)
{
    mem_free(l->verdicts);
    buf_free(&l->texts);
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

/* --- verdicts ------------------------------------------------------------------------------------------------------- */

static void forget(struct stream_labels *l)
{
    memset(l->verdicts, 0, l->cap * sizeof *l->verdicts);
    l->n = 0;
    buf_clear(&l->texts);
}

static struct verdict *slot_of(struct verdict *slots, size_t cap, uint64_t hash)
{
    size_t i = hash & (cap - 1);
    while (slots[i].n_kind != VERDICT_NONE && slots[i].hash != hash)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static void grow(struct stream_labels *l)
{
    size_t cap = l->cap ? l->cap * 2 : 256;
    struct verdict *slots = mem_zalloc(cap * sizeof *slots);
    for (size_t i = 0; i < l->cap; i++)
        if (l->verdicts[i].n_kind != VERDICT_NONE)
            *slot_of(slots, cap, l->verdicts[i].hash) = l->verdicts[i];
    mem_free(l->verdicts);
    l->verdicts = slots;
    l->cap = cap;
}

static void remember(struct stream_labels *l, uint64_t hash, struct labels in, bool kept, struct labels out)
{
    if (l->n >= VERDICTS_MAX || l->texts.n > TEXTS_MAX)
        forget(l);
    if (l->n * 4 >= l->cap * 3)
        grow(l);
    struct verdict *v = slot_of(l->verdicts, l->cap, hash);
    l->n++;
    v->hash = hash;
    if (!kept) {
        v->n_kind = VERDICT_DROPPED;
    } else if (labels_equal(in, out)) {
        v->n_kind = VERDICT_SAME;
    } else {
        v->at = (uint32_t)l->texts.n;
        v->n_kind = out.n << 2 | VERDICT_CHANGED;
        buf_add(&l->texts, &out.count, sizeof out.count);
        buf_add(&l->texts, out.p, out.n);
    }
}

static bool recall(const struct stream_labels *l, const struct verdict *v, struct labels in, struct labels *out)
{
    enum verdict_kind kind = v->n_kind & 3;
    *out = in;
    if (kind == VERDICT_CHANGED) {
        memcpy(&out->count, l->texts.p + v->at, sizeof out->count);
        out->p = (const uint8_t *)l->texts.p + v->at + sizeof out->count;
        out->n = v->n_kind >> 2;
    }
    return kind != VERDICT_DROPPED;
}

bool stream_labels_apply(struct stream_labels *l, struct labels in, struct labels *out)
{
    const struct stream *s = l->stream;
    if (!relabel_any(s->rules)) {
        *out = in;
        return s->external.n + s->extra.n == 0 || run_chain(l, in, out);
    }
    uint64_t hash = labels_hash(in);
    if (l->cap > 0) {
        struct verdict *v = slot_of(l->verdicts, l->cap, hash);
        if (v->n_kind != VERDICT_NONE)
            return recall(l, v, in, out);
    }
    bool kept = run_chain(l, in, out);
    remember(l, hash, in, kept, *out);
    return kept;
}
