// SPDX-License-Identifier: Apache-2.0
/* Template groups, entries and splicing (concepts: template.h).
 *
 * A final label is known to be the target's own when its value still points into the target's label bytes. Rules that
 * copy or change a target label's value have read it, so it is equal for all targets of the group and becomes part of
 * the fixed bytes.
 */
#include "scraper/page/template.h"

#include "base/compress.h"
#include "base/hash.h"
#include "base/refs.h"
#include "base/text/num.h"
#include "model/exposition/exposition.h"
#include "model/exposition/scrape_protocols.h"
#include "scraper/jobs/external.h"

#include <math.h>

enum { SEEN_SLOTS = 1 << 16 };

size_t target_labels_size(uint32_t count)
{
    return count * sizeof(uint64_t) + ((size_t)count + 2) / 2 * 2 * sizeof(uint32_t);
}

void target_labels_init(struct target_labels *t, void *tables, struct labels wire)
{
    *t = (struct target_labels){.wire = wire, .sums = tables, .at = (uint32_t *)((uint64_t *)tables + wire.count)};
    struct labels_iter it = labels_iter(wire);
    struct label l;
    const uint8_t *from = wire.p;
    for (uint32_t i = 0; labels_next(&it, &l); i++, from = it.p) {
        t->at[i] = (uint32_t)(from - wire.p);
        t->sums[i] = hash_keyed(from, (size_t)(it.p - from));
        t->sum += t->sums[i];
    }
    t->at[wire.count] = wire.n;
}

void interner_init(struct interner *in)
{
    *in = (struct interner){.private_max = INTERN_PRIVATE_MAX};
    in->builder.scratch = &in->scratch;
}

void interner_free(struct interner *in)
{
    map_free(&in->template_groups);
    mem_free(in->seen);
    zstd_free(in->zstd);
    builder_free(&in->builder);
    arena_free(&in->scratch);
    buf_free(&in->wire);
    mem_release_all(&in->release);
}

struct zstd *interner_zstd(struct interner *in)
{
    if (in->zstd == NULL)
        in->zstd = zstd_new();
    return in->zstd;
}

/* ---- template groups ---- */

/* Targets of a group share the check of label_value_length_limit: a label that exceeds it needs another group. */
static struct str template_group_key(struct interner *in, const struct running_job *job, const struct target_labels *t,
                                     uint32_t label_limit)
{
    int64_t length_limit = job->conf->label_value_length_limit;
    struct buf *b = &in->wire;
    buf_clear(b);
    buf_add(b, &job, sizeof job);
    buf_add(b, &label_limit, sizeof label_limit);
    struct labels_iter it = labels_iter(t->wire);
    for (struct label l; labels_next(&it, &l); ) {
        bool read = running_job_reads(job, l.name);
        bool exceeds = length_limit > 0 && l.value.n > (size_t)length_limit;
        labels_append(b, l.name, read ? l.value : STR_NONE);
        buf_add_char(b, read ? 'v' : exceeds ? 'x' : 'n'); /* a value that is read may be empty */
    }
    return buf_str(b);
}

struct template_group *template_group_get(struct interner *in, struct running_job *job, const struct target_labels *t,
                                          uint32_t label_limit)
{
    struct str key = template_group_key(in, job, t, label_limit);
    struct template_group *c = map_get(&in->template_groups, key);
    if (c)
        return template_group_ref(c);
    c = mem_zalloc(sizeof *c);
    c->refs = 1;
    c->n_labels = t->wire.count;
    c->job = running_job_ref(job);
    c->label_limit = label_limit;
    c->key = str_n(mem_dup(key.p, key.n), key.n);
    map_set(&in->template_groups, c->key, c);
    return c;
}

struct template_group *template_group_ref(struct template_group *c)
{
    refs_take_own(&c->refs);
    return c;
}

