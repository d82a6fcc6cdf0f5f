// SPDX-License-Identifier: Apache-2.0
/* Makes a body of remote write 2.0 from one of 1.0.
 *
 * The table of symbols is a hash table over borrowed texts. Most labels of a series are those of the series before it,
 * which a comparison of their bytes shows: their references are taken over without a lookup. Metadata is looked up once
 * for each metric name.
 */
#include "model/write2/write2.h"

#include "base/hash.h"
#include "base/protobuf.h"
#include "base/varint.h"
#include "model/remote_write_internal.h"

enum { TAG_REFS = 0x0a, TAG_SAMPLES = 0x12, TAG_HISTOGRAMS = 0x1a, TAG_EXEMPLARS = 0x22, TAG_META = 0x2a };
enum { TAG_SYMBOL_TEXT = 0x22, TAG_SERIES = 0x2a };
enum { TAG_V = 0x09, TAG_T = 0x10, TAG_START_T = 0x18, TAG_META_TYPE = 0x08, TAG_META_HELP = 0x18, TAG_META_UNIT = 0x20 };
enum { EXEMPLAR_LABEL = 1, EXEMPLAR_VALUE = 2, EXEMPLAR_TIME = 3 };
enum { WRITE_1_SERIES = 1, WRITE_1_METADATA = 3, TAG_LABEL = 0x0a };
enum { SLOTS_LEAST = 1024, KEPT_BYTES = 4 << 20 };

void rw2_encoder_free(struct rw2_encoder *e)
{
    rw2_families_free(&e->families);
    rw_walk_free(&e->walk);
    buf_free(&e->series);
    buf_free(&e->one);
    arena_free(&e->texts);
    void *arrays[] = {e->symbols, e->slots, e->metas, e->refs, e->last.refs};
    for (size_t i = 0; i < LEN(arrays); i++)
        mem_free(arrays[i]);
    *e = (struct rw2_encoder){.n_symbols = 0};
}

/* ---- symbols ---- */

static void encoder_clear_slots(struct rw2_encoder *e, size_t n)
{
    if (n != e->n_slots) {
        mem_free(e->slots);
        e->slots = mem_alloc(n * sizeof *e->slots);
        e->n_slots = n;
    }
    memset(e->slots, 0, n * sizeof *e->slots);
}

static struct rw2_slot *encoder_slot(const struct rw2_encoder *e, uint32_t hash, struct str text)
{
    size_t mask = e->n_slots - 1, i = hash & mask;
    while (e->slots[i].ref != 0 && (e->slots[i].hash != hash || !str_eq(e->symbols[e->slots[i].ref], text)))
        i = (i + 1) & mask;
    return &e->slots[i];
}

static uint32_t text_hash(struct str text) { return (uint32_t)hash_keyed(text.p, text.n); }

static void encoder_grow_slots(struct rw2_encoder *e)
{
    encoder_clear_slots(e, e->n_slots * 2);
    for (uint32_t i = 1; i < e->n_symbols; i++) {
        uint32_t hash = text_hash(e->symbols[i]);
        *encoder_slot(e, hash, e->symbols[i]) = (struct rw2_slot){hash, i};
    }
}

static uint32_t encoder_symbol(struct rw2_encoder *e, struct str text)
{
    if (text.n == 0)
        return 0;
    uint32_t hash = text_hash(text);
    struct rw2_slot *slot = encoder_slot(e, hash, text);
    if (slot->ref != 0)
        return slot->ref;
    uint32_t ref = (uint32_t)e->n_symbols;
    *slot = (struct rw2_slot){hash, ref};
    mem_grow(&e->symbols, &e->_cap_symbols, e->n_symbols + 1, sizeof *e->symbols);
    e->symbols[e->n_symbols++] = text;
    if (e->n_symbols > e->n_slots / 2)
        encoder_grow_slots(e);
    return ref;
}

static void encoder_begin(struct rw2_encoder *e)
{
    if (e->series.cap > KEPT_BYTES)
        buf_free(&e->series);
    buf_clear(&e->series);
    arena_free(&e->texts);
    arena_init(&e->texts, 0);
    encoder_clear_slots(e, e->n_slots > 0 ? e->n_slots : SLOTS_LEAST);
    mem_grow(&e->symbols, &e->_cap_symbols, 1, sizeof *e->symbols);
    e->symbols[0] = STR("");
    e->n_symbols = 1;
    e->name_ref = encoder_symbol(e, STR(METRIC_NAME));
    e->last.labels = (struct labels){0};
    if (e->metas)
        memset(e->metas, 0, e->_cap_metas * sizeof *e->metas);
}

/* ---- labels ---- */

