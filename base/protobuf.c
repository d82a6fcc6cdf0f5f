// SPDX-License-Identifier: Apache-2.0
/* The encoding of protocol buffers, field by field: a tag (number and wire type), then a varint, 4 or 8 little-endian
 * bytes, or a length and bytes. Groups (wire types 3 and 4) are deprecated and count as corrupted. Source:
 * https://protobuf.dev/programming-guides/encoding/
 */
#include "base/protobuf.h"
#include "base/varint.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5, FIELD_MAX = (1 << 29) - 1 };

void pb_add_varint(struct buf *out, uint64_t v)
{
    size_t n = varint_size(v); /* no more than that: a message of a computed size must fit */
    if (buf_reserve(out, n)) {
        varint_put((uint8_t *)out->p + out->n, v);
        out->n += n;
    }
}

static void add_tag(struct buf *out, unsigned field, unsigned wire) { pb_add_varint(out, (uint64_t)field << 3 | wire); }

void pb_add_bytes(struct buf *out, unsigned field, struct str s)
{
    add_tag(out, field, WIRE_BYTES);
    pb_add_varint(out, s.n);
    buf_add_str(out, s);
}

void pb_add_double(struct buf *out, unsigned field, double v)
{
    add_tag(out, field, WIRE_64);
    buf_add(out, &v, sizeof v);
}

void pb_add_int(struct buf *out, unsigned field, int64_t v)
{
    add_tag(out, field, WIRE_VARINT);
    pb_add_varint(out, (uint64_t)v);
}

static const uint8_t *fixed(const uint8_t *p, const uint8_t *end, size_t n, uint64_t *value)
{
    if ((size_t)(end - p) < n)
        return NULL;
    *value = 0;
    memcpy(value, p, n); /* x86 and ARM are little-endian, as the format is */
    return p + n;
}

bool pb_next(const uint8_t **p, const uint8_t *end, struct pb_field *f)
{
    uint64_t tag;
    const uint8_t *at = varint_get(*p, end, &tag);
    if (at == NULL || tag >> 3 == 0 || tag >> 3 > FIELD_MAX)
        return false;
    *f = (struct pb_field){.number = (unsigned)(tag >> 3), .wire = tag & 7};
    switch (f->wire) {
    case WIRE_VARINT: at = varint_get(at, end, &f->value); break;
    case WIRE_64: at = fixed(at, end, 8, &f->value); break;
    case WIRE_32: at = fixed(at, end, 4, &f->value); break;
    case WIRE_BYTES:
        at = varint_get(at, end, &f->value);
        if (at == NULL || f->value > (uint64_t)(end - at))
            return false;
        f->bytes = str_n(at, f->value);
        at += f->value;
        break;
    default: return false;
    }
    if (at == NULL)
        return false;
    *p = at;
    return true;
}