void template_group_unref(struct interner *in, struct template_group *c)
{
    if (c == NULL || !refs_drop_own(&c->refs))
        return;
    map_remove(&in->template_groups, c->key);
    for (uint32_t i = 0; i < c->n; i++)
        mem_free(c->entries[i]);
    mem_release_add(&in->release, c->entries, c->cap * sizeof *c->entries);
    mem_release_add(&in->release, c->free, c->free_cap * sizeof *c->free);
    map_free(&c->ids);
    mem_free((char *)c->key.p);
    running_job_unref(c->job);
    mem_free(c);
}

/* ---- entries ---- */

bool template_group_find(const struct template_group *c, struct str text, uint32_t *id)
{
    const struct map_entry *e = map_find(&c->ids, text);
    if (e == NULL)
        return false;
    *id = (uint32_t)e->value.u;
    return true;
}

static size_t entry_size(const struct template_group *c, const struct template_entry *e)
{
    enum { ID_AND_SLOT = 8 + 48 }; /* the pointer, and a map slot at its usual load */
    return sizeof *e + c->n_labels * sizeof e->offsets[0] + e->text_n + e->fixed_n + ID_AND_SLOT;
}

static void entry_free(struct interner *in, struct template_group *c, uint32_t id)
{
    struct template_entry *e = c->entries[id];
    in->private_bytes -= entry_size(c, e);
    map_remove(&c->ids, template_group_text(c, id));
    mem_free(e);
    c->entries[id] = NULL;
    if (c->n_free == c->free_cap)
        mem_grow(&c->free, &c->free_cap, c->n_free + 1, sizeof *c->free);
    c->free[c->n_free++] = id;
}

void entry_ref(struct interner *in, struct template_group *c, uint32_t id)
{
    struct template_entry *e = c->entries[id];
    if (e->refs == 0)
        e->refs = 1;
    else
        refs_take_own(&e->refs);
    if (e->refs == 2)
        in->private_bytes -= entry_size(c, e);
}

void entry_unref(struct interner *in, struct template_group *c, uint32_t id)
{
    struct template_entry *e = c->entries[id];
    if (refs_drop_own(&e->refs))
        entry_free(in, c, id);
    else if (e->refs == 1)
        in->private_bytes += entry_size(c, e);
}

void entry_sweep(struct interner *in, struct template_group *c, uint32_t id)
{
    if (c->entries[id] && c->entries[id]->refs == 0)
        entry_free(in, c, id);
}

/* ---- deriving labels ---- */

/* True if there is a label with this name, even with an empty value: with honor_labels it suppresses the target's
 * label. */
static bool splice_pair_is_fixed(const struct labels_builder *b, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(b->slots[i].label.name, name))
            return true;
    return false;
}

static void rename_exported(struct interner *in, struct labels target, struct str name, bool moves)
{
    struct labels_builder *b = &in->builder;
    struct str value = builder_get(b, name), to = name;
    if (moves && labels_get(target, arena_printf(&in->scratch, "exported_%.*s", STR_ARG(name))).n == 0) {
        exported_label_rename(b, name);
        return;
    }
    do
        to = arena_printf(&in->scratch, "exported_%.*s", STR_ARG(to));
    while (builder_get(b, to).n > 0 || labels_get(target, to).n > 0);
    builder_set(b, to, value);
}

/* Normalizes le and quantile as Prometheus 3 does: 1.0 for 1, 0.1 for 0.10. False: unchanged. */
static bool template_respell_bound(struct arena *a, struct str value, struct str *out)
{
    char number[NUM_MAX + 2];
    double v;
    if (!num_parse(value, &v) || (isinf(v) && str_find(value, 'n') == value.n && str_find(value, 'N') == value.n))
        return false;
    struct str s = str_n(number, num_format_go(number, v == 0 ? 0 : v));
    if (isfinite(v) && str_find(s, '.') == s.n && str_find(s, 'e') == s.n) {
        memcpy(number + s.n, ".0", 2);
        s.n += 2;
    }
    *out = arena_str(a, s);
    return !str_eq(*out, value);
}

