/* One sample is a tag byte and what the tag announces:
 *
 *   bits 0-1   value: 0 the same as before; 1 both are whole numbers: zigzag varint of the difference; 2 the XOR of the bits:
 *              one byte (low three bits: how many zero bytes end it; next three: how many bytes follow, less one), then the bytes
 *   bit  2     the step of time differs from the one before: zigzag varint of the difference of the steps comes first
 *
 * So a regular gauge that does not move is one byte, a counter two or three. Bytes and not bits, because decoding is the
 * hot side: 3-4 ns a sample. The first sample is told from t = 0, dt = 0, v = 0.
 */
#include "writer/recent/chunk.h"

#include <math.h>

enum { SAME = 0, DELTA = 1, XOR = 2, VALUE_MASK = 3, STEP_CHANGED = 4 };
#define WHOLE_LIMIT 9007199254740992.0 /* 2^53 */

struct chunk *chunk_new(uint32_t cap)
{
    struct chunk *c = mem_alloc(sizeof *c + cap);
    *c = (struct chunk){.cap = cap};
    atomic_init(&c->refs, 1);
    return c;
}

void chunk_unref(struct chunk *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        mem_free(c);
}

/* Times may be at both ends of their range: steps wrap, and wrap back when they are read. */
static int64_t minus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static int64_t plus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

static uint64_t zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63); }
static int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static inline const uint8_t *get_varint(const uint8_t *p, uint64_t *v)
{
    uint64_t sum = *p & 0x7f;
    for (unsigned shift = 7; *p++ & 0x80; shift += 7)
        sum |= (uint64_t)(*p & 0x7f) << shift;
    *v = sum;
    return p;
}

static bool whole(double v, int64_t *as)
{
    if (!(fabs(v) < WHOLE_LIMIT))
        return false;
    *as = (int64_t)v;
    return double_bits((double)*as) == double_bits(v); /* not -0, no fraction */
}

static uint8_t *put_value(uint8_t *p, uint8_t *tag, double before, double v)
{
    uint64_t x = double_bits(before) ^ double_bits(v);
    int64_t a, b;
    if (x == 0)
        return p;
    if (whole(before, &a) && whole(v, &b)) {
        *tag |= DELTA;
        return put_varint(p, zigzag(b - a));
    }
    *tag |= XOR;
    unsigned zeros = (unsigned)__builtin_ctzll(x) / 8, n = 8 - zeros - (unsigned)__builtin_clzll(x) / 8;
    *p++ = (uint8_t)(zeros | (n - 1) << 3);
    x >>= 8 * zeros;
    for (unsigned i = 0; i < n; i++)
        *p++ = (uint8_t)(x >> (8 * i));
    return p;
}

bool chunk_full(const struct chunk *c) { return c->n >= CHUNK_SAMPLES; }

struct chunk *chunk_append(struct chunk *c, struct chunk_tail *tail, int64_t t, double v)
{
    if (c->cap - c->size < CHUNK_SAMPLE_BYTES) {
        uint32_t cap = (c->cap + c->cap / 4 + CHUNK_SAMPLE_BYTES + 15) & ~15u; /* what is too much leaves a hole when it is sealed */
        c = mem_realloc(c, sizeof *c + cap);
        c->cap = cap;
    }
    if (c->n == 0) {
        *tail = (struct chunk_tail){0, 0, 0};
        c->t_min = t;
    }
    uint8_t *tag = c->bytes + c->size, *p = tag + 1;
    *tag = 0;
    int64_t dt = minus(t, tail->t);
    if (dt != tail->dt) {
        *tag = STEP_CHANGED;
        p = put_varint(p, zigzag(minus(dt, tail->dt)));
    }
    p = put_value(p, tag, tail->v, v);
    c->size = (uint32_t)(p - c->bytes);
    c->n++;
    c->t_max = t;
    *tail = (struct chunk_tail){t, dt, v};
    return c;
}

struct chunk *chunk_seal(struct chunk *c)
{
    c = mem_realloc(c, sizeof *c + c->size);
    c->cap = c->size;
    return c;
}

/* The n bytes of a difference; in one load where as many as eight are there. */
static inline uint64_t get_bytes(const uint8_t *p, const uint8_t *end, unsigned n)
{
    uint64_t u = 0;
    if (end - p < 8)
        for (unsigned i = 0; i < n; i++)
            u |= (uint64_t)p[i] << (8 * i);
    else
        for (unsigned i = 0; i < 8; i++)
            u |= (uint64_t)p[i] << (8 * i);
    return u & UINT64_MAX >> (64 - 8 * n);
}

static inline const uint8_t *get_xor(const uint8_t *p, const uint8_t *end, double *v)
{
    unsigned zeros = *p & 7, n = (*p >> 3 & 7) + 1u;
    *v = double_from_bits(double_bits(*v) ^ get_bytes(p + 1, end, n) << (8 * zeros));
    return p + 1 + n;
}

/* The value as a whole number is carried along: sums of doubles that become integers and doubles again wait for each
 * other. */
struct running { double v; int64_t whole; bool is_whole; };

static inline const uint8_t *get_value(const uint8_t *p, const uint8_t *end, uint8_t tag, struct running *r)
{
    uint64_t u;
    switch (tag & VALUE_MASK) {
    case DELTA:
        p = get_varint(p, &u);
        r->whole = (r->is_whole ? r->whole : (int64_t)r->v) + unzigzag(u);
        r->is_whole = true;
        r->v = (double)r->whole;
        break;
    case XOR:
        p = get_xor(p, end, &r->v);
        r->is_whole = false;
        break;
    default: break;
    }
    return p;
}

uint32_t chunk_decode(const uint8_t *p, uint32_t size, uint32_t n, int64_t t_min, int64_t t_max, struct sample *out)
{
    const uint8_t *end = p + size;
    int64_t t = 0, dt = 0;
    struct running r = {0, 0, false};
    uint32_t got = 0;
    for (uint32_t i = 0; i < n && p < end; i++) {
        uint8_t tag = *p++;
        if (tag & STEP_CHANGED) {
            uint64_t u;
            p = get_varint(p, &u);
            dt = plus(dt, unzigzag(u));
        }
        t = plus(t, dt);
        if (t > t_max)
            break;
        p = get_value(p, end, tag, &r);
        if (t >= t_min)
            out[got++] = (struct sample){t, r.v};
    }
    return got;
}
