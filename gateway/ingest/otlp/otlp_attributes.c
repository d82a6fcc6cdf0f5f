// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/otlp/otlp_attributes.h"

#include "base/json/json_write.h"
#include "base/protobuf.h"
#include "base/text/base64.h"
#include "base/text/num.h"

#include <string.h>

enum { OTLP_DEPTH = 16, OTLP_LABELS_MAX = LABELS_MAX_COUNT };
enum any_value { ANY_STRING = 1, ANY_BOOL, ANY_INT, ANY_DOUBLE, ANY_ARRAY, ANY_MAP, ANY_BYTES };

/* Of a text that may be NULL. */
static const uint8_t *otlp_end_of(struct str s) { return (const uint8_t *)(s.n ? s.p + s.n : s.p); }

static bool otlp_corrupted(struct err *err)
{
    return err_set(err, ERR_BAD_DATA, "an attribute is no valid protobuf message");
}

static bool otlp_too_deep(struct err *err)
{
    return err_set(err, ERR_BAD_DATA, "an attribute is nested deeper than %d levels", OTLP_DEPTH);
}

/* The value that an AnyValue holds; number 0: none. */
static bool read_any_value(struct str any, struct pb_field *out, struct err *err)
{
    const uint8_t *p = (const uint8_t *)any.p, *end = otlp_end_of(any);
    *out = (struct pb_field){0};
    while (pb_next(&p, end, out)) {}
    return p == end || otlp_corrupted(err);
}

static bool read_key_value(struct str message, struct str *key, struct str *value, struct err *err)
{
    const uint8_t *p = (const uint8_t *)message.p, *end = otlp_end_of(message);
    struct pb_field f;
    *key = *value = STR_NONE;
    while (pb_next(&p, end, &f)) {
        if (f.number == 1)
            *key = f.bytes;
        else if (f.number == 2)
            *value = f.bytes;
    }
    return p == end || otlp_corrupted(err);
}

static double any_double(const struct pb_field *f)
{
    double v;
    memcpy(&v, &f->value, sizeof v);
    return v;
}

static bool any_json(struct json_writer *w, struct str any, unsigned depth, struct err *err);

static bool array_json(struct json_writer *w, struct str array, unsigned depth, struct err *err)
{
    const uint8_t *p = (const uint8_t *)array.p, *end = otlp_end_of(array);
    struct pb_field f;
    json_begin_array(w);
    while (pb_next(&p, end, &f))
        if (f.number == 1 && !any_json(w, f.bytes, depth + 1, err))
            return false;
    json_end_array(w);
    return p == end || otlp_corrupted(err);
}

static bool map_json(struct json_writer *w, struct str map, unsigned depth, struct err *err)
{
    const uint8_t *p = (const uint8_t *)map.p, *end = otlp_end_of(map);
    struct pb_field f;
    struct str key, value;
    json_begin_object(w);
    while (pb_next(&p, end, &f)) {
        if (f.number != 1)
            continue;
        if (!read_key_value(f.bytes, &key, &value, err))
            return false;
        json_key_str(w, key);
        if (!any_json(w, value, depth + 1, err))
            return false;
    }
    json_end_object(w);
    return p == end || otlp_corrupted(err);
}

static bool any_json(struct json_writer *w, struct str any, unsigned depth, struct err *err)
{
    struct pb_field f;
    struct buf text = {0};
    if (depth > OTLP_DEPTH)
        return otlp_too_deep(err);
    if (!read_any_value(any, &f, err))
        return false;
    switch (f.number) {
    case ANY_STRING: json_str(w, f.bytes); return true;
    case ANY_BOOL: json_bool(w, f.value != 0); return true;
    case ANY_INT: json_i64(w, (int64_t)f.value); return true;
    case ANY_DOUBLE: json_double(w, any_double(&f)); return true;
    case ANY_ARRAY: return array_json(w, f.bytes, depth, err);
    case ANY_MAP: return map_json(w, f.bytes, depth, err);
    case ANY_BYTES:
        base64_add(&text, f.bytes);
        json_str(w, buf_str(&text));
        buf_free(&text);
        return true;
    default: json_put_null(w); return true;
    }
}

