// SPDX-License-Identifier: Apache-2.0
/* Decodes VictoriaMetrics' /api/v1/export/native (model/native_block.h): the blocks of its storage as they are, in any
 * order.
 *
 * 1. While the response arrives, blocks that touch the window are kept as they are, a list for each series. Those of which
 *    few samples are in the window are decoded at once, while the server makes the next ones.
 * 2. At its end each series is decoded into one array, sorted if its blocks overlap (samples that arrived late), and
 *    appended to the response.
 *
 * A block has up to 8,192 samples, regardless of the window. For a short window of old data that is far more than the
 * JSON export of the window alone. Such a response is abandoned after BLOCKS_TRIAL bytes: measured with 5,000 series of
 * 420 samples in a block, 15 s apart, and VictoriaMetrics 1.145, a sample of this export takes 8 ns of the server's CPU
 * time and 11 ns here; one of the JSON export takes 600 and 200. It is abandoned as well when it is not understood.
 */
#include "gateway/upstream/decode/export_blocks.h"

#include "base/map.h"
#include "model/json_labels.h"
#include "model/native_block.h"

#include <stdlib.h>

enum { BLOCKS_NAME = 1 << 17 }; /* bytes at most */
enum { BLOCKS_TRIAL = 256 << 10, BLOCKS_WASTE = 40 }; /* samples received for one in the window */
enum { BLOCKS_TIMES = 16 };                           /* whose times are remembered */

struct exported_block {
    struct exported_block *next;
    struct native_block block;
    struct sample *decoded; uint32_t n_decoded; /* those in the window; NULL: it is decoded at the end */
};
struct exported_series {
    struct exported_series *next; /* in order of arrival */
    struct str name;
    struct exported_block *blocks;
    size_t rows, n_blocks;
};

/* The times of a block. */
struct exported_times {
    struct native_numbers packed;
    uint32_t rows;             /* 0: none */
    int64_t to;
    int64_t *items; size_t cap;
    uint32_t cut_from, cut_to; /* of them, those in the window */
};

struct blocks_response {
    struct decoder decoder;
    struct response *response;
    enum blocks_refusal *refusal;
    struct buf pending;
    bool begun;                /* the range was read */
    uint64_t bytes, received;  /* samples */
    double wanted;             /* of these, about, in the window */
    struct map by_name;
    struct exported_series *first, **end;
    struct zstd *zstd;
    struct buf unpacked, text;
    struct json_labels labels;
    int64_t *numbers;          /* NATIVE_ROWS */
    struct exported_times timed[BLOCKS_TIMES]; unsigned next_timed;
    struct sample *samples; size_t cap;
};

