// SPDX-License-Identifier: Apache-2.0
/* Reads remote write 2.0 in place: first the table of symbols, wherever it is in the body, then one series after the other.
 *
 * Bombs. A symbol takes two bytes of the body at least and eight in the table, which has at most RW2_MAX_SYMBOLS. What
 * labels, exemplars and metadata expand to is limited for each series (LABELS_MAX_BYTES, LABELS_MAX_COUNT, RW_MAX_ITEMS,
 * RW2_MAX_EXEMPLAR_BYTES) and for the whole body (RW2_MAX_EXPANSION), before it is copied. The table may be long, so it
 * is read in steps, too.
 *
 * A reference beyond the table, an odd number of them or invalid labels reject their series, as in Prometheus, and an
 * exemplar with such labels is left out; malformed fields make the body invalid.
 */
#include "model/write2/write2.h"

#include "base/hash.h"
#include "base/protobuf.h"
#include "base/text/utf8.h"
#include "base/varint.h"
#include "model/remote_write_internal.h"

enum { FIELD_SYMBOL = 4, FIELD_SERIES = 5 };
enum { FIELD_REFS = 1, FIELD_SAMPLES = 2, FIELD_HISTOGRAMS = 3, FIELD_EXEMPLARS = 4, FIELD_META = 5, FIELD_CREATED = 6 };
enum { FIELD_EXEMPLAR_V = 2, FIELD_EXEMPLAR_T = 3 };
enum { FIELD_META_TYPE = 1, FIELD_META_HELP = 3, FIELD_META_UNIT = 4 };
enum { PB_VARINT = 0, PB_64 = 1, PB_BYTES = 2 };
#define SYMBOL_INVALID 0x80000000u /* in rw2_symbol.n: not UTF-8 */

/* ---- symbols ---- */

static bool rw2_add_symbol(struct rw_walk *w, struct str text)
{
    struct rw2_state *t = &w->_two;
    if (text.n >= SYMBOL_INVALID || (size_t)((const uint8_t *)text.p - w->_start) > UINT32_MAX)
        return rw_walk_corrupted(w, (const uint8_t *)text.p, "symbols beyond 4 GiB");
    if (t->n_symbols == RW2_MAX_SYMBOLS)
        return rw_walk_corrupted(w, (const uint8_t *)text.p, "more than 1048576 symbols");
    if (t->n_symbols == 0 && text.n > 0)
        return rw_walk_corrupted(w, (const uint8_t *)text.p, "the first symbol is not the empty text");
    mem_grow(&t->symbols, &t->_cap_symbols, t->n_symbols + 1, sizeof *t->symbols);
    t->symbols[t->n_symbols++] = (struct rw2_symbol){(uint32_t)((const uint8_t *)text.p - w->_start),
                                                     (uint32_t)text.n | (utf8_valid(text) ? 0 : SYMBOL_INVALID)};
    return true;
}

/* RW_END: the table is complete. */
static enum rw_item rw2_read_symbols(struct rw_walk *w, size_t *fields)
{
    struct rw2_state *t = &w->_two;
    struct pb_field f;
    for (; *fields > 0 && t->next_symbol != w->end; (*fields)--) {
        if (!pb_next(&t->next_symbol, w->end, &f)) {
            rw_walk_corrupted(w, t->next_symbol, "truncated or malformed field");
            return RW_ERROR;
        }
        if (f.number != FIELD_SYMBOL && f.number != FIELD_SERIES)
            continue;
        if (f.wire != PB_BYTES) {
            rw_walk_corrupted(w, t->next_symbol, "field of the wrong type");
            return RW_ERROR;
        }
        if (f.number == FIELD_SYMBOL && !rw2_add_symbol(w, f.bytes))
            return RW_ERROR;
    }
    if (t->next_symbol != w->end)
        return RW_MORE;
    t->next_symbol = NULL;
    return RW_END;
}