bool otlp_reserve_text(struct otlp_labels *l, size_t n, struct err *err)
{
    if (n > LABELS_MAX_BYTES - l->bytes)
        return err_set(err, ERR_BAD_DATA, "names and values of attributes are longer than %d bytes", LABELS_MAX_BYTES);
    l->bytes += n;
    return true;
}

static bool any_text(struct arena *a, struct otlp_labels *l, const struct pb_field *f, struct str any, struct str *out,
                     struct err *err)
{
    struct buf text = {.max = LABELS_MAX_BYTES};
    struct json_writer w = {.out = &text};
    bool ok = true;
    switch (f->number) {
    case ANY_STRING: *out = f->bytes; return true;
    case ANY_BOOL: *out = f->value ? STR("true") : STR("false"); return true;
    case ANY_INT: buf_add_i64(&text, (int64_t)f->value); break;
    case ANY_DOUBLE: buf_add_num(&text, any_double(f)); break;
    case ANY_BYTES: base64_add(&text, f->bytes); break;
    case ANY_ARRAY: case ANY_MAP: ok = any_json(&w, any, 0, err); break;
    default: break;
    }
    ok = ok && otlp_reserve_text(l, text.over ? SIZE_MAX : text.n, err);
    if (ok)
        *out = arena_str(a, buf_str(&text));
    buf_free(&text);
    return ok;
}

static bool otlp_add_map(struct arena *a, struct otlp_labels *out, struct str prefix, struct str map, unsigned depth,
                         struct err *err);

static bool otlp_add_value(struct arena *a, struct otlp_labels *out, struct str name, struct str any, unsigned depth,
                           struct err *err)
{
    struct pb_field f;
    struct label l = {.name = name};
    if (depth > OTLP_DEPTH)
        return otlp_too_deep(err);
    if (!read_any_value(any, &f, err))
        return false;
    if (f.number == ANY_MAP && !out->whole_maps)
        return otlp_add_map(a, out, name, f.bytes, depth + 1, err);
    if (!any_text(a, out, &f, any, &l.value, err))
        return false;
    if (l.value.n == 0)
        return true;
    if (out->n == OTLP_LABELS_MAX)
        return err_set(err, ERR_BAD_DATA, "more than %d attributes", OTLP_LABELS_MAX);
    if (out->n == out->cap)
        arena_grow(a, &out->items, &out->cap, out->n + 1, sizeof *out->items);
    out->items[out->n++] = l;
    return true;
}

static bool otlp_join_name(struct arena *a, struct otlp_labels *l, struct str prefix, struct str key, struct str *name,
                           struct err *err)
{
    *name = key;
    if (prefix.n == 0)
        return true;
    if (!otlp_reserve_text(l, prefix.n + 1 + key.n, err))
        return false;
    *name = arena_printf(a, "%.*s.%.*s", STR_ARG(prefix), STR_ARG(key));
    return true;
}

static bool otlp_add_map(struct arena *a, struct otlp_labels *out, struct str prefix, struct str map, unsigned depth,
                         struct err *err)
{
    const uint8_t *p = (const uint8_t *)map.p, *end = otlp_end_of(map);
    struct pb_field f;
    struct str key, value, name;
    while (pb_next(&p, end, &f)) {
        if (f.number != 1)
            continue;
        if (!read_key_value(f.bytes, &key, &value, err) || !otlp_join_name(a, out, prefix, key, &name, err)
            || !otlp_add_value(a, out, name, value, depth, err))
            return false;
    }
    return p == end || otlp_corrupted(err);
}

bool otlp_attribute_key(struct str key_value, struct str *key, struct err *err)
{
    struct str value;
    return read_key_value(key_value, key, &value, err);
}

bool otlp_add_attribute(struct arena *a, struct otlp_labels *out, struct str prefix, struct str key_value, struct err *err)
{
    struct str key, value, name;
    return read_key_value(key_value, &key, &value, err) && otlp_join_name(a, out, prefix, key, &name, err)
           && otlp_add_value(a, out, name, value, 0, err);
}
