// SPDX-License-Identifier: Apache-2.0
/* Decodes prometheus.WriteRequest in place, one pass per series.
 *
 * Samples are decoded into the reused array, histograms and exemplars are slices, and labels are the contiguous run
 * of their bytes. Labels are rebuilt only when that run is not canonical (another order, empty values, padded
 * lengths, labels after samples). Every length is checked against the remaining bytes before it is used; a series has
 * at most RW_MAX_ITEMS of a kind, so that a small body cannot claim much memory.
 *
 * Most series are in the usual form, canonical labels and then float samples: their labels are found and checked in one
 * pass, and known when the body is walked again.
 */
#include "model/remote_write_internal.h"

#include "base/protobuf.h"
#include "base/text/utf8.h"
#include "base/varint.h"

enum { FIELD_TIMESERIES = 1, FIELD_METADATA = 3 };                            /* WriteRequest */
enum { FIELD_LABEL = 1, FIELD_SAMPLE = 2, FIELD_EXEMPLAR = 3, FIELD_HISTOGRAM = 4 }; /* TimeSeries */
enum { FIELD_TYPE = 1, FIELD_FAMILY = 2, FIELD_HELP = 4, FIELD_UNIT = 5 };    /* MetricMetadata */
enum { FIELD_HIST_TIME = 15 };                                                /* Histogram */
enum { FIELD_EXEMPLAR_TIME = 3 };                                             /* Exemplar */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2 };
enum { FIELD_VALUE = 1, FIELD_TIME = 2, FIELD_START = 3 };                    /* Sample */
enum { TAG_SAMPLE = 0x12, TAG_VALUE_64 = 0x09, TAG_TIME = 0x10, TAG_START = 0x18 };
enum {
    USUAL_BYTES = 4096, /* a longer series is read in steps */
    FIELD_BYTES = 8,    /* at least, of a label or a sample */
    MARKS = 1 << 16,    /* series, of 8 bytes each */
};

void rw_walk_init(struct rw_walk *w) { *w = (struct rw_walk){0}; }

void rw_walk_free(struct rw_walk *w)
{
    mem_free(w->_marks);
    mem_free(w->samples);
    mem_free(w->_starts);
    mem_free(w->hists);
    mem_free(w->exemplars);
    builder_free(&w->_builder);
    buf_free(&w->_label_buf);
    mem_free(w->_two.symbols);
    mem_free(w->_two.refs);
    buf_free(&w->_two.exemplar_text);
    rw_walk_init(w);
}

void rw_walk_start(struct rw_walk *w, struct str body)
{
    w->_start = w->p = (const uint8_t *)body.p;
    w->end = w->p + body.n;
    w->_series.begin = NULL;
    w->_other = NULL;
    w->expanded = 0;
    w->_n_marks = w->_next_mark = 0;
}

void rw_walk_again(struct rw_walk *w)
{
    w->p = w->_start;
    w->_series.begin = NULL;
    w->expanded = 0;
    w->_next_mark = 0;
    w->_two.last_metadata = 0;
    w->_two.series_waits = false;
}

bool rw_walk_corrupted(struct rw_walk *w, const uint8_t *at, const char *what)
{
    return err_set(&w->err, ERR_BAD_DATA, "corrupted remote write body at byte %zu: "
                                          "%s", (size_t)(at - w->_start), what);
}

static bool next_field(struct rw_walk *w, const uint8_t **p, const uint8_t *end, struct pb_field *f)
{
    return pb_next(p, end, f) || (*p != end && rw_walk_corrupted(w, *p, "truncated or malformed field"));
}

/* `09 value 10 time`, the form of every sender that does not omit zeros, perhaps with `18 start`. */
static inline bool usual_sample(struct str s, struct sample *out, int64_t *start)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    uint64_t t = 0, from = 0;
    if (s.n < 11 || p[0] != TAG_VALUE_64 || p[9] != TAG_TIME || (p = varint_get(p + 10, end, &t)) == NULL)
        return false;
    if (p != end && (*p != TAG_START || varint_get(p + 1, end, &from) != end))
        return false;
    memcpy(&out->v, s.p + 1, 8);
    out->t = (int64_t)t;
    *start = (int64_t)from;
    return true;
}

