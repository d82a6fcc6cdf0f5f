// SPDX-License-Identifier: Apache-2.0
#include "base/json/json_value.h"

void json_value_reader_init(struct json_value_reader *v, struct arena *a)
{
    *v = (struct json_value_reader){.arena = a};
    json_reader_init(&v->r);
}

void json_value_reader_free(struct json_value_reader *v) { json_reader_free(&v->r); }

/* Appends a value to the innermost open one. */
static struct json_value *json_value_add(struct json_value_reader *v, enum json_token kind)
{
    struct json_value *value = ARENA_NEW(v->arena, struct json_value);
    value->kind = kind;
    value->key = v->key;
    v->key = STR_NONE;
    if (v->depth == 0) {
        v->root = value;
        return value;
    }
    struct json_value **last = &v->last[v->depth - 1], *parent = v->open[v->depth - 1];
    if (*last)
        (*last)->next = value;
    else
        parent->first = value;
    *last = value;
    parent->n++;
    return value;
}

/* ---- parts of a document ---- */

/* Their depth: 0 for documents, 2 for items. */
static unsigned json_value_part_depth(const struct json_value_reader *v) { return v->items ? 2 : 0; }

/* Before a value: the next memory is that of a part. */
static void json_value_begin_part(struct json_value_reader *v)
{
    if (v->each && v->depth == json_value_part_depth(v) && (v->items == NULL || v->in_items))
        v->mark = arena_mark(v->arena);
}

static bool json_value_end_part(struct json_value_reader *v, struct err *err)
{
    bool ok = true;
    if (v->each == NULL || v->depth != json_value_part_depth(v))
        return true;
    if (v->items == NULL) {
        ok = v->each(v->arg, v->root, err);
        v->root = NULL;
    } else if (v->in_items && v->last[1]) {
        ok = v->each(v->arg, v->last[1], err);
        v->last[1] = v->open[1]->first = NULL;
    } else {
        return true;
    }
    arena_release(v->arena, v->mark);
    return ok;
}

/* The array whose items are parts begins. */
static void json_value_enter_items(struct json_value_reader *v, const struct json_value *value)
{
    if (v->items && v->depth == 2)
        v->in_items = value->kind == JSON_ARRAY && v->open[0]->kind == JSON_OBJECT && str_is(value->key, v->items);
}

/* ---- tokens ---- */

static void json_value_take(struct json_value_reader *v, enum json_token token)
{
    struct json_value *value;
    switch (token) {
    case JSON_KEY:
        v->key = arena_str(v->arena, v->r.text);
        break;
    case JSON_OBJECT:
    case JSON_ARRAY: /* the reader limits the depth to JSON_DEPTH */
        value = json_value_add(v, token);
        v->last[v->depth] = NULL;
        v->open[v->depth++] = value;
        json_value_enter_items(v, value);
        break;
    case JSON_END_OBJECT:
    case JSON_END_ARRAY:
        v->depth--;
        break;
    case JSON_STRING:
    case JSON_NUMBER:
        value = json_value_add(v, token);
        value->text = arena_str(v->arena, v->r.text);
        value->number = token == JSON_NUMBER ? v->r.number : 0;
        break;
    default:
        json_value_add(v, token);
    }
}

/* JSON_MORE while a member that is not wanted has not ended. */
static enum json_token json_value_next(struct json_value_reader *v)
{
    for (;;) {
        enum json_token token = v->skipping ? JSON_KEY : json_next(&v->r);
        if (token != JSON_KEY || (!v->skipping && (v->skip == NULL || !str_is(v->r.text, v->skip))))
            return token;
        token = json_skip(&v->r);
        v->skipping = token == JSON_MORE;
        if (token == JSON_MORE || token == JSON_ERROR)
            return token;
    }
}

static bool json_value_read(struct json_value_reader *v, struct err *err)
{
    for (;;) {
        enum json_token token = json_value_next(v);
        if (token == JSON_MORE || token == JSON_END)
            return true;
        if (token == JSON_ERROR) {
            *err = v->r.err;
            return false;
        }
        if (token != JSON_END_OBJECT && token != JSON_END_ARRAY)
            json_value_begin_part(v);
        json_value_take(v, token);
        if (token != JSON_KEY && !json_value_end_part(v, err))
            return false;
    }
}

bool json_value_reader_feed(struct json_value_reader *v, struct str piece, struct err *err)
{
    json_feed(&v->r, piece.p, piece.n);
    return json_value_read(v, err);
}

const struct json_value *json_value_reader_finish(struct json_value_reader *v, struct err *err)
{
    json_finish(&v->r);
    return json_value_read(v, err) ? v->root : NULL;
}

/* ---- reading ---- */

const struct json_value *json_value_items(const struct json_value *v) { return v ? v->first : NULL; }

const struct json_value *json_value_get(const struct json_value *object, const char *key)
{
    const struct json_value *found = NULL;
    if (object && object->kind == JSON_OBJECT)
        for (const struct json_value *m = object->first; m; m = m->next)
            if (str_is(m->key, key))
                found = m;
    return found;
}

struct str json_value_text(const struct json_value *v)
{
    return v && v->kind == JSON_STRING ? v->text : STR("");
}

struct str json_value_scalar(const struct json_value *v)
{
    if (v == NULL)
        return STR_NONE;
    switch (v->kind) {
    case JSON_STRING:
    case JSON_NUMBER: return v->text;
    case JSON_TRUE: return STR("true");
    case JSON_FALSE: return STR("false");
    default: return STR_NONE;
    }
}

double json_value_number(const struct json_value *v) { return v && v->kind == JSON_NUMBER ? v->number : 0; }

/* ---- writing ---- */

void json_value_write(struct json_writer *w, const struct json_value *v)
{
    if (v == NULL) {
        json_put_null(w);
        return;
    }
    switch (v->kind) {
    case JSON_OBJECT:
        json_begin_object(w);
        for (const struct json_value *m = v->first; m; m = m->next) {
            json_key_str(w, m->key);
            json_value_write(w, m);
        }
        json_end_object(w);
        break;
    case JSON_ARRAY:
        json_begin_array(w);
        for (const struct json_value *item = v->first; item; item = item->next)
            json_value_write(w, item);
        json_end_array(w);
        break;
    case JSON_STRING: json_html_str(w, v->text); break;
    case JSON_NUMBER: json_raw(w, v->text); break;
    case JSON_TRUE:
    case JSON_FALSE: json_bool(w, v->kind == JSON_TRUE); break;
    default: json_put_null(w);
    }
}
