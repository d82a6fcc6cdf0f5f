// SPDX-License-Identifier: Apache-2.0
/* A JSON document written as the protobuf message that it stands for, in pieces: formats that exist in both encodings
 * need one reader. The members of each message are rows of a table; other members, and null, are skipped. One thread at a
 * time; the tables are borrowed.
 *
 * JSON_PROTO3 is the JSON mapping of proto3: members are named in lowerCamelCase or as the fields are, 64-bit integers
 * may be strings, enums names or numbers, "NaN", "Infinity" and "-Infinity" are numbers. JSON_GO is what Go's
 * encoding/json reads into a struct: the case of names is ignored, and numbers are no strings.
 * Source: https://protobuf.dev/programming-guides/json/
 */
#ifndef BASE_JSON_JSON_PROTOBUF_H
#define BASE_JSON_JSON_PROTOBUF_H

#include "base/json/json_read.h"

enum json_field_kind {
    JSON_FIELD_TEXT, JSON_FIELD_BASE64, JSON_FIELD_BOOL,
    JSON_FIELD_INT, JSON_FIELD_SINT,          /* varint, zigzag varint */
    JSON_FIELD_FIXED64, JSON_FIELD_DOUBLE,
    JSON_FIELD_ENUM,                          /* a varint */
    JSON_FIELD_MESSAGE,
    JSON_FIELD_TUPLE,                         /* an array whose items are the fields 1, 2, ... of a message */
};
struct json_message;
struct json_field {
    const char *name;
    unsigned number;
    enum json_field_kind kind;
    bool repeated;                            /* an array; numbers in it are packed */
    const struct json_message *message;       /* MESSAGE, TUPLE: of doubles */
    const char *const *names;                 /* ENUM: the name of number i; ends with NULL */
};
struct json_message { const struct json_field *fields; size_t n; };
enum json_mapping { JSON_PROTO3, JSON_GO };

struct json_protobuf_level { const struct json_message *message; const struct json_field *field; size_t start; unsigned items; };
struct json_protobuf {
    struct json_reader reader;
    struct buf *out;
    enum json_mapping mapping;
    const struct json_message *root;
    struct json_protobuf_level levels[JSON_DEPTH];
    unsigned depth;
    const struct json_field *field;           /* of the member whose value follows */
    bool skipping;
};
void json_protobuf_init(struct json_protobuf *j, const struct json_message *root, enum json_mapping mapping, struct buf *out);
void json_protobuf_free(struct json_protobuf *j);
/* Appends to `out` what the piece completes; `last`: the document ends with it. False: it is not such a document, or `out`
 * is full (ERR_TOO_LARGE). */
bool json_protobuf_feed(struct json_protobuf *j, struct str piece, bool last, struct err *err) MUST_USE;

#endif
