// SPDX-License-Identifier: Apache-2.0
/* Encoding. A sample is a tag byte and up to eight more bytes, whose number is in the tag:
 *
 *   bits 0-1   value: 0 equal to the previous one; 1 both are integers, encoded as difference; 2 and 3 XOR of the bits
 *   bit  2     the time step differs from the previous one: a zigzag varint of the difference follows the tag
 *   bits 3-7   equal: number of further samples with this value and step, which take no bytes
 *              difference: number of bytes (3 bits), the lowest two bits of the zigzag form; the bytes are the rest
 *              XOR: number of bytes less one (3 bits), number of trailing zero bytes (2 bits; bit 0 is the third)
 *
 * So an unchanged gauge takes nothing, a histogram's bucket two bytes, a counter three. Complete bytes whose number is
 * known in advance are used because decoding is the hot path: a single load reads them all, which takes 0.4 to 2.6 ns a
 * sample, where varints took 0.9 to 4.4. The first sample is encoded relative to t = t_min, dt = 0, v = 0. Times may be
 * at both ends of their range: steps wrap, and wrap back when decoded.
 */
#include "model/chunk.h"

#include "base/varint.h"

#include <endian.h>

enum { SAME = 0, DELTA = 1, XOR = 2, VALUE_MASK = 3, STEP_CHANGED = 4 };
enum { REST_SHIFT = 3, HIGH_SHIFT = 6, MOST_REPEATS = 31 };
#define WHOLE_LIMIT 9007199254740992.0 /* 2^53 */

struct chunk_mark {
    uint32_t t, dt;      /* of the sample before the tag: ms since the chunk's t_min, and its step */
    uint8_t v[8];        /* its value, as in memory */
    uint16_t offset, n;  /* of the tag; number of samples before it */
};
enum { MARK_SIZE = sizeof(struct chunk_mark) };

static size_t chunk_memory_for(size_t bytes) { return offsetof(struct chunk, bytes) + bytes; }

/* At least `bytes`, rounded up as malloc does. */
static uint16_t chunk_capacity_for(size_t bytes)
{
    return (uint16_t)(mem_block(chunk_memory_for(bytes)) - MEM_BLOCK_HEAD - chunk_memory_for(0));
}

struct chunk *chunk_new(uint32_t bytes)
{
    uint16_t cap = chunk_capacity_for(bytes);
    struct chunk *c = mem_alloc(chunk_memory_for(cap));
    *c = (struct chunk){.cap = cap};
    refs_init(&c->refs);
    return c;
}