/* The types for which the labels are the same as for this one. */
static uint8_t spell_bounds(struct interner *in, enum bounds_type type)
{
    static const struct { const char *label; enum bounds_type type; } bounds[] = {
        {"le", BOUNDS_HISTOGRAM}, {"quantile", BOUNDS_SUMMARY}};
    unsigned types = BOUNDS_ANY;
    for (size_t i = 0; i < LEN(bounds); i++) {
        struct str name = str_of(bounds[i].label), value = builder_get(&in->builder, name), spelled;
        if (value.n == 0 || !template_respell_bound(&in->scratch, value, &spelled))
            continue;
        if (type == bounds[i].type) {
            builder_set(&in->builder, name, spelled);
            types &= 1u << type;
        } else {
            types &= ~(1u << bounds[i].type);
        }
    }
    return (uint8_t)types;
}

static void add_target_labels(struct interner *in, const struct target_labels *t, const struct scrape_job *job)
{
    struct labels_builder *b = &in->builder;
    size_t own = b->n;
    struct labels_iter it = labels_iter(t->wire);
    for (struct label l; labels_next(&it, &l); ) {
        bool exists = splice_pair_is_fixed(b, own, l.name);
        if (!exists) {
            builder_set(b, l.name, l.value);
        } else if (!job->honor_labels) {
            if (builder_get(b, l.name).n > 0)
                rename_exported(in, t->wire, l.name, job->page.export_moves);
            builder_set(b, l.name, l.value);
        }
    }
}

/* A scraped series with the identity of an automatic series is renamed, as in vmagent. */
static void export_automatic(struct interner *in)
{
    static const char *const names[] = {
        "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
        "scrape_series_added", "scrape_timeout_seconds", "scrape_response_size_bytes", "scrape_samples_limit",
        "scrape_labels_limit", "scrape_series_current", "scrape_series_limit", "scrape_series_limit_samples_dropped",
        "scrape_sample_limit", "scrape_body_size_bytes"};
    struct str name = in->builder.n == 1 ? builder_get(&in->builder, STR(METRIC_NAME)) : STR_NONE;
    for (size_t i = 0; i < LEN(names); i++)
        if (str_is(name, names[i]))
            builder_set(&in->builder, STR(METRIC_NAME), arena_printf(&in->scratch, "exported_%s", names[i]));
}

static bool limit_error(struct err *err, const char *limit, struct str metric, const char *what, size_t n, int64_t max)
{
    metric = str_first(metric, 50);
    return err_set(err, ERR_LIMIT, "%s exceeded (metric: %.*s, %s: %zu, limit: %lld)", limit, STR_ARG(metric), what, n,
                   (long long)max);
}

static bool invalid_name(struct err *err, struct str metric, struct str name)
{
    return err_set(err, ERR_BAD_DATA, "invalid name \"%.*s\" (metric: %.*s, metric_name_validation_scheme: legacy)",
                   STR_ARG(str_first(name, 50)), STR_ARG(str_first(metric, 50)));
}

static bool check_limits(const struct template_group *c, struct labels l, struct err *err)
{
    const struct scrape_job *job = c->job->conf;
    struct str metric = labels_name(l);
    if (metric.n == 0)
        return err_set(err, ERR_BAD_DATA, "series has no metric name after metric_relabel_configs");
    if (l.n > LABELS_MAX_BYTES || l.count > LABELS_MAX_COUNT)
        return err_set(err, ERR_LIMIT, "label set too large: %u labels, %u bytes (metric: %.*s)", l.count, l.n,
                       STR_ARG(str_first(metric, 50)));
    if (c->label_limit > 0 && l.count > c->label_limit)
        return limit_error(err, "label_limit", metric, "number of labels", l.count, c->label_limit);
    bool legacy = job->metric_name_validation_scheme == NAMES_LEGACY;
    if (legacy && !metric_name_legacy(metric))
        return invalid_name(err, metric, metric);
    if (job->label_name_length_limit <= 0 && job->label_value_length_limit <= 0 && !legacy)
        return true;
    struct labels_iter it = labels_iter(l);
    for (struct label pair; labels_next(&it, &pair); ) {
        if (legacy && !label_name_legacy(pair.name))
            return invalid_name(err, metric, pair.name);
        if (job->label_name_length_limit > 0 && pair.name.n > (size_t)job->label_name_length_limit)
            return limit_error(err, "label_name_length_limit", metric, "length", pair.name.n,
                               job->label_name_length_limit);
        if (job->label_value_length_limit > 0 && pair.value.n > (size_t)job->label_value_length_limit)
            return limit_error(err, "label_value_length_limit", metric, "length", pair.value.n,
                               job->label_value_length_limit);
    }
    return true;
}