static bool any_sample(struct rw_walk *w, struct str s, struct sample *out, int64_t *start)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    struct pb_field f;
    *out = (struct sample){0};
    *start = 0;
    while (pb_next(&p, end, &f)) {
        if (f.number <= FIELD_START && f.wire != (f.number == FIELD_VALUE ? WIRE_64 : WIRE_VARINT))
            return rw_walk_corrupted(w, p, "sample field of the wrong type");
        if (f.number == FIELD_VALUE)
            out->v = double_from_bits(f.value);
        else if (f.number == FIELD_TIME)
            out->t = (int64_t)f.value;
        else if (f.number == FIELD_START)
            *start = (int64_t)f.value;
    }
    return p == end || rw_walk_corrupted(w, p, "truncated or malformed sample");
}

/* The sample read last has a start time: those before it have none, unless `starts` is set. */
static void add_start(struct rw_walk *w, int64_t start)
{
    mem_grow(&w->_starts, &w->_cap_starts, w->n_samples, sizeof *w->_starts);
    if (w->starts == NULL)
        memset(w->_starts, 0, w->n_samples * sizeof *w->_starts);
    w->starts = w->_starts;
    w->starts[w->n_samples - 1] = start;
}

bool rw_walk_add_sample(struct rw_walk *w, struct str bytes)
{
    int64_t start;
    if (w->n_samples == RW_MAX_ITEMS)
        return rw_walk_corrupted(w, (const uint8_t *)bytes.p, "too many samples in a series");
    if (w->n_samples == w->_cap_samples)
        mem_grow(&w->samples, &w->_cap_samples, w->n_samples + 1, sizeof *w->samples);
    struct sample *s = &w->samples[w->n_samples++];
    if (!usual_sample(bytes, s, &start) && !any_sample(w, bytes, s, &start))
        return false;
    if (start != 0 || w->starts)
        add_start(w, start);
    return true;
}

/* Histograms and exemplars are passed on undecoded; only invalid messages are rejected here. */
static bool walk_add_message(struct rw_walk *w, struct str bytes, struct str **items, size_t *n, size_t *cap)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    struct pb_field f;
    while (next_field(w, &p, end, &f))
        ;
    if (p != end)
        return false;
    if (*n == RW_MAX_ITEMS)
        return rw_walk_corrupted(w, p, "too many histograms or exemplars in a series");
    mem_grow(items, cap, *n + 1, sizeof **items);
    (*items)[(*n)++] = bytes;
    return true;
}

bool rw_walk_add_hist(struct rw_walk *w, struct str bytes)
{
    return walk_add_message(w, bytes, &w->hists, &w->n_hists, &w->_cap_hists);
}

static bool series_field(struct rw_walk *w, const struct pb_field *f)
{
    if (f->number < FIELD_LABEL || f->number > FIELD_HISTOGRAM)
        return true;
    if (f->wire != WIRE_BYTES)
        return rw_walk_corrupted(w, w->p, "series field of the wrong type");
    switch (f->number) {
    case FIELD_SAMPLE: return rw_walk_add_sample(w, f->bytes);
    case FIELD_EXEMPLAR: 
        return walk_add_message(w, f->bytes, &w->exemplars, &w->n_exemplars, &w->_cap_exemplars);
    case FIELD_HISTOGRAM: return rw_walk_add_hist(w, f->bytes);
    default: return true; /* labels: see below */
    }
}

static bool read_label(struct rw_walk *w, struct str bytes, struct label *out)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    struct pb_field f;
    *out = (struct label){0};
    while (next_field(w, &p, end, &f)) {
        if (f.number > 2)
            continue;
        if (f.wire != WIRE_BYTES)
            return rw_walk_corrupted(w, p, "label field of the wrong type");
        *(f.number == 1 ? &out->name : &out->value) = f.bytes;
    }
    return p == end;
}

bool rw_walk_reject(struct rw_walk *w, const char *reason)
{
    w->labels_ok = false;
    w->reason = reason;
    return true; /* the body remains valid: only this series is rejected */
}

bool rw_walk_build_labels(struct rw_walk *w)
{
    struct str name;
    size_t count, size = builder_size(&w->_builder, &count);
    if (builder_duplicate(&w->_builder, &name))
        return rw_walk_reject(w, "duplicate label name");
    if (count == 0)
        return rw_walk_reject(w, "no labels");
    if (size > LABELS_MAX_BYTES)
        return rw_walk_reject(w, "labels too long");
    buf_clear(&w->_label_buf);
    w->labels = builder_append(&w->_builder, &w->_label_buf);
    return true;
}