static bool blocks_not_understood(struct blocks_response *x, struct err *err, const char *why)
{
    *x->refusal = BLOCKS_NOT_UNDERSTOOD;
    return err_set(err, ERR_BAD_GATEWAY, "native export: %s", why);
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

/* With less precision VictoriaMetrics repairs the times after it has decoded them. */
static bool blocks_parse_one(struct str text, struct native_block *b)
{
    return native_block_parse(text, b) && b->precision == 64;
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

static void blocks_open(struct blocks_response *x)
{
    x->zstd = zstd_new();
    x->numbers = mem_alloc(NATIVE_ROWS * sizeof *x->numbers);
}

static bool blocks_unpack(struct blocks_response *x, const struct native_numbers *from, uint32_t n, int64_t *numbers)
{
    return native_unpack(x->zstd, &x->unpacked, from, n, false, numbers);
}

static bool exported_times_are(const struct exported_times *times, const struct exported_block *b)
{
    return times->rows == b->block.rows && times->packed.first == b->block.times.first && times->to == b->block.to &&
           times->packed.packing == b->block.times.packing && str_eq(times->packed.bytes, b->block.times.bytes);
}

static void exported_times_cut(struct exported_times *times, const struct response *to)
{
    uint32_t from = 0, end;
    while (from < times->rows && times->items[from] < to->t_min)
        from++;
    for (end = from; end < times->rows && times->items[end] <= to->t_max;)
        end++;
    while (to->newest && from + 1 < end && times->items[from] < times->items[end - 1])
        from++;
    times->cut_from = from;
    times->cut_to = end;
}

static bool exported_times_decode(struct blocks_response *x, const struct exported_block *b, struct exported_times *times)
{
    mem_grow(&times->items, &times->cap, b->block.rows, sizeof *times->items);
    times->rows = 0;
    if (!blocks_unpack(x, &b->block.times, b->block.rows, times->items))
        return false;
    for (uint32_t i = 0; i < b->block.rows; i++)
        if (times->items[i] < (i ? times->items[i - 1] : b->block.times.first) || times->items[i] > b->block.to)
            return false;
    times->packed = b->block.times;
    times->rows = b->block.rows;
    times->to = b->block.to;
    exported_times_cut(times, x->response);
    return true;
}

/* The times of a block; NULL: they are not understood. Blocks of one target have the same times, which are decoded once: the
 * server sends those of some targets in turn. */
static const struct exported_times *blocks_times_of(struct blocks_response *x, const struct exported_block *b)
{
    if (x->numbers == NULL)
        blocks_open(x);
    for (unsigned i = 0; i < BLOCKS_TIMES; i++)
        if (exported_times_are(&x->timed[i], b))
            return &x->timed[i];
    struct exported_times *times = &x->timed[x->next_timed++ % BLOCKS_TIMES];
    return exported_times_decode(x, b, times) ? times : NULL;
}

/* The samples of a block that are in the window, of which there are some. */
static bool blocks_decode_values(struct blocks_response *x, const struct exported_block *b,
                                 const struct exported_times *times, struct sample *to)
{
    double power = native_power(b->block.exponent);
    if (!blocks_unpack(x, &b->block.values, times->cut_to, x->numbers))
        return false;
    for (uint32_t i = times->cut_from; i < times->cut_to; i++, to++)
        *to = (struct sample){times->items[i], native_value(x->numbers[i], b->block.exponent, power)};
    return true;
}

/* Appends the samples of a block that are in the window; there is space for all. */
static bool blocks_decode_one(struct blocks_response *x, const struct exported_block *b, size_t *n)
{
    if (b->decoded) {
        if (b->n_decoded > 0)
            memcpy(x->samples + *n, b->decoded, b->n_decoded * sizeof *b->decoded);
        *n += b->n_decoded;
        return true;
    }
    const struct exported_times *times = blocks_times_of(x, b);
    if (times == NULL || (times->cut_from < times->cut_to && !blocks_decode_values(x, b, times, x->samples + *n)))
        return false;
    *n += times->cut_to - times->cut_from;
    return true;
}

/* --- arrival ------------------------------------------------------------------------------------------------------ */

static struct exported_series *blocks_series_named(struct blocks_response *x, struct str name)
{
    bool added;
    struct map_entry *e = map_find(&x->by_name, name);
    if (e)
        return e->value.p;
    struct exported_series *s = ARENA_NEW(x->response->arena, struct exported_series);
    s->name = arena_str(x->response->arena, name);
    map_add(&x->by_name, s->name, &added)->value.p = s;
    *x->end = s;
    x->end = &s->next;
    return s;
}

/* The part of the block's time that is in the window. */
static double blocks_share(const struct blocks_response *x, const struct exported_block *b)
{
    double first = (double)b->block.times.first, from = first > (double)x->response->t_min ? first : (double)x->response->t_min;
    double to = (double)(b->block.to < x->response->t_max ? b->block.to : x->response->t_max);
    return from > to ? 0 : first >= (double)b->block.to ? 1 : (to - from) / ((double)b->block.to - first);
}

/* If the samples in the window do not take much more memory than the block. False: it is kept as it is, also if it is not
 * understood. */
static bool blocks_decode_early(struct blocks_response *x, struct exported_block *b)
{
    double wanted = b->block.rows * blocks_share(x, b) * sizeof(struct sample);
    const struct exported_times *times = wanted > 2 * (double)b->block.values.bytes.n ? NULL : blocks_times_of(x, b);
    if (times == NULL)
        return false;
    uint32_t n = times->cut_to - times->cut_from;
    struct sample *samples = arena_alloc(x->response->arena, n * sizeof *samples);
    if (n > 0 && !blocks_decode_values(x, b, times, samples))
        return false;
    b->decoded = samples;
    b->n_decoded = n;
    return true;
}

static bool blocks_keep_one(struct blocks_response *x, struct str name, struct str text, struct err *err)
{
    struct exported_block b = {0};
    if (!blocks_parse_one(text, &b.block))
        return blocks_not_understood(x, err, "unknown form of a block");
    if (!query_charge(&x->response->work, QUERY_CHARGE_LABELS, err))
        return false;
    x->received += b.block.rows;
    x->wanted += b.block.rows * blocks_share(x, &b);
    if (b.block.times.first > x->response->t_max || b.block.to < x->response->t_min)
        return true;
    struct exported_series *s = blocks_series_named(x, name);
    struct exported_block *kept = ARENA_NEW(x->response->arena, struct exported_block);
    *kept = b;
    kept->block.times.bytes = arena_str(x->response->arena, b.block.times.bytes);
    if (!blocks_decode_early(x, kept))
        kept->block.values.bytes = arena_str(x->response->arena, b.block.values.bytes);
    kept->next = s->blocks;
    s->blocks = kept;
    s->rows += kept->decoded ? kept->n_decoded : b.block.rows;
    s->n_blocks++;
    return response_check_budget(x->response, s->rows, err);
}

static bool blocks_wasteful(const struct blocks_response *x)
{
    return x->bytes > BLOCKS_TRIAL && (double)x->received > BLOCKS_WASTE * x->wanted;
}

/* Takes the next name and block. Returns the bytes they have; 0: they are not complete, or *failed. */
static size_t blocks_take(struct blocks_response *x, struct str rest, bool *failed, struct err *err)
{
    size_t n_name = rest.n >= 4 ? native_length(rest.p) : 0;
    *failed = n_name > BLOCKS_NAME;
    if (*failed)
        blocks_not_understood(x, err, "the name of a series is too long");
    if (*failed || rest.n < 8 || rest.n - 8 < n_name)
        return 0;
    size_t n_block = native_length(rest.p + 4 + n_name);
    *failed = n_block > NATIVE_LENGTH;
    if (*failed)
        blocks_not_understood(x, err, "a block is too long");
    if (*failed || rest.n - 8 - n_name < n_block)
        return 0;
    *failed = !blocks_keep_one(x, str_n(rest.p + 4, n_name), str_n(rest.p + 8 + n_name, n_block), err);
    return 8 + n_name + n_block;
}

static bool blocks_feed(struct decoder *d, struct str piece, struct err *err)
{
    struct blocks_response *x = CONTAINER(d, struct blocks_response, decoder);
    size_t at = 0;
    bool failed = false;
    buf_add_str(&x->pending, piece);
    x->bytes += piece.n;
    if (!x->begun && x->pending.n >= NATIVE_RANGE) {
        x->begun = true;
        at = NATIVE_RANGE;
    }
    for (size_t n = 1; x->begun && n > 0 && !failed; at += n)
        n = blocks_take(x, str_skip(buf_str(&x->pending), at), &failed, err);
    buf_drop_front(&x->pending, at);
    if (failed || !blocks_wasteful(x))
        return !failed;
    *x->refusal = BLOCKS_WASTEFUL;
    return err_set(err, ERR_BAD_GATEWAY, "native export: too few samples are in the window");
}

/* --- series ------------------------------------------------------------------------------------------------------- */

static int blocks_compare_times(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    return x->t < y->t ? -1 : x->t > y->t;
}

static int blocks_compare(const void *a, const void *b)
{
    const struct exported_block *const *x = a, *const *y = b;
    return (*x)->block.times.first < (*y)->block.times.first ? -1 : (*x)->block.times.first > (*y)->block.times.first;
}

/* The blocks of a series by time. True: some overlap. */
static bool blocks_sort(struct blocks_response *x, const struct exported_series *s, struct exported_block **blocks)
{
    size_t n = 0;
    bool overlap = false;
    for (struct exported_block *b = s->blocks; b; b = b->next)
        blocks[n++] = b;
    qsort(blocks, n, sizeof *blocks, blocks_compare);
    for (size_t i = 1; i < n; i++)
        overlap = overlap || blocks[i]->block.times.first < blocks[i - 1]->block.to;
    mem_grow(&x->samples, &x->cap, s->rows, sizeof *x->samples);
    return overlap;
}

/* Nearly all names are without escapes, and have few labels, sorted but for that of the metric and some that
 * VictoriaMetrics puts first. False: this one is not. */
static bool blocks_add_plain_labels(struct blocks_response *x, struct str name)
{
    enum { PLAIN_LABELS = 32 };
    struct label labels[PLAIN_LABELS], label = {.name = STR(METRIC_NAME)};
    size_t n = 0;
    if (name.n == 0 || memchr(name.p, 0, name.n) || !native_name_cut(&name, &label.value))
        return false;
    for (;;) {
        size_t at = n++;
        for (; at > 0 && str_cmp(label.name, labels[at - 1].name) < 0; at--)
            labels[at] = labels[at - 1];
        labels[at] = label;
        if (name.n == 0)
            break;
        if (n == PLAIN_LABELS || !native_name_cut(&name, &label.name) || !native_name_cut(&name, &label.value))
            return false;
    }
    for (size_t i = 0; i < n; i++)
        json_labels_add(&x->labels, labels[i].name, labels[i].value);
    return true;
}

static bool blocks_labels(struct blocks_response *x, struct str name, struct labels *out, struct err *err)
{
    json_labels_start(&x->labels);
    if (blocks_add_plain_labels(x, name))
        return json_labels_end(&x->labels, out, err);
    json_labels_name(&x->labels, STR(METRIC_NAME));
    bool known = native_name_part(&name, &x->text);
    json_labels_value(&x->labels, buf_str(&x->text));
    while (known && name.n > 0) {
        known = native_name_part(&name, &x->text);
        json_labels_name(&x->labels, buf_str(&x->text));
        known = known && native_name_part(&name, &x->text);
        json_labels_value(&x->labels, buf_str(&x->text));
    }
    return known ? json_labels_end(&x->labels, out, err) : blocks_not_understood(x, err, "unknown form of a name");
}

static bool blocks_decode_series(struct blocks_response *x, const struct exported_series *s, struct err *err)
{
    struct labels labels;
    size_t n = 0;
    struct exported_block *one = NULL, **blocks = s->n_blocks > 1 ? mem_alloc(s->n_blocks * sizeof *blocks) : &one;
    bool overlap = blocks_sort(x, s, blocks), ok = true;
    for (size_t i = 0; ok && i < s->n_blocks; i++)
        ok = blocks_decode_one(x, blocks[i], &n);
    if (s->n_blocks > 1)
        mem_free(blocks);
    if (!ok)
        return blocks_not_understood(x, err, "unknown form of a block's samples");
    if (overlap)
        qsort(x->samples, n, sizeof *x->samples, blocks_compare_times);
    return blocks_labels(x, s->name, &labels, err) &&
           response_add(x->response, labels, x->samples, samples_drop_duplicates(x->samples, n), NULL, 0, err);
}

static bool blocks_finish(struct decoder *d, struct err *err)
{
    struct blocks_response *x = CONTAINER(d, struct blocks_response, decoder);
    bool ok = x->begun && x->pending.n == 0;
    if (!ok)
        return blocks_not_understood(x, err, "unexpected end");
    for (const struct exported_series *s = x->first; ok && s; s = s->next)
        ok = blocks_decode_series(x, s, err);
    return ok;
}

static void blocks_free(struct decoder *d)
{
    struct blocks_response *x = CONTAINER(d, struct blocks_response, decoder);
    buf_free(&x->pending);
    buf_free(&x->unpacked);
    buf_free(&x->text);
    map_free(&x->by_name);
    zstd_free(x->zstd);
    json_labels_free(&x->labels);
    for (unsigned i = 0; i < BLOCKS_TIMES; i++)
        mem_free(x->timed[i].items);
    mem_free(x->numbers);
    mem_free(x->samples);
    mem_free(x);
}

struct decoder *blocks_decoder_new(struct response *a, enum blocks_refusal *refusal)
{
    struct blocks_response *x = mem_zalloc(sizeof *x);
    x->decoder = (struct decoder){blocks_feed, blocks_finish, blocks_free, NULL};
    x->response = a;
    x->refusal = refusal;
    x->end = &x->first;
    *refusal = BLOCKS_WANTED;
    return &x->decoder;
}
