// SPDX-License-Identifier: Apache-2.0
/* A small JSON document as a tree, for API responses that are read once (discovery, rules, metadata). Large responses
 * are streamed (base/json/json_read.h). Only json_tree.c includes jansson.
 *
 * The caller of json_tree_parse owns the root; every node and text inside is borrowed from it. All readers accept
 * NULL for a missing node, so json_tree_str(json_tree_get(json_tree_get(t, "a"), "b")) needs no checks. Immutable;
 * any thread.
 */
#ifndef BASE_JSON_JSON_TREE_H
#define BASE_JSON_JSON_TREE_H

#include "base/err.h"
#include "base/str.h"

struct json_tree;

enum {
    JSON_TREE_MAX = 64 << 20,       /* maximum bytes of text */
    JSON_TREE_VALUES_MAX = 4 << 20, /* maximum values; each takes about 100 bytes of memory */
};

/* Parses exactly one document. NULL and err ("line 3: ...", ERR_BAD_DATA). Of duplicate members the last one counts. */
struct json_tree *json_tree_parse(struct str text, struct err *err) MUST_USE;
void json_tree_free(struct json_tree *root); /* NULL is fine */

enum json_tree_kind {
    JSON_TREE_ABSENT,
    JSON_TREE_NULL,
    JSON_TREE_BOOL,
    JSON_TREE_NUMBER,
    JSON_TREE_STRING,
    JSON_TREE_ARRAY,
    JSON_TREE_OBJECT
};
enum json_tree_kind json_tree_kind(const struct json_tree *t);

/* NULL: no such member, or not an object */
const struct json_tree *json_tree_get(const struct json_tree *object, const char *key);
/* NULL: out of range, or not an array */
const struct json_tree *json_tree_at(const struct json_tree *array, size_t i);
size_t json_tree_count(const struct json_tree *t); /* items or members; 0 for anything else */

/* NUL-terminated; {NULL, 0} when it is not a string */
struct str json_tree_str(const struct json_tree *t);
bool json_tree_true(const struct json_tree *t);                        /* false for anything but true */
bool json_tree_number(const struct json_tree *t, double *v) MUST_USE;  /* false when it is not a number */

/* struct json_tree_member m = {0}; while (json_tree_next(object, &m)) ...   members in the document's order */
struct json_tree_member {
    struct str key;
    const struct json_tree *value;
    void *_at;
};
bool json_tree_next(const struct json_tree *object, struct json_tree_member *m);

#endif
