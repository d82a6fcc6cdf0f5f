// SPDX-License-Identifier: Apache-2.0
/* Reads label bytes; model/labels.h describes the format. Validated bytes are walked without bounds checks; the outer
 * length of a pair lets labels_get skip names that do not match. */
#include "model/labels.h"

#include "base/hash.h"
#include "base/text/utf8.h"
#include "base/varint.h"

enum { TAG_LABEL = 0x0a, TAG_NAME = 0x0a, TAG_VALUE = 0x12 };

static inline const uint8_t *trusted_length(const uint8_t *p, size_t *n)
{
    size_t v = *p++;
    if (v >= 0x80) {
        v &= 0x7f;
        unsigned shift = 7;
        do
            v |= (size_t)(*p & 0x7f) << shift;
        while (shift += 7, *p++ >= 0x80);
    }
    *n = v;
    return p;
}

bool labels_next(struct labels_iter *it, struct label *out)
{
    if (it->p >= it->end)
        return false;
    size_t n;
    const uint8_t *p = trusted_length(it->p + 1, &n);
    p = trusted_length(p + 1, &n);
    out->name = str_n(p, n);
    p = trusted_length(p + n + 1, &n);
    out->value = str_n(p, n);
    it->p = p + n;
    return true;
}

/* A tag and a minimal length that fits the remaining bytes; NULL when it is not valid. */
static inline const uint8_t *checked_length(const uint8_t *p, const uint8_t *end, uint8_t tag, size_t *n)
{
    if (end - p < 2 || *p != tag)
        return NULL;
    uint64_t v;
    const uint8_t *at = varint_get(p + 1, end, &v);
    if (at == NULL || (at > p + 2 && at[-1] == 0) || v > (uint64_t)(end - at))
        return NULL;
    *n = v;
    return at;
}

static inline bool labels_read_checked(struct labels_iter *it, struct label *out)
{
    size_t n;
    const uint8_t *p = checked_length(it->p, it->end, TAG_LABEL, &n);
    if (p == NULL)
        return false;
    const uint8_t *end = p + n;
    if ((p = checked_length(p, end, TAG_NAME, &n)) == NULL)
        return false;
    out->name = str_n(p, n);
    if ((p = checked_length(p + n, end, TAG_VALUE, &n)) == NULL || p + n != end)
        return false;
    out->value = str_n(p, n);
    it->p = end;
    return true;
}

bool labels_next_checked(struct labels_iter *it, struct label *out) { return labels_read_checked(it, out); }

static bool ascii_only(const uint8_t *p, size_t n)
{
    uint64_t eight, all = 0;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&eight, p, 8);
        all |= eight;
    }
    for (; n > 0; n--)
        all |= *p++;
    return (all & 0x8080808080808080u) == 0;
}

static inline bool in_order(struct str before, struct str name)
{
    if (before.n > 0 && name.n > 0 && before.p[0] != name.p[0])
        return (uint8_t)before.p[0] < (uint8_t)name.p[0];
    return str_cmp(before, name) < 0;
}

static bool labels_utf8_valid(struct labels l)
{
    struct labels_iter it = labels_iter(l);
    for (struct label one; labels_next(&it, &one);)
        if (!utf8_valid(one.name) || !utf8_valid(one.value))
            return false;
    return true;
}

/* Most sets are ASCII throughout, lengths included; one pass over all bytes saves two calls per label. */
bool labels_check_first(const uint8_t *p, size_t n, struct labels *out)
{
    struct labels_iter it = {p, p + n};
    struct label l;
    struct str before = STR_NONE;
    uint32_t count = 0;
    while (it.p < it.end && *it.p == TAG_LABEL) {
        if (!labels_read_checked(&it, &l) || l.value.n == 0 || ++count > LABELS_MAX_COUNT)
            return false;
        if (!in_order(before, l.name)) /* also catches an empty first name */
            return false;
        before = l.name;
    }
    n = n > 0 ? (size_t)(it.p - p) : 0;
    if (n > LABELS_MAX_BYTES)
        return false;
    *out = (struct labels){p, (uint32_t)n, count};
    return ascii_only(p, n) || labels_utf8_valid(*out);
}

bool labels_check(const uint8_t *p, size_t n, struct labels *out)
{
    return n <= LABELS_MAX_BYTES && labels_check_first(p, n, out) && out->n == n;
}

