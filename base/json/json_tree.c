// SPDX-License-Identifier: Apache-2.0
/* Parses small JSON documents with jansson, after checking their size. */
#include "base/json/json_tree.h"

#include <jansson.h>

/* A node is jansson's own; struct json_tree is an opaque name for it. jansson's readers do not change a node but are
 * declared without const. */
static json_t *node(const struct json_tree *t) { return (json_t *)t; }
static struct json_tree *tree(json_t *j) { return (struct json_tree *)j; }

/* Counts values before parsing: every value but the first follows a comma or an opening bracket. */
static bool has_too_many_values(struct str text)
{
    size_t n = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string)
            n += c == ',' || c == '[' || c == '{';
    }
    return n > JSON_TREE_VALUES_MAX;
}

struct json_tree *json_tree_parse(struct str text, struct err *err)
{
    if (text.n > JSON_TREE_MAX) {
        err_set(err, ERR_TOO_LARGE, "JSON document of %zu bytes exceeds the limit of %d bytes", text.n, JSON_TREE_MAX);
        return NULL;
    }
    if (has_too_many_values(text)) {
        err_set(err, ERR_TOO_LARGE, "JSON document exceeds the limit of %d values", JSON_TREE_VALUES_MAX);
        return NULL;
    }
    json_error_t why;
    json_t *root = json_loadb(text.p ? text.p : "", text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (root == NULL)
        err_set(err, ERR_BAD_DATA, "line %d: %s", why.line, why.text);
    return tree(root);
}

void json_tree_free(struct json_tree *root) { json_decref(node(root)); }

enum json_tree_kind json_tree_kind(const struct json_tree *t)
{
    static const enum json_tree_kind kinds[] = {
        [JSON_OBJECT] = JSON_TREE_OBJECT, [JSON_ARRAY] = JSON_TREE_ARRAY, [JSON_STRING] = JSON_TREE_STRING,
        [JSON_INTEGER] = JSON_TREE_NUMBER, [JSON_REAL] = JSON_TREE_NUMBER, [JSON_TRUE] = JSON_TREE_BOOL,
        [JSON_FALSE] = JSON_TREE_BOOL, [JSON_NULL] = JSON_TREE_NULL};
    return t ? kinds[json_typeof(node(t))] : JSON_TREE_ABSENT;
}

const struct json_tree *json_tree_get(const struct json_tree *object, const char *key)
{
    return tree(json_object_get(node(object), key));
}

const struct json_tree *json_tree_at(const struct json_tree *array, size_t i)
{
    return tree(json_array_get(node(array), i));
}

size_t json_tree_count(const struct json_tree *t)
{
    return json_is_object(node(t)) ? json_object_size(node(t)) : json_array_size(node(t));
}

struct str json_tree_str(const struct json_tree *t)
{
    return str_n(json_string_value(node(t)), json_string_length(node(t)));
}

bool json_tree_true(const struct json_tree *t) { return json_is_true(node(t)); }

bool json_tree_number(const struct json_tree *t, double *v)
{
    if (!json_is_number(node(t)))
        return false;
    *v = json_number_value(node(t));
    return true;
}

bool json_tree_next(const struct json_tree *object, struct json_tree_member *m)
{
    m->_at = m->_at ? json_object_iter_next(node(object), m->_at) : json_object_iter(node(object));
    if (m->_at == NULL)
        return false;
    m->key = str_of(json_object_iter_key(m->_at));
    m->value = tree(json_object_iter_value(m->_at));
    return true;
}