void interner_clear_scratch(struct interner *in)
{
    if (in->scratch._aligned == NULL) { /* the first block is kept from now on */
        arena_alloc(&in->scratch, 1);
        arena_bytes(&in->scratch, 1);
        in->mark = arena_mark(&in->scratch);
    }
    arena_release(&in->scratch, in->mark);
}

bool template_derive(struct interner *in, const struct template_group *c, const struct target_labels *t,
                     struct str text, enum bounds_type type, struct derived *out, struct err *err)
{
    const struct scrape_job *job = c->job->conf;
    *out = (struct derived){0};
    interner_clear_scratch(in);
    if (!exposition_labels(text, job->page.lax, &in->builder, err))
        return false;
    out->types = job->page.spells_bounds ? spell_bounds(in, type) : BOUNDS_ANY;
    if (!job->honor_labels)
        export_automatic(in);
    add_target_labels(in, t, job);
    size_t count;
    bool kept = relabel_apply(c->job->metric_rules, &in->builder);
    if (job->page.drops_reserved)
        relabel_drop_reserved(&in->builder);
    out->dropped = !kept || builder_size(&in->builder, &count) == 0;
    if (out->dropped)
        return true;
    external_labels_add(&in->builder, job);
    buf_clear(&in->wire);
    out->labels = builder_append(&in->builder, &in->wire);
    out->sum = labels_identity(out->labels);
    return check_limits(c, out->labels, err);
}

/* ---- splicing ---- */

struct splice_plan { uint64_t sum; uint32_t fixed_n; uint16_t count; bool has_all_labels; };

/* Walks the final labels and the target's in parallel, both sorted. Labels that are not the target's own go to
 * `fixed`. */
static struct splice_plan plan_splice(const struct interner *in, const struct target_labels *t, struct labels final,
                                      uint32_t *offsets, struct buf *fixed)
{
    struct splice_plan plan = {.has_all_labels = true};
    struct labels_iter own = labels_iter(t->wire), wire = labels_iter(final);
    struct label mine, pair;
    uint32_t i = 0;
    bool more = labels_next(&own, &mine);
    const uint8_t *from = wire.p;
    for (size_t k = 0; k < in->builder.n; k++) {
        const struct label_slot *slot = &in->builder.slots[k];
        if (slot->deleted)
            continue;
        labels_next(&wire, &pair);
        for (; more && str_cmp(mine.name, slot->label.name) < 0; more = labels_next(&own, &mine))
            offsets[i++] = LABEL_ABSENT;
        if (more && str_eq(mine.name, slot->label.name) && slot->label.value.p == mine.value.p) {
            offsets[i++] = (uint32_t)fixed->n;
            more = labels_next(&own, &mine);
        } else {
            plan.sum += hash_keyed(from, (size_t)(wire.p - from));
            plan.count++;
            buf_add(fixed, from, (size_t)(wire.p - from));
        }
        from = wire.p;
    }
    for (; i < t->wire.count; i++)
        offsets[i] = LABEL_ABSENT;
    for (i = 0; i < t->wire.count; i++)
        plan.has_all_labels = plan.has_all_labels && offsets[i] != LABEL_ABSENT;
    plan.fixed_n = (uint32_t)fixed->n;
    return plan;
}