static void encoder_add_refs(struct rw2_encoder *e, uint32_t name, uint32_t value)
{
    if (e->n_refs + 2 > e->_cap_refs)
        mem_grow(&e->refs, &e->_cap_refs, e->n_refs + 2, sizeof *e->refs);
    e->refs[e->n_refs++] = name;
    e->refs[e->n_refs++] = value;
}

/* Eight bytes at a time: most pairs are short, and equal. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t x, y;
    for (; n >= 8; a += 8, b += 8, n -= 8) {
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        if (x != y)
            return false;
    }
    while (n > 0 && *a == *b)
        a++, b++, n--;
    return n == 0;
}

/* Bytes of the pair of labels at p, whose length is in its second byte, or in more for a long one. */
static inline size_t label_pair_bytes(const uint8_t *p, const uint8_t *end)
{
    uint64_t n = 0;
    if (p[1] < 0x80)
        return 2 + (size_t)p[1];
    return (size_t)(varint_get(p + 1, end, &n) - p) + n;
}

/* Both sets are sorted by name, so one pass over both finds the labels that they share: usually the same bytes. */
static void encoder_set_refs(struct rw2_encoder *e, struct labels labels)
{
    struct labels_iter it = labels_iter(labels), old = labels_iter(e->last.labels);
    const uint32_t *known = e->last.refs;
    mem_grow(&e->refs, &e->_cap_refs, (size_t)labels.count * 2 + 2, sizeof *e->refs);
    e->n_refs = 0;
    while (it.p < it.end) {
        size_t n = label_pair_bytes(it.p, it.end);
        uint32_t *to = &e->refs[e->n_refs];
        e->n_refs += 2;
        if ((size_t)(old.end - old.p) >= n && same_bytes(it.p, old.p, n)) {
            to[0] = known[0];
            to[1] = known[1];
            it.p += n;
            old.p += n;
            known += 2;
            continue;
        }
        struct label l, before = {.name = STR_NONE};
        struct labels_iter next = old;
        int order = 1;
        labels_next(&it, &l);
        while (labels_next(&next, &before) && (order = str_cmp(before.name, l.name)) < 0) {
            old = next;
            known += 2;
        }
        to[0] = order == 0 ? known[0] : encoder_symbol(e, l.name);
        to[1] = order == 0 && str_eq(before.value, l.value) ? known[1] : encoder_symbol(e, l.value);
        if (order == 0) {
            old = next;
            known += 2;
        }
    }
    uint32_t *refs = e->refs;
    size_t cap = e->_cap_refs;
    e->refs = e->last.refs;
    e->_cap_refs = e->last._cap;
    e->last.refs = refs;
    e->last._cap = cap;
    e->last.labels = labels;
}

static size_t refs_size(const uint32_t *refs, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += varint_size(refs[i]);
    return size;
}

static void put_refs(struct buf *out, const uint32_t *refs, size_t n)
{
    size_t size = refs_size(refs, n);
    if (n == 0 || !buf_reserve(out, 1 + VARINT_MAX + size))
        return;
    uint8_t *p = (uint8_t *)out->p + out->n;
    *p++ = TAG_REFS;
    p = varint_put(p, size);
    for (size_t i = 0; i < n; i++)
        p = varint_put(p, refs[i]);
    out->n = (size_t)(p - (uint8_t *)out->p);
}

/* ---- contents ---- */

static void put_sample(struct buf *out, struct sample s, int64_t start)
{
    enum { MOST = 2 + 9 + 2 * (1 + VARINT_MAX) };
    if (!buf_reserve(out, MOST))
        return;
    uint8_t *begin = (uint8_t *)out->p + out->n, *p = begin + 2;
    if (double_bits(s.v) != 0) {
        *p++ = TAG_V;
        memcpy(p, &s.v, 8);
        p += 8;
    }
    if (s.t != 0) {
        *p++ = TAG_T;
        p = varint_put(p, (uint64_t)s.t);
    }
    if (start != 0) {
        *p++ = TAG_START_T;
        p = varint_put(p, (uint64_t)start);
    }
    begin[0] = TAG_SAMPLES;
    begin[1] = (uint8_t)(p - begin - 2); /* at most 31 */
    out->n = (size_t)(p - (uint8_t *)out->p);
}

static void put_message(struct buf *out, unsigned tag, struct str message)
{
    pb_add_varint(out, tag);
    pb_add_varint(out, message.n);
    buf_add_str(out, message);
}

