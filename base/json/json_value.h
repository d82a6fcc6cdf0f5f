// SPDX-License-Identifier: Apache-2.0
/* A JSON document as a tree in an arena, built from pieces as they arrive, so that what a peer sends counts against
 * the arena's budget while it is read. Members keep their order. For documents that are kept and changed in part; a
 * document that is read once is in base/json/json_tree.h, a large list of samples in json_read.h.
 *
 * A large document, or one that never ends, is read in parts: `each` gets every item of the root's member `items`, or
 * without it every document of a sequence, as a tree that is released when it returns.
 *
 * json_value_reader_feed does not check the arena's budget itself: the caller does, after each piece. One thread.
 */
#ifndef BASE_JSON_JSON_VALUE_H
#define BASE_JSON_JSON_VALUE_H

#include "base/arena.h"
#include "base/json/json_read.h"
#include "base/json/json_write.h"

struct json_value { /* immutable once read */
    enum json_token kind;      /* JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL */
    struct str key;            /* of a member */
    struct str text;           /* STRING; NUMBER: as sent */
    double number;             /* NUMBER */
    size_t n;                  /* items or members */
    struct json_value *first;  /* of the items or members */
    struct json_value *next;   /* the following item or member of the same parent */
};

struct json_value_reader {
    struct json_reader r;
    struct arena *arena;
    struct json_value *root;
    struct str key;            /* of the next member */
    struct json_value *open[JSON_DEPTH], *last[JSON_DEPTH]; /* enclosing values; the last child of each */
    unsigned depth;
    /* Set by the caller after json_value_reader_init, before the first piece: */
    const char *skip;          /* members of this name are not read, wherever they are; NULL: none */
    const char *items;         /* with `each`: see above */
    bool (*each)(void *arg, const struct json_value *part, struct err *err); /* false: the end, with err */
    void *arg;
    bool in_items, skipping;   /* private */
    struct arena_mark mark;
};
void json_value_reader_init(struct json_value_reader *v, struct arena *a);
bool json_value_reader_feed(struct json_value_reader *v, struct str piece, struct err *err) MUST_USE;
/* After the last piece; NULL with an error if the document is incomplete, and always after a sequence of documents. */
const struct json_value *json_value_reader_finish(struct json_value_reader *v, struct err *err);
void json_value_reader_free(struct json_value_reader *v); /* not the tree, which is the arena's */

/* All of them accept NULL, an absent value. */
const struct json_value *json_value_get(const struct json_value *object, const char *key); /* the last one of this key */
/* for (v = json_value_items(array); v; v = v->next); likewise members. NULL: neither array nor object. */
const struct json_value *json_value_items(const struct json_value *v);
struct str json_value_text(const struct json_value *v);           /* empty if it is no string */
struct str json_value_scalar(const struct json_value *v); /* the text of a string, number or boolean; empty: none of them */
double json_value_number(const struct json_value *v);             /* 0 if it is no number */

void json_value_write(struct json_writer *w, const struct json_value *v); /* as it was read; NULL: null */

#endif
