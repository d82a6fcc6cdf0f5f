// SPDX-License-Identifier: Apache-2.0
/* The series that a format reports: their labels are checked and completed, and they go to the sink of the lane. */
#include "base/hash.h"
#include "base/text/utf8.h"
#include "gateway/ingest/ingest_internal.h"

/* A line may repeat its tags, and an item its resource's attributes, with each of its series: a short body would fill the
 * memory. */
enum { INGEST_ITEM_LABELS = 16 << 20 };

void ingest_series_begin(struct ingest *in) { builder_start(in->labels, (struct labels){0}); }

bool ingest_label(struct ingest *in, struct str name, struct str value, struct err *err)
{
    if (!label_name_valid(name))
        return err_set(err, ERR_BAD_DATA, name.n ? "label name `%.*s` is not UTF-8" : "label name is empty%.*s",
                       STR_ARG(str_first(name, 100)));
    if (!utf8_valid(value))
        return err_set(err, ERR_BAD_DATA, "value of label `%.*s` is not UTF-8", STR_ARG(str_first(name, 100)));
    if (in->labels->n == LABELS_MAX_COUNT)
        return err_set(err, ERR_BAD_DATA, "more than %d labels", LABELS_MAX_COUNT);
    if (value.n > 0) /* as if it were absent */
        builder_add(in->labels, name, value);
    return true;
}

static bool ingest_build_labels(struct ingest *in, struct labels *out, struct err *err)
{
    struct str name;
    size_t count;
    for (size_t i = 0; i < in->n_extra; i++)
        builder_set(in->labels, in->extra[i].name, in->extra[i].value);
    if (builder_duplicate(in->labels, &name))
        return err_set(err, ERR_BAD_DATA, "label `%.*s` occurs twice", STR_ARG(str_first(name, 100)));
    size_t bytes = builder_size(in->labels, &count);
    if (bytes > LABELS_MAX_BYTES)
        return err_set(err, ERR_BAD_DATA, "labels are longer than %d bytes", LABELS_MAX_BYTES);
    if (count > LABELS_MAX_COUNT)
        return err_set(err, ERR_BAD_DATA, "more than %d labels", LABELS_MAX_COUNT);
    if (in->item_labels + bytes > INGEST_ITEM_LABELS)
        return err_set(err, ERR_BAD_DATA, "the labels of its series are longer than %d bytes together", INGEST_ITEM_LABELS);
    buf_clear(&in->lane->label_bytes);
    *out = builder_append(in->labels, &in->lane->label_bytes);
    return labels_name(*out).n > 0 || err_set(err, ERR_BAD_DATA, "metric name is empty");
}

static void ingest_store_series(struct ingest *in, const struct series_in *s)
{
    size_t items = s->n_samples + s->n_hists;
    in->item_labels += s->labels.n;
    in->batch.rows += items;
    in->batch_items += items;
    in->batch_bytes += s->labels.n + s->n_samples * sizeof *s->samples;
    for (size_t i = 0; i < s->n_hists; i++)
        in->batch_bytes += s->hists[i].n;
    if (in->phase != INGEST_CHECK && items > 0)
        sink_series(in->sink, s);
}

bool ingest_series_end(struct ingest *in, const struct sample *samples, size_t n, struct err *err)
{
    struct series_in s = {.samples = samples, .n_samples = n};
    if (!ingest_build_labels(in, &s.labels, err))
        return false;
    in->lane->label_count = s.labels.count;
    ingest_store_series(in, &s);
    return true;
}

bool ingest_series_histogram(struct ingest *in, struct str message, struct err *err)
{
    struct series_in s = {.hists = &message, .n_hists = 1};
    if (!ingest_build_labels(in, &s.labels, err))
        return false;
    ingest_store_series(in, &s);
    return true;
}

static uint64_t series_hash(const struct ingest *in, uint64_t hash)
{
    const uint64_t parts[] = {in->same, hash};
    return hash_keyed(parts, sizeof parts);
}

bool ingest_series_known(struct ingest *in, uint64_t hash, const struct sample *samples, size_t n)
{
    struct series_in s = {.samples = samples, .n_samples = n};
    if (!series_cache_get(&in->lane->cache, series_hash(in, hash), &s.labels)
        || in->item_labels + s.labels.n > INGEST_ITEM_LABELS)
        return false;
    ingest_store_series(in, &s);
    return true;
}

static void series_remember(struct ingest *in, uint64_t hash, struct str text, uint64_t before)
{
    const struct buf *bytes = &in->lane->label_bytes;
    series_cache_put(&in->lane->cache, series_hash(in, hash),
                     (struct labels){(const uint8_t *)bytes->p, (uint32_t)bytes->n, in->lane->label_count}, in->same, text,
                     before);
}

void ingest_series_remember(struct ingest *in, uint64_t hash, struct str text) { series_remember(in, hash, text, 0); }

void ingest_series_remember_behind(struct ingest *in, uint64_t hash, struct str text, uint64_t before)
{
    series_remember(in, hash, text, series_hash(in, before));
}

struct str ingest_expected(const struct ingest *in, size_t i) { return series_cache_expected(&in->lane->cache, in->same, i); }

bool ingest_expected_have_come(struct ingest *in, const struct sample *samples, size_t n)
{
    struct series_cache *c = &in->lane->cache;
    size_t bytes = in->item_labels;
    for (size_t i = 0; i < n; i++)
        bytes += series_cache_labels(c, i).n;
    if (bytes > INGEST_ITEM_LABELS)
        return false;
    for (size_t i = 0; i < n; i++)
        ingest_store_series(in, &(struct series_in){.labels = series_cache_labels(c, i), .samples = &samples[i], .n_samples = 1});
    series_cache_advance(c, n);
    return true;
}

bool ingest_time_ms(struct str s, int64_t *t)
{
    int64_t n = 0;
    if (s.n < 11 || s.n > 15) /* at least 2^31, below which it may be in seconds */
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9)
            return false;
        n = n * 10 + digit;
    }
    *t = n;
    return s.p[0] != '0';
}

void ingest_metadata(struct ingest *in, const struct metadata *m)
{
    in->batch_bytes += m->family.n + m->help.n + m->unit.n;
    if (in->phase != INGEST_CHECK)
        sink_metadata(in->sink, m);
}

void ingest_same(struct ingest *in, struct str parameter)
{
    const uint64_t parts[] = {in->same, hash_keyed(parameter.p, parameter.n)};
    in->same = hash_keyed(parts, sizeof parts);
}

static bool read_extra_label(struct str pair, struct label *out, struct err *err)
{
    size_t at = str_find(pair, '=');
    if (at == pair.n)
        return err_set(err, ERR_BAD_DATA, "extra_label=%.*s: expected name=value", STR_ARG(str_first(pair, 200)));
    *out = (struct label){str_first(pair, at), str_skip(pair, at + 1)};
    return (label_name_valid(out->name) && utf8_valid(out->value))
           || err_set(err, ERR_BAD_DATA, "extra_label=%.*s: not a label", STR_ARG(str_first(pair, 200)));
}

bool ingest_read_extra_labels(struct ingest *in, struct err *err)
{
    const struct form *form = &in->r->form;
    size_t n = form_count(form, "extra_label");
    in->extra = ARENA_ARRAY(&in->r->arena, struct label, n);
    for (size_t i = 0; i < n; i++) {
        struct str pair = form_nth(form, "extra_label", i);
        if (!read_extra_label(pair, &in->extra[in->n_extra++], err))
            return false;
        ingest_same(in, pair);
    }
    return true;
}