/* From a message of 1.0, whose labels are texts; e->refs is used for them. */
static bool encoder_put_exemplar(struct rw2_encoder *e, struct str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n, *from = p;
    uint8_t tail[2 + 8 + VARINT_MAX], *to = tail;
    struct pb_field f;
    struct label l;
    double value = 0;
    int64_t time = 0;
    e->n_refs = 0;
    for (; pb_next(&p, end, &f); from = p) {
        struct labels_iter it = {from, p};
        if (f.number == EXEMPLAR_LABEL && labels_next_checked(&it, &l))
            encoder_add_refs(e, encoder_symbol(e, l.name), encoder_symbol(e, l.value));
        else if (f.number == EXEMPLAR_VALUE && f.wire == 1)
            value = double_from_bits(f.value);
        else if (f.number == EXEMPLAR_TIME && f.wire == 0)
            time = (int64_t)f.value;
        else
            return false;
    }
    if (p != end)
        return false;
    *to++ = EXEMPLAR_VALUE << 3 | 1;
    memcpy(to, &value, 8);
    to += 8;
    *to++ = EXEMPLAR_TIME << 3;
    to = varint_put(to, (uint64_t)time);
    size_t refs = refs_size(e->refs, e->n_refs);
    refs += refs > 0 ? 1 + varint_size(refs) : 0;
    pb_add_varint(&e->one, TAG_EXEMPLARS);
    pb_add_varint(&e->one, refs + (size_t)(to - tail));
    put_refs(&e->one, e->refs, e->n_refs);
    buf_add(&e->one, tail, (size_t)(to - tail));
    return true;
}

/* Of the series whose name is the text of this reference. */
static const struct rw2_meta *encoder_meta(struct rw2_encoder *e, uint32_t name)
{
    if (name >= e->_cap_metas) {
        size_t before = e->_cap_metas;
        mem_grow(&e->metas, &e->_cap_metas, name + 1, sizeof *e->metas);
        memset(e->metas + before, 0, (e->_cap_metas - before) * sizeof *e->metas);
    }
    if (!e->metas[name].known) {
        const struct metadata *m = rw2_families_find(&e->families, e->symbols[name]);
        struct rw2_meta found = {.known = true};
        if (m)
            found = (struct rw2_meta){encoder_symbol(e, m->help), encoder_symbol(e, m->unit), m->type, true};
        e->metas[name] = found;
    }
    return &e->metas[name];
}

static void encoder_put_meta(struct rw2_encoder *e, uint32_t name)
{
    const struct rw2_meta *m = encoder_meta(e, name);
    uint8_t body[3 * (1 + VARINT_MAX)], *p = body;
    if (m->type != METRIC_UNKNOWN) {
        *p++ = TAG_META_TYPE;
        *p++ = (uint8_t)m->type; /* the numbers of 1.0 and 2.0 are the same */
    }
    if (m->help != 0) {
        *p++ = TAG_META_HELP;
        p = varint_put(p, m->help);
    }
    if (m->unit != 0) {
        *p++ = TAG_META_UNIT;
        p = varint_put(p, m->unit);
    }
    if (p != body)
        put_message(&e->one, TAG_META, str_n(body, (size_t)(p - body)));
}

static void encoder_end_one(struct rw2_encoder *e)
{
    put_message(&e->series, TAG_SERIES, buf_str(&e->one));
    buf_clear(&e->one);
}

/* ---- series ---- */

static uint32_t encoder_name(const struct rw2_encoder *e)
{
    const uint32_t *refs = e->last.refs;
    for (size_t i = 0; i < (size_t)e->last.labels.count * 2; i += 2)
        if (refs[i] == e->name_ref)
            return refs[i + 1];
    return 0;
}

/* Labels that the walk has made anew are gone with the next series. */
static struct labels encoder_keep_labels(struct rw2_encoder *e, struct str body)
{
    struct labels l = e->walk.labels;
    bool in_body = (const char *)l.p >= body.p && (const char *)l.p < body.p + body.n;
    return in_body ? l : labels_copy(&e->texts, l);
}

/* Samples and histograms of a series must be in two. */
static void encoder_add_series(struct rw2_encoder *e, struct str body, size_t *n_series)
{
    struct rw_walk *w = &e->walk;
    encoder_set_refs(e, encoder_keep_labels(e, body));
    uint32_t name = encoder_name(e);
    for (int part = 0; part < 2; part++) {
        size_t n = part == 0 ? w->n_samples : w->n_hists;
        if (n == 0)
            continue;
        put_refs(&e->one, e->last.refs, (size_t)e->last.labels.count * 2);
        for (size_t i = 0; i < n && part == 0; i++)
            put_sample(&e->one, w->samples[i], w->starts ? w->starts[i] : 0);
        for (size_t i = 0; i < n && part == 1; i++)
            put_message(&e->one, TAG_HISTOGRAMS, w->hists[i]);
        for (size_t i = 0; i < w->n_exemplars && (part == 1 || w->n_hists == 0); i++)
            (void)encoder_put_exemplar(e, w->exemplars[i]); /* false: no label set; the rest of the series is sent */
        encoder_put_meta(e, name);
        encoder_end_one(e);
        ++*n_series;
    }
}