struct str labels_get(struct labels l, struct str name)
{
    const uint8_t *p = l.p, *end = labels_iter(l).end;
    while (p < end) {
        size_t pair, n;
        p = trusted_length(p + 1, &pair);
        const uint8_t *at = trusted_length(p + 1, &n);
        if (n == name.n && memcmp(at, name.p, n) == 0) {
            at = trusted_length(at + n + 1, &n);
            return str_n(at, n);
        }
        p += pair;
    }
    return STR_NONE;
}

uint64_t labels_hash(struct labels l)
{
    uint64_t h = hash_bytes(l.p, l.n);
    return h ? h : 1;
}

uint64_t labels_group_hash(struct labels l)
{
    /* the first pair: tag and length, tag, length and name, tag, length and value; a short one's lengths are a byte each */
    static const uint8_t name[] = "\x0a\x08" METRIC_NAME;
    size_t n = l.n > 2 && l.p[1] < 0x80 ? 2u + l.p[1] : 0;
    if (n == 0 || n >= l.n || memcmp(l.p + 2, name, sizeof name - 1) != 0)
        return labels_hash(l);
    uint64_t h = hash_bytes(l.p + n, l.n - n);
    return h ? h : 1;
}

/* A text prefixed by its length: one byte, or 255 and three bytes. */
static size_t put_sized(uint8_t *to, struct str s)
{
    size_t n = 0;
    to[n++] = s.n < 255 ? (uint8_t)s.n : 255;
    for (unsigned shift = 0; s.n >= 255 && shift < 24; shift += 8)
        to[n++] = (uint8_t)(s.n >> shift);
    memcpy(to + n, s.p, s.n);
    return n + s.n;
}

uint64_t labels_hash_prometheus(struct labels l)
{
    struct labels_iter it = labels_iter(l);
    struct label pair;
    uint8_t small[1024];
    size_t most = l.n * 2, n = 0; /* a pair has at least four bytes besides its texts, and here at most eight */
    uint8_t *text = most <= sizeof small ? small : mem_alloc(most);
    while (labels_next(&it, &pair)) {
        n += put_sized(text + n, pair.name);
        n += put_sized(text + n, pair.value);
    }
    uint64_t h = hash_xxh64(text, n);
    if (text != small)
        mem_free(text);
    return h;
}

/* Bytes of the first pair, with its tag and length. */
static size_t pair_size(const struct labels_iter *it)
{
    size_t n;
    const uint8_t *p = trusted_length(it->p + 1, &n);
    return (size_t)(p - it->p) + n;
}

/* Sorting series compares those of one metric, which share most labels: equal pairs are compared as bytes. */
int labels_cmp(struct labels a, struct labels b)
{
    struct labels_iter ia = labels_iter(a), ib = labels_iter(b);
    while (ia.p < ia.end && ib.p < ib.end) {
        size_t n = pair_size(&ia);
        if (n != pair_size(&ib) || memcmp(ia.p, ib.p, n) != 0)
            break;
        ia.p += n;
        ib.p += n;
    }
    struct label la, lb;
    bool more_a = labels_next(&ia, &la), more_b = labels_next(&ib, &lb);
    if (!more_a || !more_b)
        return more_a - more_b;
    int c = str_cmp(la.name, lb.name);
    return c ? c : str_cmp(la.value, lb.value);
}

struct labels labels_copy(struct arena *a, struct labels l)
{
    char *p = l.n ? arena_bytes(a, l.n) : NULL;
    if (p == NULL)
        return (struct labels){0};
    memcpy(p, l.p, l.n);
    return (struct labels){(const uint8_t *)p, l.n, l.count};
}

static size_t body_size(struct str name, struct str value)
{
    return 2 + varint_size(name.n) + name.n + varint_size(value.n) + value.n;
}

size_t labels_pair_size(struct str name, struct str value)
{
    size_t body = body_size(name, value);
    return 1 + varint_size(body) + body;
}

static uint8_t *labels_put_bytes(uint8_t *p, uint8_t tag, struct str s)
{
    *p++ = tag;
    p = varint_put(p, s.n);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

void labels_append(struct buf *out, struct str name, struct str value)
{
    size_t body = body_size(name, value), whole = 1 + varint_size(body) + body;
    if (!buf_reserve(out, whole))
        return;
    uint8_t *p = (uint8_t *)out->p + out->n;
    *p++ = TAG_LABEL;
    p = varint_put(p, body);
    p = labels_put_bytes(p, TAG_NAME, name);
    labels_put_bytes(p, TAG_VALUE, value);
    out->n += whole;
}