static struct str rw2_symbol(const struct rw_walk *w, uint32_t ref)
{
    const struct rw2_symbol *s = &w->_two.symbols[ref];
    return str_n(w->_start + s->at, s->n & ~SYMBOL_INVALID);
}

static bool rw2_symbol_valid(const struct rw_walk *w, uint32_t ref)
{
    return (w->_two.symbols[ref].n & SYMBOL_INVALID) == 0;
}

/* ---- labels ---- */

/* The rest is not read: rw2_refs_problem. */
static bool rw2_too_many_refs(const struct rw2_state *t) { return t->n_refs > 2 * LABELS_MAX_COUNT; }

static bool rw2_add_ref(struct rw_walk *w, uint64_t ref)
{
    struct rw2_state *t = &w->_two;
    if (rw2_too_many_refs(t))
        return true;
    if (t->n_refs == t->_cap_refs)
        mem_grow(&t->refs, &t->_cap_refs, t->n_refs + 1, sizeof *t->refs);
    t->refs[t->n_refs++] = ref < UINT32_MAX ? (uint32_t)ref : UINT32_MAX;
    return true;
}

/* References in either form: packed, or one field each. */
static bool rw2_add_refs(struct rw_walk *w, const struct pb_field *f)
{
    if (f->wire == PB_VARINT)
        return rw2_add_ref(w, f->value);
    if (f->wire != PB_BYTES)
        return rw_walk_corrupted(w, w->p, "label references of the wrong type");
    const uint8_t *p = (const uint8_t *)f->bytes.p, *end = p + f->bytes.n;
    for (uint64_t ref; p != end && !rw2_too_many_refs(&w->_two);) {
        const uint8_t *next = varint_get(p, end, &ref);
        if (next == NULL)
            return rw_walk_corrupted(w, p, "malformed label reference");
        p = next;
        rw2_add_ref(w, ref);
    }
    return true;
}

/* Why the references cannot be labels; NULL: they can. *bytes: what the labels take. */
static const char *rw2_refs_problem(const struct rw_walk *w, size_t *bytes)
{
    const struct rw2_state *t = &w->_two;
    *bytes = 0;
    if (rw2_too_many_refs(t))
        return "too many labels";
    if (t->n_refs % 2 != 0)
        return "odd number of label references";
    for (size_t i = 0; i < t->n_refs; i++)
        if (t->refs[i] >= t->n_symbols)
            return "label reference beyond the symbols";
    for (size_t i = 0; i < t->n_refs; i += 2) {
        struct str name = rw2_symbol(w, t->refs[i]), value = rw2_symbol(w, t->refs[i + 1]);
        if (!rw2_symbol_valid(w, t->refs[i]) || name.n == 0)
            return name.n ? "label name is not UTF-8" : "label name is empty";
        if (!rw2_symbol_valid(w, t->refs[i + 1]))
            return "label value is not UTF-8";
        *bytes += value.n ? labels_pair_size(name, value) : 0;
    }
    return *bytes > LABELS_MAX_BYTES ? "labels too long" : NULL;
}

static bool rw2_expand(struct rw_walk *w, size_t bytes)
{
    w->expanded += bytes;
    return w->expanded <= w->_two.most
           || rw_walk_corrupted(w, w->p, "the labels and metadata are more than 64 times as large as the body");
}

/* Appends the labels if they are sorted already. */
static bool rw2_append_sorted(const struct rw_walk *w, struct buf *out, uint32_t *count)
{
    const struct rw2_state *t = &w->_two;
    struct str before = STR_NONE;
    for (size_t i = 0; i < t->n_refs; i += 2) {
        struct str name = rw2_symbol(w, t->refs[i]), value = rw2_symbol(w, t->refs[i + 1]);
        if (str_cmp(before, name) >= 0)
            return false;
        before = name;
        if (value.n == 0)
            continue;
        labels_append(out, name, value);
        ++*count;
    }
    return true;
}