static bool rebuild_labels(struct rw_walk *w, struct str series)
{
    const uint8_t *p = (const uint8_t *)series.p, *end = p + series.n;
    struct pb_field f;
    struct label l;
    builder_start(&w->_builder, (struct labels){0});
    while (pb_next(&p, end, &f)) {
        if (f.number != FIELD_LABEL)
            continue;
        if (!read_label(w, f.bytes, &l))
            return false;
        if (!label_name_valid(l.name))
            return rw_walk_reject(w, l.name.n ? "label name is not UTF-8" : "label name is empty");
        if (!utf8_valid(l.value))
            return rw_walk_reject(w, "label value is not UTF-8");
        if (w->_builder.n == LABELS_MAX_COUNT)
            return rw_walk_reject(w, "too many labels");
        builder_add(&w->_builder, l.name, l.value);
    }
    return rw_walk_build_labels(w);
}

static bool walk_series_labels(struct rw_walk *w, const struct rw_series *s)
{
    w->label_bytes = s->split ? NULL : s->run;
    w->label_n = s->split ? 0 : (size_t)(s->run_end - s->run);
    if (w->label_n > 0 && labels_check(w->label_bytes, w->label_n, &w->labels))
        return true;
    return rebuild_labels(w, str_n(s->begin, (size_t)(s->end - s->begin)));
}

void rw_walk_begin_series(struct rw_walk *w, struct str series)
{
    const uint8_t *p = (const uint8_t *)series.p;
    w->n_samples = w->n_hists = w->n_exemplars = w->bad_exemplars = 0;
    w->starts = NULL;
    w->labels = (struct labels){0};
    w->labels_ok = true;
    w->reason = NULL;
    w->_series = (struct rw_series){.begin = p, .end = p + series.n, .at = p};
}

/* One pass over the fields, which also finds the run of labels. */
static enum rw_item walk_series_fields(struct rw_walk *w, struct rw_series *s, size_t fields)
{
    struct pb_field f;
    for (const uint8_t *from = s->at; fields > 0 && next_field(w, &s->at, s->end, &f); from = s->at, fields--) {
        if (!series_field(w, &f))
            return RW_ERROR;
        if (f.number != FIELD_LABEL)
            continue;
        s->split = s->split || (s->run && from != s->run_end);
        s->run = s->run ? s->run : from;
        s->run_end = s->at;
    }
    if (s->at != s->end)
        return fields == 0 ? RW_MORE : RW_ERROR;
    return walk_series_labels(w, s) ? RW_SERIES : RW_ERROR;
}

/* After an error the next call begins with the series again, and finds the same one. */
static enum rw_item walk_series(struct rw_walk *w, size_t fields)
{
    enum rw_item item = walk_series_fields(w, &w->_series, fields);
    if (item == RW_SERIES)
        w->p = w->_series.end;
    if (item != RW_MORE)
        w->_series.begin = NULL;
    return item;
}

/* ---- series in the usual form ---- */

/* The labels that the series begins with. */
static bool usual_labels(struct rw_walk *w, const uint8_t *p, size_t n, struct rw_mark *mark)
{
    if (w->_next_mark < w->_n_marks) {
        *mark = w->_marks[w->_next_mark];
        w->labels = (struct labels){p, mark->n, mark->count};
        return mark->n > 0;
    }
    bool ok = labels_check_first(p, n, &w->labels) && w->labels.n > 0;
    *mark = ok ? (struct rw_mark){w->labels.n, w->labels.count} : (struct rw_mark){0, 0};
    return ok;
}

/* Only samples of one form, behind the labels. */
static bool usual_samples(struct rw_walk *w, const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 2 && p[0] == TAG_SAMPLE && p[1] <= end - p - 2) {
        struct sample s;
        int64_t start;
        if (!usual_sample(str_n((const char *)p + 2, p[1]), &s, &start) || start != 0)
            return false;
        if (w->n_samples == w->_cap_samples)
            mem_grow(&w->samples, &w->_cap_samples, w->n_samples + 1, sizeof *w->samples);
        w->samples[w->n_samples++] = s;
        p += 2 + p[1];
    }
    return p == end;
}