static uint32_t template_new_id(struct template_group *c)
{
    if (c->n_free > 0)
        return c->free[--c->n_free];
    if (c->n == c->cap)
        mem_grow(&c->entries, &c->cap, c->n + 1, sizeof *c->entries);
    return c->n++;
}

uint32_t template_add(struct interner *in, struct template_group *c, const struct target_labels *t, struct str text,
                      const struct derived *d)
{
    size_t head = sizeof(struct template_entry) + c->n_labels * sizeof(uint32_t);
    struct template_entry *e = mem_zalloc(head + text.n + d->labels.n);
    struct buf fixed = {.p = (char *)e + head + text.n, .cap = d->labels.n};
    if (!d->dropped) {
        struct splice_plan plan = plan_splice(in, t, d->labels, e->offsets, &fixed);
        e->sum = plan.sum;
        e->fixed_n = plan.fixed_n;
        e->fixed_count = plan.count;
        e->has_all_labels = plan.has_all_labels;
    }
    e->dropped = d->dropped;
    e->types = d->types;
    e->text_n = (uint32_t)text.n;
    memcpy((char *)e + head, text.p, text.n);
    e = mem_realloc(e, head + text.n + e->fixed_n);
    uint32_t id = template_new_id(c);
    c->entries[id] = e;
    bool added;
    map_add(&c->ids, template_group_text(c, id), &added)->value.u = id;
    in->private_bytes += entry_size(c, e);
    return id;
}

bool interner_should_cache(struct interner *in, uint64_t text_hash, uint64_t owner)
{
    if (in->private_bytes < in->private_max)
        return true;
    if (in->seen == NULL)
        in->seen = mem_zalloc(SEEN_SLOTS * sizeof *in->seen);
    struct seen_text *slot = &in->seen[text_hash % SEEN_SLOTS], now = {(uint32_t)(text_hash >> 32), (uint32_t)owner};
    bool shared = slot->text == now.text && slot->target != now.target;
    *slot = now;
    return shared;
}

uint64_t entry_identity(const struct template_entry *e, const struct target_labels *t)
{
    uint64_t sum = e->sum + t->sum;
    for (uint32_t i = 0; !e->has_all_labels && i < t->wire.count; i++)
        if (e->offsets[i] == LABEL_ABSENT)
            sum -= t->sums[i];
    return sum;
}

uint64_t labels_identity(struct labels l)
{
    uint64_t sum = 0;
    struct labels_iter it = labels_iter(l);
    const uint8_t *from = it.p;
    for (struct label pair; labels_next(&it, &pair); from = it.p)
        sum += hash_keyed(from, (size_t)(it.p - from));
    return sum;
}

struct labels entry_splice(const struct template_group *c, const struct template_entry *e,
                           const struct target_labels *t, struct buf *out)
{
    const uint8_t *fixed = (const uint8_t *)entry_text(c, e) + e->text_n;
    uint32_t done = 0, count = e->fixed_count;
    buf_clear(out);
    if (!buf_reserve(out, e->fixed_n + t->wire.n))
        return (struct labels){0};
    uint8_t *to = (uint8_t *)out->p;
    for (uint32_t i = 0; i < c->n_labels; ) {
        uint32_t first = i, offset = e->offsets[i];
        while (++i < c->n_labels && e->offsets[i] == offset) {
        }
        if (offset == LABEL_ABSENT)
            continue;
        memcpy(to, fixed + done, offset - done);
        to += offset - done;
        done = offset;
        memcpy(to, t->wire.p + t->at[first], t->at[i] - t->at[first]);
        to += t->at[i] - t->at[first];
        count += i - first;
    }
    memcpy(to, fixed + done, e->fixed_n - done);
    to += e->fixed_n - done;
    out->n = (size_t)(to - (uint8_t *)out->p);
    return (struct labels){(uint8_t *)out->p, (uint32_t)out->n, count};
}
