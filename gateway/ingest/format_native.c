// SPDX-License-Identifier: Apache-2.0
/* VictoriaMetrics' native format, as its /api/v1/export/native writes it: blocks of its storage (model/native_block.h). The
 * first record of the body is the range of times, outside which samples are dropped; each further one is a series and a block
 * of its samples.
 * Source: https://docs.victoriametrics.com/victoriametrics/#how-to-import-data-in-native-format
 */
#include "base/varint.h"
#include "gateway/ingest/ingest_format.h"
#include "model/native_block.h"

enum { NATIVE_LENGTHS = 8 /* bytes: of the name and of the block */ };

struct native_state {
    bool begun;
    int64_t from, to;
    struct buf unpacked, text;
};

static int64_t native_time(const char *p) { return unzigzag((uint64_t)native_length(p) << 32 | native_length(p + 4)); }

static bool native_range(struct native_state *s, struct str record, struct err *err)
{
    if (record.n < NATIVE_RANGE)
        return err_set(err, ERR_BAD_DATA, "the body ends within the range of times");
    s->begun = true;
    s->from = native_time(record.p);
    s->to = native_time(record.p + NATIVE_RANGE / 2);
    return true;
}

static size_t native_record(struct ingest *in, struct str text)
{
    if (!((struct native_state *)in->state)->begun)
        return NATIVE_RANGE;
    size_t name = text.n >= 4 ? native_length(text.p) : 0;
    if (name > NATIVE_LENGTH)
        return SIZE_MAX;
    if (text.n < NATIVE_LENGTHS + name)
        return 0;
    size_t block = native_length(text.p + 4 + name);
    return block > NATIVE_LENGTH ? SIZE_MAX : NATIVE_LENGTHS + name + block;
}

/* ---- labels ---- */

static bool native_next_part(struct ingest *in, struct str *rest, bool escapes, struct str *part)
{
    struct native_state *s = in->state;
    if (!escapes)
        return native_name_cut(rest, part);
    if (!native_name_part(rest, &s->text))
        return false;
    *part = arena_str(in->scratch, buf_str(&s->text));
    return true;
}

static bool native_labels(struct ingest *in, struct str name, struct err *err)
{
    bool escapes = str_find(name, '\0') < name.n;
    struct label label = {.name = STR(METRIC_NAME)};
    ingest_series_begin(in);
    if (!native_next_part(in, &name, escapes, &label.value))
        return err_set(err, ERR_BAD_DATA, "the name of the series has an unknown form");
    if (!ingest_label(in, label.name, label.value, err))
        return false;
    while (name.n > 0) {
        if (!native_next_part(in, &name, escapes, &label.name) || !native_next_part(in, &name, escapes, &label.value))
            return err_set(err, ERR_BAD_DATA, "the labels of the series have an unknown form");
        if (!ingest_label(in, label.name, label.value, err))
            return false;
    }
    return true;
}

/* ---- samples ---- */

/* VictoriaMetrics checks the times of packings that have no checksum. */
static bool native_times_valid(const int64_t *times, const struct native_block *b)
{
    if (b->times.packing != NATIVE_DELTA && b->times.packing != NATIVE_DELTA2)
        return true;
    for (uint32_t i = 0; i < b->rows; i++)
        if (times[i] < (i > 0 ? times[i - 1] : b->times.first) || times[i] > b->to)
            return false;
    return true;
}

/* The samples of the block that are in the range of times. */
static bool native_samples(struct ingest *in, const struct native_block *b, struct sample **samples, size_t *n, struct err *err)
{
    struct native_state *s = in->state;
    int64_t *times = ARENA_ARRAY(in->scratch, int64_t, b->rows), *values = ARENA_ARRAY(in->scratch, int64_t, b->rows);
    double power = native_power(b->exponent);
    if (!native_unpack(ingest_zstd(in), &s->unpacked, &b->times, b->rows, true, times))
        return err_set(err, ERR_BAD_DATA, "the times of the block are corrupted");
    if (b->precision < 64)
        native_order_times(times, b);
    else if (!native_times_valid(times, b))
        return err_set(err, ERR_BAD_DATA, "the times of the block are out of order, or outside its range");
    if (!native_unpack(ingest_zstd(in), &s->unpacked, &b->values, b->rows, true, values))
        return err_set(err, ERR_BAD_DATA, "the values of the block are corrupted");
    *samples = ARENA_ARRAY(in->scratch, struct sample, b->rows);
    for (uint32_t i = 0; i < b->rows; i++)
        if (times[i] >= s->from && times[i] <= s->to)
            (*samples)[(*n)++] = (struct sample){times[i], native_value(values[i], b->exponent, power)};
    return true;
}

static bool native_line(struct ingest *in, struct str record, struct err *err)
{
    struct native_state *s = in->state;
    struct native_block b;
    struct sample *samples = NULL;
    size_t n = 0;
    if (!s->begun)
        return native_range(s, record, err);
    if (native_record(in, record) != record.n)
        return err_set(err, ERR_BAD_DATA, "the body ends within a block");
    struct str name = str_n(record.p + 4, native_length(record.p)), block = str_skip(record, NATIVE_LENGTHS + name.n);
    if (!native_block_parse(block, &b))
        return err_set(err, ERR_BAD_DATA, "the block has an unknown form");
    if (!native_samples(in, &b, &samples, &n, err) || !native_labels(in, name, err))
        return false;
    return n == 0 || ingest_series_end(in, samples, n, err);
}

/* ---- requests ---- */

static bool native_begin(struct ingest *in, struct err *err UNUSED)
{
    in->state = mem_zalloc(sizeof(struct native_state));
    in->max_line = NATIVE_LENGTHS + 2 * NATIVE_LENGTH;
    return true;
}

static bool native_finish(struct ingest *in, struct err *err)
{
    return ((struct native_state *)in->state)->begun || err_set(err, ERR_BAD_DATA, "the body has no range of times");
}

static void native_end(struct ingest *in)
{
    struct native_state *s = in->state;
    if (s == NULL)
        return;
    buf_free(&s->unpacked);
    buf_free(&s->text);
    mem_free(s);
}

const struct ingest_format ingest_native = {
    .id = INGEST_NATIVE, .success = 204, .begin = native_begin, .record = native_record, .line = native_line,
    .finish = native_finish, .end = native_end,
};
void api_import_native(struct http_request *r) { ingest_request(r, &ingest_native); }