void chunk_unref(struct chunk *c)
{
    if (c && refs_drop(&c->refs))
        mem_free(c);
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

/* The k-th is the k-th from the end: the lane never moves those that exist, unless the chunk is reallocated. */
static uint8_t *mark_at(struct chunk *c, unsigned k) { return c->bytes + c->cap - (k + 1u) * MARK_SIZE; }

static struct chunk_mark chunk_mark(const struct chunk *c, unsigned k)
{
    struct chunk_mark m;
    memcpy(&m, c->bytes + c->cap - (k + 1u) * MARK_SIZE, sizeof m);
    return m;
}

static size_t chunk_free_bytes(const struct chunk *c) { return c->cap - c->size - c->n_marks * (size_t)MARK_SIZE; }

static bool mark_due(const struct chunk *c)
{
    return c->size >= (c->n_marks + 1u) * CHUNK_MARK_BYTES && !c->unmarked;
}

/* Before a tag is written. Times that exceed a mark's are not marked. */
static void chunk_add_mark(struct chunk *c, const struct chunk_tail *tail)
{
    uint64_t t = (uint64_t)tail->t - (uint64_t)c->t_min, dt = (uint64_t)tail->dt;
    if (t > UINT32_MAX || dt > UINT32_MAX)
        return;
    struct chunk_mark m = {.t = (uint32_t)t, .dt = (uint32_t)dt, .offset = c->size, .n = c->n};
    memcpy(m.v, &tail->v, sizeof m.v);
    memcpy(mark_at(c, c->n_marks++), &m, sizeof m);
}

static int64_t mark_time(const struct chunk *c, const struct chunk_mark *m) { return c->t_min + (int64_t)m->t; }

/* Number of marks before the window that begins at t_min: decoding starts at the last of them, if there is one. */
static unsigned marks_before(const struct chunk *c, int64_t t_min)
{
    unsigned n = c->n_marks;
    for (; n > 0; n--) {
        struct chunk_mark m = chunk_mark(c, n - 1);
        if (mark_time(c, &m) < t_min)
            break;
    }
    return n;
}

/* Offset of the first mark from `from` on that has only later samples behind it, or the end. */
static uint16_t chunk_end_offset(const struct chunk *c, unsigned from, int64_t t_max)
{
    if (c->t_max <= t_max)
        return c->size;
    for (unsigned k = from; k < c->n_marks; k++) {
        struct chunk_mark m = chunk_mark(c, k);
        if (mark_time(c, &m) >= t_max)
            return m.offset;
    }
    return c->size;
}

/* Moves the marks, whose chunk has the capacity for both places, to the end of another capacity. */
static void chunk_set_cap(struct chunk *c, uint16_t cap)
{
    size_t n = c->n_marks * (size_t)MARK_SIZE;
    memmove(c->bytes + cap - n, c->bytes + c->cap - n, n);
    c->cap = cap;
}

/* --- whole chunks ------------------------------------------------------------------------------------------------- */

struct chunk *chunk_seal(struct chunk *c)
{
    chunk_set_cap(c, (uint16_t)(c->size + c->n_marks * MARK_SIZE));
    return mem_realloc(c, chunk_memory_for(c->cap));
}

struct chunk *chunk_copy(const struct chunk *c, int64_t t_min, struct arena *a)
{
    unsigned skipped = marks_before(c, t_min);
    struct chunk_mark from = {0};
    if (skipped > 0)
        from = chunk_mark(c, skipped - 1);
    uint16_t size = (uint16_t)(c->size - from.offset), cap = (uint16_t)(size + (skipped > 0 ? MARK_SIZE : 0));
    struct chunk *copy = arena_alloc(a, chunk_memory_for(cap));
    memcpy(copy, c, chunk_memory_for(0));
    memcpy(copy->bytes, c->bytes + from.offset, size);
    copy->size = size;
    copy->cap = cap;
    copy->n = (uint16_t)(c->n - from.n);
    copy->n_marks = skipped > 0;
    if (skipped > 0) {
        from.offset = from.n = 0;
        memcpy(mark_at(copy, 0), &from, sizeof from);
    }
    return copy;
}

struct chunk *chunk_scratch(struct arena *a)
{
    enum { CAPACITY = CHUNK_SAMPLES * CHUNK_SAMPLE_BYTES };
    struct chunk *c = arena_alloc(a, chunk_memory_for(CAPACITY));
    if (c)
        *c = (struct chunk){.cap = CAPACITY, .unmarked = true};
    return c;
}

static int64_t minus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static int64_t plus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

/* --- appending ---------------------------------------------------------------------------------------------------- */

static uint8_t *chunk_put_bytes(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        *p++ = (uint8_t)(v >> (8 * i));
    return p;
}

/* Number of bytes. */
static unsigned width(uint64_t v) { return v == 0 ? 0 : 8 - (unsigned)__builtin_clzll(v) / 8; }

static bool whole(double v, int64_t *as)
{
    if (!(fabs(v) < WHOLE_LIMIT))
        return false;
    *as = (int64_t)v;
    return double_bits((double)*as) == double_bits(v); /* neither -0 nor a fraction */
}

static uint8_t *put_value(uint8_t *p, uint8_t *tag, double before, double v)
{
    uint64_t x = double_bits(before) ^ double_bits(v);
    int64_t a, b;
    if (x == 0)
        return p;
    if (whole(before, &a) && whole(v, &b)) {
        uint64_t u = zigzag(b - a); /* below 2^55 */
        unsigned n = width(u >> 2);
        *tag |= (uint8_t)(DELTA | n << REST_SHIFT | (u & 3) << HIGH_SHIFT);
        return chunk_put_bytes(p, u >> 2, n);
    }
    unsigned zeros = (unsigned)__builtin_ctzll(x) / 8, n = width(x >> (8 * zeros));
    *tag |= (uint8_t)(XOR | (n - 1) << REST_SHIFT | (zeros & 3) << HIGH_SHIFT | zeros >> 2);
    return chunk_put_bytes(p, x >> (8 * zeros), n);
}

/* A quarter more, but not more than expected from the samples so far: unused capacity fragments memory when the chunk
 * is sealed. (The benchmark's 30,000 series: 62.5 MB; reserving all of the expected size at a quarter of the samples:
 * 65.) */
static struct chunk *chunk_grow(struct chunk *c, size_t wanted)
{
    size_t used = c->cap - chunk_free_bytes(c), min = used + wanted, quarter = min + used / 4u;
    size_t likely = min + used * (CHUNK_SAMPLES - c->n) / (c->n + 1u);
    uint16_t cap = chunk_capacity_for(likely < quarter ? likely : quarter);
    c = mem_realloc(c, chunk_memory_for(cap));
    chunk_set_cap(c, cap);
    return c;
}

/* Another sample equal to the last one only increments the count in its tag. */
static bool repeats(struct chunk *c, const struct chunk_tail *tail, int64_t dt, double v)
{
    if (c->repeat_tag == 0 || dt != tail->dt || double_bits(v) != double_bits(tail->v))
        return false;
    uint8_t *tag = &c->bytes[c->repeat_tag - 1];
    *tag = (uint8_t)(*tag + (1 << REST_SHIFT));
    if (*tag >> REST_SHIFT == MOST_REPEATS)
        c->repeat_tag = 0;
    return true;
}

struct chunk *chunk_append(struct chunk *c, struct chunk_tail *tail, int64_t t, double v)
{
    if (c->n == 0) {
        *tail = (struct chunk_tail){t, 0, 0};
        c->t_min = t;
    }
    int64_t dt = minus(t, tail->t);
    if (!repeats(c, tail, dt, v)) {
        size_t wanted = CHUNK_SAMPLE_BYTES + (mark_due(c) ? MARK_SIZE : 0);
        if (chunk_free_bytes(c) < wanted)
            c = chunk_grow(c, wanted);
        if (wanted > CHUNK_SAMPLE_BYTES)
            chunk_add_mark(c, tail);
        uint8_t *tag = c->bytes + c->size, *p = tag + 1;
        *tag = 0;
        if (dt != tail->dt) {
            *tag = STEP_CHANGED;
            p = varint_put(p, zigzag(minus(dt, tail->dt)));
        }
        p = put_value(p, tag, tail->v, v);
        c->repeat_tag = (*tag & VALUE_MASK) == SAME ? (uint16_t)(c->size + 1) : 0;
        c->size = (uint16_t)(p - c->bytes);
    }
    c->n++;
    c->t_max = t;
    *tail = (struct chunk_tail){t, dt, v};
    return c;
}

/* --- decoding ----------------------------------------------------------------------------------------------------- */

struct chunk_cursor {
    const uint8_t *p;
    int64_t t, dt;
    double v;
    struct sample *out;
};

static inline const uint8_t *get_varint(const uint8_t *p, uint64_t *v)
{
    uint64_t sum = *p & 0x7f;
    for (unsigned shift = 7; *p++ & 0x80; shift += 7)
        sum |= (uint64_t)(*p & 0x7f) << shift;
    *v = sum;
    return p;
}

static inline uint64_t load_eight(const uint8_t *p)
{
    uint64_t u;
    memcpy(&u, p, sizeof u);
    return le64toh(u);
}

static inline void next_time(struct chunk_cursor *c, uint8_t tag)
{
    if (tag & STEP_CHANGED) {
        uint64_t u;
        c->p = get_varint(c->p, &u);
        c->dt = plus(c->dt, unzigzag(u));
    }
    c->t = plus(c->t, c->dt);
}

static inline void cursor_put_sample(struct chunk_cursor *c, double v) { *c->out++ = (struct sample){c->t, v}; }

/* Series rarely change their kind of encoding, so each kind has its own loop, in which the sum is carried as an
 * integer: converting between double and integer each time would add latency. Differences keep their width too: with
 * predicted branches the width need not be known before the next tag is read (1.45 ns a sample instead of 2.0). For
 * XORs that did not pay.
 */
static void get_deltas(struct chunk_cursor *cursor, const uint8_t *end, uint8_t tag)
{
    struct chunk_cursor c = *cursor;
    int64_t whole = (int64_t)c.v;
    for (;; tag = *c.p++) {
        next_time(&c, tag);
        unsigned n = tag >> REST_SHIFT & 7;
        uint64_t u = load_eight(c.p);
        switch (n) {
        case 0: u = 0; break;
        case 1: u &= 0xff; c.p += 1; break;
        case 2: u &= 0xffff; c.p += 2; break;
        case 3: u &= 0xffffff; c.p += 3; break;
        default: u &= ~(UINT64_MAX << (8 * n)); c.p += n; break;
        }
        whole += unzigzag(u << 2 | tag >> HIGH_SHIFT);
        cursor_put_sample(&c, (double)whole);
        if (c.p >= end || (*c.p & VALUE_MASK) != DELTA)
            break;
    }
    c.v = (double)whole;
    *cursor = c;
}

static void get_xors(struct chunk_cursor *cursor, const uint8_t *end, uint8_t tag)
{
    struct chunk_cursor c = *cursor;
    uint64_t bits = double_bits(c.v);
    for (;; tag = *c.p++) {
        next_time(&c, tag);
        unsigned n = (tag >> REST_SHIFT & 7) + 1u, zeros = tag >> HIGH_SHIFT | (tag & 1u) << 2;
        bits ^= (load_eight(c.p) & UINT64_MAX >> (64 - 8 * n)) << (8 * zeros);
        cursor_put_sample(&c, double_from_bits(bits));
        c.p += n;
        if (c.p >= end || (*c.p & XOR) == 0)
            break;
    }
    c.v = double_from_bits(bits);
    *cursor = c;
}

static void get_same(struct chunk_cursor *c, uint8_t tag)
{
    next_time(c, tag);
    cursor_put_sample(c, c->v);
    for (unsigned n = tag >> REST_SHIFT; n > 0; n--) {
        c->t = plus(c->t, c->dt);
        cursor_put_sample(c, c->v);
    }
}

/* Samples that begin before `end`, after which a maximum-size sample can be read safely. */
static void chunk_decode_until(struct chunk_cursor *c, const uint8_t *end)
{
    while (c->p < end) {
        uint8_t tag = *c->p++;
        switch (tag & VALUE_MASK) {
        case SAME: get_same(c, tag); break;
        case DELTA: get_deltas(c, end, tag); break;
        default: get_xors(c, end, tag); break;
        }
    }
}

static uint32_t first_not_before(const struct sample *samples, uint32_t n, int64_t t)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (samples[mid].t < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Only the chunks at the ends of the window exceed it: the others are decoded without checking each sample. */
static uint32_t chunk_trim_samples(struct sample *samples, uint32_t n, int64_t t_min, int64_t t_max)
{
    while (n > 0 && samples[n - 1].t > t_max)
        n--;
    if (n == 0 || samples[0].t >= t_min)
        return n;
    uint32_t from = first_not_before(samples, n, t_min);
    memmove(samples, samples + from, (n - from) * sizeof *samples);
    return n - from;
}

static struct chunk_cursor chunk_cursor_at(const struct chunk *chunk, unsigned n_marks, struct sample *out)
{
    if (n_marks == 0)
        return (struct chunk_cursor){.p = chunk->bytes, .t = chunk->t_min, .out = out};
    struct chunk_mark m = chunk_mark(chunk, n_marks - 1);
    struct chunk_cursor c = {.p = chunk->bytes + m.offset, .t = mark_time(chunk, &m), .dt = m.dt, .out = out};
    memcpy(&c.v, m.v, sizeof c.v);
    return c;
}

uint32_t chunk_decode(const struct chunk *chunk, int64_t t_min, int64_t t_max, struct sample *out)
{
    enum { LAST = CHUNK_SAMPLE_BYTES - 1 };
    uint8_t last[2 * CHUNK_SAMPLE_BYTES] = {0};
    unsigned skipped = marks_before(chunk, t_min);
    struct chunk_cursor c = chunk_cursor_at(chunk, skipped, out);
    const uint8_t *end = chunk->bytes + chunk_end_offset(chunk, skipped, t_max);
    if (end - c.p > LAST)
        chunk_decode_until(&c, end - LAST);
    size_t n = (size_t)(end - c.p);
    memcpy(last, c.p, n);
    c.p = last;
    chunk_decode_until(&c, last + n);
    return chunk_trim_samples(out, (uint32_t)(c.out - out), t_min, t_max);
}

void chunk_prefetch_marks(const struct chunk *c)
{
    mem_prefetch(c->bytes + c->cap - c->n_marks * (size_t)MARK_SIZE, c->n_marks * (size_t)MARK_SIZE);
}

void chunk_prefetch_samples(const struct chunk *c, int64_t t_min)
{
    unsigned skipped = marks_before(c, t_min);
    uint16_t from = skipped > 0 ? chunk_mark(c, skipped - 1).offset : 0;
    mem_prefetch(c->bytes + from, c->size - from < CHUNK_MARK_BYTES ? c->size - from : CHUNK_MARK_BYTES);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

/* The last value that was written. */
struct chunk_filling { uint8_t *p; uint64_t bits; int64_t whole; bool is_whole; };

/* v differs from it in the bits x. */
static inline void chunk_fill_value(struct chunk_filling *f, uint8_t *tag, double v, uint64_t x)
{
    int64_t as = 0;
    bool is_whole = whole(v, &as);
    uint64_t rest;
    unsigned n;
    if (is_whole && f->is_whole) {
        uint64_t u = zigzag(as - f->whole);
        rest = u >> 2;
        n = width(rest);
        *tag |= (uint8_t)(DELTA | n << REST_SHIFT | (u & 3) << HIGH_SHIFT);
    } else {
        unsigned zeros = (unsigned)__builtin_ctzll(x) / 8;
        rest = x >> (8 * zeros);
        n = width(rest);
        *tag |= (uint8_t)(XOR | (n - 1) << REST_SHIFT | (zeros & 3) << HIGH_SHIFT | zeros >> 2);
    }
    rest = htole64(rest);
    memcpy(f->p, &rest, sizeof rest); /* there is space: the largest sample has as many bytes */
    f->p += n;
    f->bits ^= x;
    f->whole = as;
    f->is_whole = is_whole;
}

/* What chunk_append makes of these samples, at most CHUNK_SAMPLES, in half of the time: the chunk needs no check of its
 * capacity and no marks, and a value is converted to an integer once. */
static void chunk_fill(struct chunk *c, const struct sample *samples, size_t n)
{
    struct chunk_filling f = {.p = c->bytes, .is_whole = true};
    uint8_t *repeated = NULL;
    int64_t t = samples[0].t, dt = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t step = minus(samples[i].t, t);
        uint64_t x = double_bits(samples[i].v) ^ f.bits;
        t = samples[i].t;
        if (repeated && step == dt && x == 0) {
            *repeated = (uint8_t)(*repeated + (1 << REST_SHIFT));
            repeated = *repeated >> REST_SHIFT == MOST_REPEATS ? NULL : repeated;
            continue;
        }
        uint8_t *tag = f.p++;
        *tag = step != dt ? STEP_CHANGED : 0;
        if (step != dt)
            f.p = varint_put(f.p, zigzag(minus(step, dt)));
        dt = step;
        repeated = x == 0 ? tag : NULL;
        if (x != 0)
            chunk_fill_value(&f, tag, samples[i].v, x);
    }
    c->t_min = samples[0].t;
    c->t_max = t;
    c->n = (uint16_t)n;
    c->size = (uint16_t)(f.p - c->bytes);
    c->repeat_tag = 0; /* nothing is appended */
}

struct chunk *chunk_list_pack(struct arena *a, struct chunk *scratch, const struct sample *samples, size_t n)
{
    struct chunk *first = NULL, **link = &first;
    for (size_t i = 0; i < n; i += CHUNK_SAMPLES) {
        chunk_fill(scratch, samples + i, n - i < CHUNK_SAMPLES ? n - i : CHUNK_SAMPLES);
        *link = chunk_copy(scratch, INT64_MIN, a);
        link = &(*link)->next;
    }
    return first;
}

void chunk_list_unpack(const struct chunk *first, struct sample *out)
{
    for (const struct chunk *c = first; c; c = c->next)
        out += chunk_decode(c, INT64_MIN, INT64_MAX, out);
}