static bool rw2_set_labels(struct rw_walk *w)
{
    struct rw2_state *t = &w->_two;
    size_t bytes;
    uint32_t count = 0;
    const char *problem = rw2_refs_problem(w, &bytes);
    if (problem)
        return rw_walk_reject(w, problem);
    if (!rw2_expand(w, bytes))
        return false;
    buf_clear(&w->_label_buf);
    if (rw2_append_sorted(w, &w->_label_buf, &count)) {
        w->labels = (struct labels){(const uint8_t *)w->_label_buf.p, (uint32_t)w->_label_buf.n, count};
        return count > 0 || rw_walk_reject(w, "no labels");
    }
    builder_start(&w->_builder, (struct labels){0});
    for (size_t i = 0; i < t->n_refs; i += 2)
        builder_add(&w->_builder, rw2_symbol(w, t->refs[i]), rw2_symbol(w, t->refs[i + 1]));
    return rw_walk_build_labels(w);
}

/* ---- exemplars ---- */

/* Appends the exemplar as a message of 1.0 to exemplar_text, and remembers where it ends: p of the text is set later. */
static bool rw2_add_exemplar(struct rw_walk *w, struct str bytes)
{
    struct rw2_state *t = &w->_two;
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    struct pb_field f;
    size_t n;
    double value = 0;
    int64_t time = 0;
    t->n_refs = 0;
    while (pb_next(&p, end, &f)) {
        if (f.number == FIELD_REFS && !rw2_add_refs(w, &f))
            return false;
        if ((f.number == FIELD_EXEMPLAR_V && f.wire != PB_64) || (f.number == FIELD_EXEMPLAR_T && f.wire != PB_VARINT))
            return rw_walk_corrupted(w, p, "exemplar field of the wrong type");
        if (f.number == FIELD_EXEMPLAR_V)
            value = double_from_bits(f.value);
        else if (f.number == FIELD_EXEMPLAR_T)
            time = (int64_t)f.value;
    }
    if (p != end)
        return rw_walk_corrupted(w, p, "truncated or malformed exemplar");
    if (w->n_exemplars == RW_MAX_ITEMS)
        return rw_walk_corrupted(w, p, "too many exemplars in a series");
    const char *problem = rw2_refs_problem(w, &n);
    if (problem) {
        w->bad_exemplar = w->bad_exemplars++ == 0 ? problem : w->bad_exemplar;
        return true;
    }
    if (t->exemplar_text.n + n > t->most_exemplars)
        return rw_walk_corrupted(w, p, "the exemplars of a series are longer than 4 MiB");
    if (!rw2_expand(w, n))
        return false;
    size_t from = t->exemplar_text.n;
    for (size_t i = 0; i < t->n_refs; i += 2)
        if (rw2_symbol(w, t->refs[i + 1]).n > 0)
            labels_append(&t->exemplar_text, rw2_symbol(w, t->refs[i]), rw2_symbol(w, t->refs[i + 1]));
    rw_append_exemplar(&t->exemplar_text, (struct labels){0}, value, time);
    mem_grow(&w->exemplars, &w->_cap_exemplars, w->n_exemplars + 1, sizeof *w->exemplars);
    w->exemplars[w->n_exemplars++] = str_n(NULL, t->exemplar_text.n - from);
    return true;
}

static void rw2_place_exemplars(struct rw_walk *w)
{
    const char *p = w->_two.exemplar_text.p;
    for (size_t i = 0; i < w->n_exemplars; p += w->exemplars[i++].n)
        w->exemplars[i].p = p;
}

/* ---- metadata ---- */

