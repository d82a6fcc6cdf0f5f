// SPDX-License-Identifier: Apache-2.0
/* A stack of the open messages and arrays, one level each. A message is begun with a length of five bytes, which is set
 * when the message ends: lengths of messages inside are not known before. An array is a level without bytes of its own,
 * unless its numbers are packed.
 */
#include "base/json/json_protobuf.h"

#include "base/protobuf.h"
#include "base/text/base64.h"
#include "base/text/num.h"
#include "base/varint.h"

#include <math.h>

enum { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_LENGTH = 5 /* bytes of a length that is set later */ };

void json_protobuf_init(struct json_protobuf *j, const struct json_message *root, enum json_mapping mapping, struct buf *out)
{
    *j = (struct json_protobuf){.root = root, .mapping = mapping, .out = out};
    json_reader_init(&j->reader);
}

void json_protobuf_free(struct json_protobuf *j) { json_reader_free(&j->reader); }

/* ---- levels ---- */

static void pb_tag(struct json_protobuf *j, unsigned number, unsigned wire)
{
    pb_add_varint(j->out, (uint64_t)number << 3 | wire);
}

static void pb_length_begin(struct json_protobuf *j, struct json_protobuf_level *level, unsigned number)
{
    static const char none[PB_LENGTH] = {0};
    pb_tag(j, number, PB_BYTES);
    level->start = j->out->n;
    buf_add(j->out, none, sizeof none);
}

static void pb_length_end(struct json_protobuf *j, const struct json_protobuf_level *level)
{
    if (j->out->over)
        return;
    uint8_t *p = (uint8_t *)j->out->p + level->start;
    uint64_t n = j->out->n - level->start - PB_LENGTH;
    for (unsigned i = 0; i < PB_LENGTH; i++, n >>= 7)
        p[i] = (uint8_t)((n & 0x7f) | (i + 1 < PB_LENGTH ? 0x80 : 0));
}

static bool field_is_number(const struct json_field *f)
{
    return f->kind >= JSON_FIELD_BOOL && f->kind <= JSON_FIELD_ENUM;
}

/* In an array of messages, texts or numbers; a level of a message has no field. */
static bool level_is_array(const struct json_protobuf_level *l) { return l->message == NULL || l->field != NULL; }

static struct json_protobuf_level *level_push(struct json_protobuf *j)
{
    struct json_protobuf_level *l = &j->levels[j->depth++]; /* the reader limits the depth */
    *l = (struct json_protobuf_level){0};
    return l;
}

static bool json_mismatch(struct json_protobuf *j, const struct json_field *f, struct err *err)
{
    static const char *const expected[] = {"a string", "base64", "true or false", "an integer", "an integer",
                                           "an integer", "a number", "a name or number of the enum", "an object", "an array"};
    return err_set(err, ERR_BAD_DATA, "member `%s`: expected %s before byte %llu", f->name, expected[f->kind],
                   (unsigned long long)j->reader.offset);
}

/* ---- values ---- */

/* An integer that is written as a number or, in proto3, a string; 5.0 and 5e0 are integers too there. */
static bool json_integer(struct json_protobuf *j, enum json_token token, uint64_t *v)
{
    struct str text = j->reader.text;
    double d;
    int64_t i;
    if (token != JSON_NUMBER && (token != JSON_STRING || j->mapping != JSON_PROTO3))
        return false;
    if (num_parse_i64(text, &i)) {
        *v = (uint64_t)i;
        return true;
    }
    if (num_parse_u64(text, v))
        return true;
    if (j->mapping != JSON_PROTO3 || !num_parse(text, &d) || d != trunc(d) || d >= 0x1p63 || d < -0x1p63)
        return false;
    *v = (uint64_t)(int64_t)d;
    return true;
}

static bool json_float(struct json_protobuf *j, enum json_token token, double *v)
{
    if (token == JSON_NUMBER) {
        *v = j->reader.number;
        return true;
    }
    return token == JSON_STRING && j->mapping == JSON_PROTO3 && num_parse(j->reader.text, v);
}

static bool json_enum(struct json_protobuf *j, const struct json_field *f, enum json_token token, uint64_t *v)
{
    if (token != JSON_STRING)
        return json_integer(j, token, v);
    for (uint64_t i = 0; f->names[i] != NULL; i++)
        if (str_is(j->reader.text, f->names[i])) {
            *v = i;
            return true;
        }
    return false;
}

static bool pb_number(struct json_protobuf *j, const struct json_field *f, enum json_token token, bool packed)
{
    uint64_t v = 0;
    double d = 0;
    switch (f->kind) {
    case JSON_FIELD_BOOL:
        v = token == JSON_TRUE;
        if (token != JSON_TRUE && token != JSON_FALSE)
            return false;
        break;
    case JSON_FIELD_DOUBLE:
        if (!json_float(j, token, &d))
            return false;
        memcpy(&v, &d, sizeof v);
        break;
    case JSON_FIELD_ENUM:
        if (!json_enum(j, f, token, &v))
            return false;
        break;
    default:
        if (!json_integer(j, token, &v))
            return false;
    }
    bool fixed = f->kind == JSON_FIELD_FIXED64 || f->kind == JSON_FIELD_DOUBLE;
    if (!packed)
        pb_tag(j, f->number, fixed ? PB_FIXED64 : PB_VARINT);
    if (fixed)
        buf_add(j->out, &v, sizeof v);
    else
        pb_add_varint(j->out, f->kind == JSON_FIELD_SINT ? zigzag((int64_t)v) : v);
    return true;
}

