// SPDX-License-Identifier: Apache-2.0
/* Without relabel rules, labels are spliced into the sorted ones; with rules, the result for each label set is cached per
 * lane. */
#include "writer/pipeline/label_stage.h"

#include "writer/pipeline/relabel_cache.h"

enum { SCRATCH_RESET = 256 << 10 };

struct label_stage { struct stage stage; struct label_stage_conf conf; };
struct addition { struct str name; struct buf wire; bool override; }; /* override: replaces an existing label */
struct label_lane {
    struct stage_lane lane;
    struct addition *additions; size_t n_additions; /* labels to add, by name; used without rules */
    struct relabel_cache cache; /* used with rules only: without, splicing is cheaper than a lookup */
    struct labels_builder builder;
    struct arena scratch;
    struct buf out;
};

static const struct label_stage_conf *label_lane_conf(const struct label_lane *l)
{
    return &((const struct label_stage *)l->lane.stage)->conf;
}

/* --- splicing labels ---------------------------------------------------------------------------------------------- */

static void set_addition(struct label_lane *l, struct str name, struct str value, bool override)
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

static void prepare_additions(struct label_lane *l)
{
    const struct label_stage_conf *c = label_lane_conf(l);
    l->additions = mem_zalloc((c->external.n + c->extra.n + 1) * sizeof *l->additions);
    for (size_t i = 0; i < c->external.n; i++)
        set_addition(l, c->external.keys[i], c->external.values[i], false);
    for (size_t i = 0; i < c->extra.n; i++)
        set_addition(l, c->extra.keys[i], c->extra.values[i], true);
}

static void append_addition(struct label_lane *l, const struct addition *a, uint32_t *count)
{
    buf_add_str(&l->out, buf_str(&a->wire));
    *count += a->wire.n > 0;
}

/* One pass over the sorted labels; labels between two additions are copied together. */
static struct labels splice_additions(struct label_lane *l, struct labels in)
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

/* --- rules -------------------------------------------------------------------------------------------------------- */

static bool run_rules(struct label_lane *l, struct labels in, struct labels *out)
{
    const struct label_stage_conf *c = label_lane_conf(l);
    struct labels_builder *b = &l->builder;
    if (l->scratch.used > SCRATCH_RESET)
        arena_free(&l->scratch);
    struct arena_mark mark = arena_mark(&l->scratch);
    builder_start(b, in);
    for (size_t i = 0; i < c->external.n; i++)
        if (builder_get(b, c->external.keys[i]).n == 0)
            builder_set(b, c->external.keys[i], c->external.values[i]);
    bool kept = relabel_apply(c->rules, b);
    for (size_t i = 0; i < c->extra.n; i++)
        builder_set(b, c->extra.keys[i], c->extra.values[i]);
    if (kept) {
        buf_clear(&l->out);
        *out = builder_append(b, &l->out);
        kept = out->count > 0;
    }
    arena_release(&l->scratch, mark);
    return kept;
}

static enum stage_result cached_rules(struct label_lane *l, struct pipeline_series *s)
{
    struct labels in = s->in.labels;
    uint64_t hash = pipeline_series_hash(s);
    enum relabel_result known = relabel_cache_get(&l->cache, hash, in, &s->in.labels);
    if (known == RELABEL_ENTRY_NONE) {
        bool kept = run_rules(l, in, &s->in.labels);
        relabel_cache_put(&l->cache, hash, in, kept, s->in.labels);
        known = kept ? RELABEL_ENTRY_CHANGED : RELABEL_ENTRY_DROPPED;
    }
    if (known == RELABEL_ENTRY_CHANGED)
        s->hash = 0;
    return known == RELABEL_ENTRY_DROPPED ? STAGE_DROPPED : STAGE_PASSED;
}

static enum stage_result label_apply(struct stage_lane *lane, struct pipeline_series *s)
{
    struct label_lane *l = (struct label_lane *)lane;
    if (relabel_any(label_lane_conf(l)->rules))
        return cached_rules(l, s);
    s->in.labels = splice_additions(l, s->in.labels);
    s->hash = 0;
    return s->in.labels.count > 0 ? STAGE_PASSED : STAGE_DROPPED;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void label_lane_init(struct stage_lane *lane)
{
    struct label_lane *l = (struct label_lane *)lane;
    arena_init(&l->scratch, 0);
    l->builder.scratch = &l->scratch;
    prepare_additions(l);
}

static void label_lane_free(struct stage_lane *lane)
{
    struct label_lane *l = (struct label_lane *)lane;
    for (size_t i = 0; i < l->n_additions; i++)
        buf_free(&l->additions[i].wire);
    mem_free(l->additions);
    relabel_cache_free(&l->cache);
    buf_free(&l->out);
    builder_free(&l->builder);
    arena_free(&l->scratch);
}

static void label_lane_adopt(struct stage_lane *lane, struct stage_lane *old)
{
    struct label_lane *l = (struct label_lane *)lane, *before = (struct label_lane *)old;
    l->cache = before->cache;
    before->cache = (struct relabel_cache){0};
}

static void label_stage_free(struct stage *s) { mem_free(s); }

static const struct stage_ops label_stage_ops = {
    .lane_size = sizeof(struct label_lane), .free = label_stage_free, .lane_init = label_lane_init,
    .lane_free = label_lane_free, .lane_adopt = label_lane_adopt, .apply = label_apply};

static uint64_t hash_map(struct str_map m)
{
    struct buf text = {0};
    for (size_t i = 0; i < m.n; i++) {
        buf_printf(&text, "%zu %zu ", m.keys[i].n, m.values[i].n);
        buf_add_str(&text, m.keys[i]);
        buf_add_str(&text, m.values[i]);
    }
    uint64_t hash = hash_bytes(text.p, text.n);
    buf_free(&text);
    return hash;
}

struct stage *label_stage_new(const struct label_stage_conf *conf)
{
    const uint64_t parts[] = {hash_map(conf->external), relabel_hash(conf->rules), hash_map(conf->extra)};
    struct label_stage *s = mem_zalloc(sizeof *s);
    s->stage = (struct stage){&label_stage_ops, STAGE_RELABEL,
                              stage_identity(STAGE_RELABEL, hash_bytes(parts, sizeof parts)), 0};
    s->conf = *conf;
    return &s->stage;
}

bool label_stage_needed(const struct label_stage_conf *conf)
{
    return conf->external.n > 0 || relabel_any(conf->rules) || conf->extra.n > 0;
}
