// SPDX-License-Identifier: Apache-2.0
/* Protocol buffers without generated code: fields are appended to a buffer and read one at a time, for messages too
 * frequent for a generated parser. Pure; any thread. */
#ifndef BASE_PROTOBUF_H
#define BASE_PROTOBUF_H

#include "base/buf.h"

void pb_add_varint(struct buf *out, uint64_t v);
void pb_add_bytes(struct buf *out, unsigned field, struct str s);
void pb_add_double(struct buf *out, unsigned field, double v);
void pb_add_int(struct buf *out, unsigned field, int64_t v);
/* wire 0: value; 1, 5: value as bits; 2: bytes */
struct pb_field { unsigned number, wire; uint64_t value; struct str bytes; };
/* False at the end, or when the message is corrupted (*p != end). */
bool pb_next(const uint8_t **p, const uint8_t *end, struct pb_field *f);

struct pb_cursor { const uint8_t *p, *end; }; /* the unread fields of a message; p NULL: there is none */
static inline struct pb_cursor pb_cursor_of(struct str message)
{
    const uint8_t *p = (const uint8_t *)message.p;
    return (struct pb_cursor){p, message.n ? p + message.n : p};
}

#endif