static bool rw2_set_metadata(struct rw_walk *w, struct str bytes)
{
    struct rw2_state *t = &w->_two;
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    struct pb_field f;
    while (pb_next(&p, end, &f)) {
        uint32_t ref = f.value < UINT32_MAX ? (uint32_t)f.value : UINT32_MAX;
        if (f.number <= FIELD_META_UNIT && f.number != FIELD_META_TYPE + 1 && f.wire != PB_VARINT)
            return rw_walk_corrupted(w, p, "metadata field of the wrong type");
        switch (f.number) {
        case FIELD_META_TYPE:
            t->metadata.type = f.value <= METRIC_STATESET ? (enum metric_type)f.value : METRIC_UNKNOWN;
            break;
        case FIELD_META_HELP: t->help_ref = ref; break;
        case FIELD_META_UNIT: t->unit_ref = ref; break;
        }
    }
    return p == end || rw_walk_corrupted(w, p, "truncated or malformed metadata");
}

/* Whether the series has metadata that is not that of the series before: in w->metadata. A reference beyond the symbols
 * rejects the series, as in Prometheus. */
static bool rw2_take_metadata(struct rw_walk *w)
{
    struct rw2_state *t = &w->_two;
    if (!w->labels_ok || (t->metadata.type == METRIC_UNKNOWN && t->help_ref == 0 && t->unit_ref == 0))
        return false;
    if (t->help_ref >= t->n_symbols || t->unit_ref >= t->n_symbols) {
        rw_walk_reject(w, "metadata reference beyond the symbols");
        return false;
    }
    if (!rw2_symbol_valid(w, t->help_ref) || !rw2_symbol_valid(w, t->unit_ref)) {
        rw_walk_reject(w, "metadata is not UTF-8");
        return false;
    }
    struct str family = rw2_family_name(labels_name(w->labels), t->metadata.type);
    if (family.n == 0)
        return false;
    uint64_t key[] = {hash_keyed(family.p, family.n), (uint64_t)t->metadata.type, t->help_ref, t->unit_ref};
    uint64_t hash = hash_keyed(key, sizeof key);
    if (hash == t->last_metadata)
        return false;
    t->last_metadata = hash;
    w->metadata = (struct metadata){.family = family, .help = rw2_symbol(w, t->help_ref),
                                    .unit = rw2_symbol(w, t->unit_ref), .type = t->metadata.type};
    return true;
}

/* ---- series ---- */

/* The references of labels are read last, into the array that exemplars use meanwhile. */
static bool rw2_series_field(struct rw_walk *w, const struct pb_field *f)
{
    if (f->number < FIELD_REFS || f->number > FIELD_CREATED)
        return true;
    if (f->number == FIELD_CREATED && f->wire == PB_VARINT)
        w->_two.created = (int64_t)f->value;
    if (f->number == FIELD_CREATED || f->number == FIELD_REFS)
        return true;
    if (f->wire != PB_BYTES)
        return rw_walk_corrupted(w, w->p, "series field of the wrong type");
    switch (f->number) {
    case FIELD_SAMPLES: return rw_walk_add_sample(w, f->bytes);
    case FIELD_HISTOGRAMS: return rw_walk_add_hist(w, f->bytes);
    case FIELD_EXEMPLARS: return rw2_add_exemplar(w, f->bytes);
    default: return rw2_set_metadata(w, f->bytes);
    }
}

/* From the run of fields that has them: one field, where every sender packs them. */
static bool rw2_read_labels(struct rw_walk *w)
{
    const struct rw_series *s = &w->_series;
    const uint8_t *p = s->run;
    struct pb_field f;
    w->_two.n_refs = 0;
    while (p != s->run_end && !rw2_too_many_refs(&w->_two) && pb_next(&p, s->run_end, &f))
        if (f.number == FIELD_REFS && !rw2_add_refs(w, &f))
            return false;
    return rw2_set_labels(w);
}

/* What earlier drafts have for the whole series. */
static void rw2_use_created(struct rw_walk *w)
{
    if (w->_two.created == 0 || w->starts || w->n_samples == 0)
        return;
    mem_grow(&w->_starts, &w->_cap_starts, w->n_samples, sizeof *w->_starts);
    for (size_t i = 0; i < w->n_samples; i++)
        w->_starts[i] = w->_two.created;
    w->starts = w->_starts;
}

