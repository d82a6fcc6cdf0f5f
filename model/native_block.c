// SPDX-License-Identifier: Apache-2.0
#include "model/native_block.h"

#include "base/varint.h"

struct native_cursor { const uint8_t *p, *end; bool failed; };

static uint64_t native_number(struct native_cursor *c)
{
    uint64_t v = 0;
    const uint8_t *next = c->failed ? NULL : varint_get(c->p, c->end, &v);
    c->failed = next == NULL;
    c->p = next ? next : c->p;
    return c->failed ? 0 : v;
}

static int64_t native_signed(struct native_cursor *c) { return unzigzag(native_number(c)); }

static unsigned native_byte(struct native_cursor *c)
{
    c->failed = c->failed || c->p == c->end;
    return c->failed ? 0 : *c->p++;
}

static struct str native_bytes(struct native_cursor *c)
{
    uint64_t n = native_number(c);
    c->failed = c->failed || n > (uint64_t)(c->end - c->p);
    if (c->failed)
        return (struct str){0};
    c->p += n;
    return str_n((const char *)c->p - n, n);
}

bool native_block_parse(struct str text, struct native_block *b)
{
    struct native_cursor c = {(const uint8_t *)text.p, (const uint8_t *)text.p + text.n, false};
    b->times.first = native_signed(&c);
    b->to = native_signed(&c);
    b->values.first = native_signed(&c);
    uint64_t rows = native_number(&c);
    int64_t exponent = native_signed(&c);
    b->times.packing = native_byte(&c);
    b->values.packing = native_byte(&c);
    b->precision = native_byte(&c);
    b->times.bytes = native_bytes(&c);
    b->values.bytes = native_bytes(&c);
    b->rows = (uint32_t)rows;
    b->exponent = (int)exponent;
    return !c.failed && c.p == c.end && rows > 0 && rows <= NATIVE_ROWS && exponent >= INT16_MIN && exponent <= INT16_MAX
           && b->times.first <= b->to && b->precision >= 1 && b->precision <= 64;
}

/* Differences, or differences of differences, as numbers. */
static bool native_add_up(int64_t *numbers, struct str packed, int64_t first, uint32_t n, bool second, bool whole)
{
    const uint8_t *p = (const uint8_t *)packed.p, *end = p + packed.n;
    uint64_t v = (uint64_t)first, difference = 0, number;
    numbers[0] = first;
    for (uint32_t i = 1; i < n; i++) {
        p = varint_get(p, end, &number);
        if (p == NULL)
            return false;
        difference = second ? difference + (uint64_t)unzigzag(number) : (uint64_t)unzigzag(number);
        v += difference;
        numbers[i] = (int64_t)v;
    }
    return !whole || p == end;
}

static bool native_add_same(int64_t *numbers, struct str packed, int64_t first, uint32_t n, bool moves, bool whole)
{
    struct native_cursor c = {(const uint8_t *)packed.p, (const uint8_t *)packed.p + packed.n, false};
    uint64_t v = (uint64_t)first, difference = moves ? (uint64_t)native_signed(&c) : 0;
    for (uint32_t i = 0; i < n; i++, v += difference)
        numbers[i] = (int64_t)v;
    return !c.failed && (!whole || c.p == c.end);
}

bool native_unpack(struct zstd *zstd, struct buf *unpacked, const struct native_numbers *from, uint32_t n, bool whole,
                   int64_t *numbers)
{
    struct err why = {0};
    struct str packed = from->bytes;
    enum native_packing packing = from->packing;
    if (packing == NATIVE_CONST || packing == NATIVE_DELTA_CONST)
        return native_add_same(numbers, packed, from->first, n, packing == NATIVE_DELTA_CONST, whole);
    if (packing == NATIVE_ZSTD_DELTA || packing == NATIVE_ZSTD_DELTA2) {
        buf_clear(unpacked);
        if (!decompress(CODEC_ZSTD, zstd, packed, (size_t)NATIVE_ROWS * 10 /* of a varint */, unpacked, &why))
            return false;
        packed = buf_str(unpacked);
    } else if (packing != NATIVE_DELTA && packing != NATIVE_DELTA2) {
        return false;
    }
    return native_add_up(numbers, packed, from->first, n, packing == NATIVE_ZSTD_DELTA2 || packing == NATIVE_DELTA2, whole);
}

void native_order_times(int64_t *times, const struct native_block *b)
{
    times[0] = b->times.first;
    for (uint32_t i = 1; i < b->rows; i++)
        times[i] = times[i] < times[i - 1] ? times[i - 1] : times[i];
    for (uint32_t i = b->rows; i-- > 0 && times[i] > b->to;)
        times[i] = b->to;
    times[b->rows - 1] = b->to;
}

/* As Go's math.Pow10 has it, for the same last bit: the product of two constants. */
double native_power(int exponent)
{
    static const double ones[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29,
                                  1e30, 1e31};
    static const double tens[] = {1e0, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288};
    int n = exponent < 0 ? -exponent : exponent;
    return n > 308 ? INFINITY : tens[n / 32] * ones[n % 32];
}

size_t native_length(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

bool native_name_part(struct str *rest, struct buf *text)
{
    buf_clear(text);
    for (size_t i = 0; i < rest->n; i++) {
        char c = rest->p[i];
        if (c == 1) {
            *rest = str_skip(*rest, i + 1);
            return true;
        }
        if (c == 0) {
            if (++i == rest->n || rest->p[i] < '0' || rest->p[i] > '2')
                return false;
            c = (char)(rest->p[i] - '0');
        }
        buf_add_char(text, c);
    }
    return false;
}

bool native_name_cut(struct str *rest, struct str *part)
{
    const char *end = rest->n > 0 ? memchr(rest->p, 1, rest->n) : NULL;
    if (end == NULL)
        return false;
    *part = str_n(rest->p, (size_t)(end - rest->p));
    *rest = str_skip(*rest, part->n + 1);
    return true;
}