static bool pb_text(struct json_protobuf *j, const struct json_field *f)
{
    struct buf decoded = {0};
    bool ok = f->kind == JSON_FIELD_TEXT || base64_read(&decoded, j->reader.text);
    if (ok)
        pb_add_bytes(j->out, f->number, f->kind == JSON_FIELD_TEXT ? j->reader.text : buf_str(&decoded));
    buf_free(&decoded);
    return ok;
}

/* One value, or one item of a repeated field. */
static bool json_value_of(struct json_protobuf *j, const struct json_field *f, enum json_token token, bool packed,
                          struct err *err)
{
    struct json_protobuf_level *l;
    bool ok;
    if (f->kind == JSON_FIELD_MESSAGE || f->kind == JSON_FIELD_TUPLE) {
        ok = token == (f->kind == JSON_FIELD_MESSAGE ? JSON_OBJECT : JSON_ARRAY);
        if (ok) {
            l = level_push(j);
            l->message = f->message;
            l->field = f->kind == JSON_FIELD_TUPLE ? f : NULL;
            pb_length_begin(j, l, f->number);
        }
    } else {
        ok = field_is_number(f) ? pb_number(j, f, token, packed) : token == JSON_STRING && pb_text(j, f);
    }
    return ok || json_mismatch(j, f, err);
}

static bool json_array_of(struct json_protobuf *j, const struct json_field *f, enum json_token token, struct err *err)
{
    if (token != JSON_ARRAY)
        return err_set(err, ERR_BAD_DATA, "member `%s`: expected an array before byte %llu", f->name,
                       (unsigned long long)j->reader.offset);
    struct json_protobuf_level *l = level_push(j);
    l->field = f;
    if (field_is_number(f))
        pb_length_begin(j, l, f->number);
    return true;
}

/* Of a tuple further items than the message has fields are skipped. */
static bool json_item_of(struct json_protobuf *j, enum json_token token, struct err *err)
{
    struct json_protobuf_level *l = &j->levels[j->depth - 1];
    if (l->message == NULL)
        return json_value_of(j, l->field, token, field_is_number(l->field), err);
    if (l->items == l->message->n) {
        j->skipping = token == JSON_OBJECT || token == JSON_ARRAY;
        return true;
    }
    return json_value_of(j, &l->message->fields[l->items++], token, false, err);
}

/* ---- members ---- */

static bool name_in_snake_case(struct str key, const char *name)
{
    size_t i = 0;
    for (; *name; name++) {
        bool upper = *name >= 'A' && *name <= 'Z';
        if (upper && (i >= key.n || key.p[i++] != '_'))
            return false;
        if (i >= key.n || key.p[i++] != (upper ? *name | 0x20 : *name))
            return false;
    }
    return i == key.n;
}

static const struct json_field *json_field_of(const struct json_protobuf *j, const struct json_message *m, struct str key)
{
    for (size_t i = 0; i < m->n; i++) {
        const char *name = m->fields[i].name;
        if (j->mapping == JSON_GO ? str_ieq(key, str_of(name)) : str_is(key, name) || name_in_snake_case(key, name))
            return &m->fields[i];
    }
    return NULL;
}

static bool json_token_in(struct json_protobuf *j, enum json_token token, struct err *err)
{
    struct json_protobuf_level *l = &j->levels[j->depth > 0 ? j->depth - 1 : 0];
    const struct json_field *f = j->field;
    if (j->depth == 0) {
        if (token != JSON_OBJECT)
            return err_set(err, ERR_BAD_DATA, "the JSON document is no object");
        level_push(j)->message = j->root;
        return true;
    }
    if (token == JSON_END_OBJECT || token == JSON_END_ARRAY) {
        if (l->start > 0)
            pb_length_end(j, l);
        j->depth--;
        return true;
    }
    if (token == JSON_KEY) {
        j->field = json_field_of(j, l->message, j->reader.text);
        j->skipping = j->field == NULL;
        return true;
    }
    j->field = NULL;
    if (level_is_array(l))
        return (token == JSON_NULL && l->message == NULL) || (token == JSON_NULL ? (l->items++, true) : json_item_of(j, token, err));
    return token == JSON_NULL || (f->repeated ? json_array_of(j, f, token, err) : json_value_of(j, f, token, false, err));
}

bool json_protobuf_feed(struct json_protobuf *j, struct str piece, bool last, struct err *err)
{
    json_feed(&j->reader, piece.p, piece.n);
    if (last)
        json_finish(&j->reader);
    for (;;) {
        enum json_token token = j->skipping ? json_skip(&j->reader) : json_next(&j->reader);
        if (token == JSON_ERROR) {
            *err = j->reader.err;
            return false;
        }
        if (token == JSON_MORE || token == JSON_END)
            return true;
        if (j->skipping)
            j->skipping = false;
        else if (!json_token_in(j, token, err))
            return false;
        if (j->out->over)
            return err_set(err, ERR_TOO_LARGE, "the JSON document is too large");
    }
}