static enum rw_item rw2_end_series(struct rw_walk *w)
{
    if (!rw2_read_labels(w))
        return RW_ERROR;
    rw2_place_exemplars(w);
    rw2_use_created(w);
    bool metadata = rw2_take_metadata(w);
    if (metadata && !rw2_expand(w, w->metadata.help.n + w->metadata.unit.n))
        return RW_ERROR;
    w->p = w->_series.end;
    w->_two.series_waits = metadata;
    return w->_two.series_waits ? RW_METADATA : RW_SERIES;
}

static enum rw_item rw2_walk_series(struct rw_walk *w, size_t fields)
{
    struct rw_series *s = &w->_series;
    struct pb_field f;
    enum rw_item item = RW_MORE;
    for (const uint8_t *from = s->at; fields > 0 && item == RW_MORE && s->at != s->end; from = s->at, fields--) {
        if (!pb_next(&s->at, s->end, &f)) {
            rw_walk_corrupted(w, s->at, "truncated or malformed field");
            item = RW_ERROR;
        } else if (!rw2_series_field(w, &f)) {
            item = RW_ERROR;
        } else if (f.number == FIELD_REFS) {
            s->run = s->run ? s->run : from;
            s->run_end = s->at;
        }
    }
    if (item == RW_MORE && s->at == s->end)
        item = rw2_end_series(w);
    if (item != RW_MORE)
        s->begin = NULL;
    return item;
}

static void rw2_begin_series(struct rw_walk *w, struct str series)
{
    struct rw2_state *t = &w->_two;
    rw_walk_begin_series(w, series);
    w->label_bytes = NULL;
    w->label_n = 0;
    buf_clear(&t->exemplar_text);
    t->created = 0;
    t->metadata = (struct metadata){0};
    t->help_ref = t->unit_ref = 0;
}

static enum rw_item rw2_walk_some(struct rw_walk *w, size_t fields)
{
    struct rw2_state *t = &w->_two;
    const uint8_t *p = w->p;
    struct pb_field f;
    if (t->next_symbol) {
        enum rw_item item = rw2_read_symbols(w, &fields);
        if (item != RW_END)
            return item;
    }
    if (t->series_waits) {
        t->series_waits = false;
        return RW_SERIES;
    }
    if (w->_series.begin)
        return rw2_walk_series(w, fields);
    for (; fields > 0 && p != w->end; fields--) {
        if (!pb_next(&p, w->end, &f)) { /* cannot happen: the fields have been walked for the symbols */
            rw_walk_corrupted(w, p, "malformed field");
            return RW_ERROR;
        }
        if (f.number == FIELD_SERIES) {
            rw2_begin_series(w, f.bytes);
            return rw2_walk_series(w, fields);
        }
        w->p = p;
    }
    return p == w->end ? RW_END : RW_MORE;
}

void rw2_walk_start(struct rw_walk *w, struct str body)
{
    rw_walk_start(w, body);
    w->_other = rw2_walk_some;
    w->_two.n_symbols = 0;
    w->_two.most = RW2_MAX_EXPANSION * body.n + (1 << 20);
    w->_two.most_exemplars = RW2_MAX_EXEMPLAR_BYTES;
    w->_two.next_symbol = w->p;
    rw_walk_again(w);
}

bool rw2_to_rw1(struct rw_walk *w, struct str body, struct buf *out)
{
    rw2_walk_start(w, body);
    w->_two.most = w->_two.most_exemplars = RW2_MAX_CONTENTS;
    for (;;)
        switch (rw_walk_next(w)) {
        case RW_SERIES:
            if (w->labels_ok)
                rw_append_full(out, w->labels, &(struct rw_contents){w->samples, w->starts, w->n_samples, w->hists,
                                                                     w->n_hists, w->exemplars, w->n_exemplars});
            break;
        case RW_METADATA: rw_append_metadata(out, &w->metadata); break;
        case RW_ERROR: return false;
        case RW_MORE: case RW_END: return true;
        }
}