/* A series of a canonical body that has labels and samples only, which are the same fields in both versions: copied
 * without being read. False: it has something else. */
static bool encoder_add_plain(struct rw2_encoder *e, struct str series)
{
    const uint8_t *p = (const uint8_t *)series.p, *end = p + series.n;
    struct labels labels = {.p = p};
    for (; end - p > 2 && *p == TAG_LABEL; labels.count++)
        p += label_pair_bytes(p, end);
    const uint8_t *samples = p;
    for (; end - p > 2 && *p == TAG_SAMPLES && p[1] < 0x80; p += 2 + p[1])
        ;
    if (p != end || p == samples)
        return false;
    labels.n = (uint32_t)(samples - labels.p);
    encoder_set_refs(e, labels);
    put_refs(&e->one, e->last.refs, (size_t)labels.count * 2);
    buf_add(&e->one, samples, (size_t)(end - samples));
    encoder_put_meta(e, encoder_name(e));
    encoder_end_one(e);
    return true;
}

/* Any field of the body. */
static bool encoder_add_field(struct rw2_encoder *e, struct str body, struct str field, size_t *n_series)
{
    struct rw_walk *w = &e->walk;
    rw_walk_start(w, field);
    switch (rw_walk_next(w)) {
    case RW_SERIES:
        if (w->labels_ok)
            encoder_add_series(e, body, n_series);
        return true;
    case RW_ERROR: return false;
    case RW_METADATA: case RW_MORE: case RW_END: return true; /* see encoder_read_metadata */
    }
    return true;
}

static void encoder_put_all(const struct rw2_encoder *e, struct buf *out)
{
    size_t size = e->series.n;
    for (size_t i = 0; i < e->n_symbols; i++)
        size += 1 + varint_size(e->symbols[i].n) + e->symbols[i].n;
    if (!buf_reserve(out, size))
        return;
    uint8_t *p = (uint8_t *)out->p + out->n;
    for (size_t i = 0; i < e->n_symbols; i++) {
        struct str s = e->symbols[i];
        *p++ = TAG_SYMBOL_TEXT;
        p = varint_put(p, s.n);
        if (s.n > 0)
            memcpy(p, s.p, s.n);
        p += s.n;
    }
    out->n = (size_t)(p - (uint8_t *)out->p);
    buf_add_str(out, buf_str(&e->series));
}

/* All of it before the series, which may precede it; symbols borrow its texts until the body is made. */
static bool encoder_read_metadata(struct rw2_encoder *e, struct str body)
{
    const uint8_t *p = (const uint8_t *)body.p, *end = p + body.n;
    struct pb_field f;
    while (pb_next(&p, end, &f)) {
        if (f.number != WRITE_1_METADATA || f.wire != 2)
            continue;
        if (!rw_walk_set_metadata(&e->walk, f.bytes))
            return false;
        rw2_families_set(&e->families, &e->walk.metadata);
    }
    return true;
}

bool rw2_strip_metadata(struct rw2_encoder *e, struct buf *body)
{
    if (body->n == 0)
        return true;
    const uint8_t *p = (const uint8_t *)body->p, *end = p + body->n, *from = p;
    struct pb_field f;
    size_t kept = 0;
    if (!encoder_read_metadata(e, buf_str(body)))
        return false;
    for (; pb_next(&p, end, &f); from = p)
        if (f.number != WRITE_1_METADATA) {
            memmove(body->p + kept, from, (size_t)(p - from));
            kept += (size_t)(p - from);
        }
    if (p != end)
        return false;
    body->n = kept;
    return true;
}

bool rw2_encode(struct rw2_encoder *e, struct str body, bool canonical, struct buf *out, size_t *n_series, struct err *err)
{
    body = body.n > 0 ? body : STR(""); /* not NULL */
    const uint8_t *p = (const uint8_t *)body.p, *end = p + body.n, *from = p;
    struct pb_field f;
    *n_series = 0;
    encoder_begin(e);
    rw_walk_start(&e->walk, body);
    if (!encoder_read_metadata(e, body)) {
        *err = e->walk.err;
        return false;
    }
    for (; pb_next(&p, end, &f); from = p) {
        if (canonical && f.number == WRITE_1_SERIES && encoder_add_plain(e, f.bytes)) {
            ++*n_series;
        } else if (!encoder_add_field(e, body, str_n(from, (size_t)(p - from)), n_series)) {
            *err = e->walk.err;
            return false;
        }
    }
    if (p != end)
        return err_set(err, ERR_BAD_DATA, "corrupted remote write body at byte %zu: truncated or malformed field",
                       (size_t)(p - (const uint8_t *)body.p));
    encoder_put_all(e, out);
    return true;
}