/* For the next walk of the same body. */
static void walk_add_mark(struct rw_walk *w, struct rw_mark mark)
{
    if (w->twice && w->_next_mark == w->_n_marks && w->_n_marks < MARKS) {
        mem_grow(&w->_marks, &w->_cap_marks, w->_n_marks + 1, sizeof *w->_marks);
        w->_marks[w->_n_marks++] = mark;
    }
    w->_next_mark += w->_next_mark < w->_n_marks;
}

/* False: the series, which has begun, is to be read field by field. */
static bool walk_usual_series(struct rw_walk *w, size_t fields)
{
    const struct rw_series *s = &w->_series;
    size_t n = (size_t)(s->end - s->begin);
    struct rw_mark mark = {0, 0};
    bool usual = n > 0 && n <= USUAL_BYTES && n / FIELD_BYTES <= fields && usual_labels(w, s->begin, n, &mark)
                 && usual_samples(w, s->begin + w->labels.n, s->end);
    walk_add_mark(w, usual ? mark : (struct rw_mark){0, 0});
    if (!usual) {
        rw_walk_begin_series(w, str_n((const char *)s->begin, n));
        return false;
    }
    w->label_bytes = w->labels.p;
    w->label_n = w->labels.n;
    w->p = s->end;
    w->_series.begin = NULL;
    return true;
}

bool rw_walk_set_metadata(struct rw_walk *w, struct str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    struct pb_field f;
    w->metadata = (struct metadata){0};
    while (next_field(w, &p, end, &f)) {
        bool known =
            f.number == FIELD_TYPE || f.number == FIELD_FAMILY || f.number == FIELD_HELP || f.number == FIELD_UNIT;
        if (known && f.wire != (f.number == FIELD_TYPE ? WIRE_VARINT : WIRE_BYTES))
            return rw_walk_corrupted(w, p, "metadata field of the wrong type");
        switch (f.number) {
        case FIELD_TYPE:
            w->metadata.type = f.value <= METRIC_STATESET ? (enum metric_type)f.value : METRIC_UNKNOWN;
            break;
        case FIELD_FAMILY: w->metadata.family = f.bytes; break;
        case FIELD_HELP: w->metadata.help = f.bytes; break;
        case FIELD_UNIT: w->metadata.unit = f.bytes; break;
        }
    }
    return p == end;
}

enum rw_item rw_walk_some(struct rw_walk *w, size_t fields)
{
    const uint8_t *p = w->p;
    struct pb_field f;
    if (w->_other)
        return w->_other(w, fields);
    if (w->_series.begin)
        return walk_series(w, fields);
    while (next_field(w, &p, w->end, &f)) {
        if (f.number != FIELD_TIMESERIES && f.number != FIELD_METADATA)
            continue;
        if (f.wire != WIRE_BYTES) {
            rw_walk_corrupted(w, p, "field of the wrong type");
            return RW_ERROR;
        }
        if (f.number == FIELD_TIMESERIES) {
            rw_walk_begin_series(w, f.bytes);
            return walk_usual_series(w, fields) ? RW_SERIES : walk_series(w, fields);
        }
        if (!rw_walk_set_metadata(w, f.bytes))
            return RW_ERROR;
        w->p = p;
        return RW_METADATA;
    }
    return p == w->end ? RW_END : RW_ERROR;
}

enum rw_item rw_walk_next(struct rw_walk *w) { return rw_walk_some(w, SIZE_MAX); }

int64_t rw_hist_time(struct str hist)
{
    const uint8_t *p = (const uint8_t *)hist.p, *end = p + hist.n;
    struct pb_field f;
    int64_t t = 0;
    while (pb_next(&p, end, &f))
        if (f.number == FIELD_HIST_TIME && f.wire == WIRE_VARINT)
            t = (int64_t)f.value;
    return t;
}

int64_t rw_exemplar_time(struct str exemplar)
{
    const uint8_t *p = (const uint8_t *)exemplar.p, *end = p + exemplar.n;
    struct pb_field f;
    int64_t t = 0;
    while (pb_next(&p, end, &f))
        if (f.number == FIELD_EXEMPLAR_TIME && f.wire == WIRE_VARINT)
            t = (int64_t)f.value;
    return t;
}
