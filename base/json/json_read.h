// SPDX-License-Identifier: Apache-2.0
/* A streaming JSON reader: tokens instead of a tree, input in pieces of any size, bounded nesting.
 *
 * Input is fed as it arrives; json_next returns one token at a time, and JSON_MORE when it needs more. A string token
 * is valid until the next call of json_feed or json_next (unescaped into a buffer of the reader when it has escapes,
 * else a slice of the input). json_pairs is the hot loop over [[t,"v"],...]: it reads all complete pairs of the input
 * without tokens; json_pair and json_member do so with one item of the usual form. Nesting is limited to JSON_DEPTH, a string to max_string bytes, white space between two tokens to
 * JSON_BLANKS. One thread at a time.
 */
#ifndef BASE_JSON_JSON_READ_H
#define BASE_JSON_JSON_READ_H

#include "base/err.h"
#include "base/buf.h"

enum { JSON_DEPTH = 64, JSON_BLANKS = 1 << 20, JSON_SKIPPED = 2 << 20 /* bytes */ };
enum json_token {
    JSON_MORE, /* feed more, or call json_finish */
    JSON_END,  /* the document is complete; trailing white space only */
    JSON_ERROR,
    JSON_OBJECT, JSON_END_OBJECT, JSON_ARRAY, JSON_END_ARRAY,
    JSON_KEY, JSON_STRING, /* text in r->text */
    JSON_NUMBER,           /* r->number, with its text in r->text */
    JSON_TRUE, JSON_FALSE, JSON_NULL
};

struct json_reader {
    struct str text;
    double number;
    size_t max_string;   /* 0 = 1 MiB */
    bool many;           /* set by the caller: a sequence of documents, as in JSON lines; it may be empty */
    bool nan;            /* set by the caller: the word NaN, which is not JSON, is JSON_NULL */
    uint64_t offset;     /* of the next byte to read, for messages */
    uint64_t skipped;    /* bytes that json_skip has read */
    struct err err;      /* set when JSON_ERROR was returned */
    /* private */
    struct buf _tail, _unescaped;
    const char *_p, *_end;
    uint64_t _token;     /* offset where the last token ended */
    uint8_t _stack[JSON_DEPTH];
    unsigned _depth, _state;
    unsigned _skip; /* json_skip in progress: the depth at which it ends, plus one */
    bool _finished;
};

void json_reader_init(struct json_reader *r);
void json_reader_free(struct json_reader *r);
/* Borrows the bytes until JSON_MORE is returned or the next feed; the unread rest is then copied. */
void json_feed(struct json_reader *r, const char *p, size_t n);
void json_finish(struct json_reader *r); /* end of input */
enum json_token json_next(struct json_reader *r);
/* After JSON_KEY, or for a value just begun (an OBJECT or ARRAY token): skips the complete value. JSON_MORE: call
 * again after feeding; JSON_ERROR; any other token: done. */
enum json_token json_skip(struct json_reader *r);
/* More than JSON_SKIPPED, and most of what was read: a response that never comes to its contents. */
static inline bool json_mostly_skipped(const struct json_reader *r)
{
    return r->skipped > JSON_SKIPPED && r->skipped > r->offset / 2;
}

struct json_pair { int64_t t_ms; double v; };
/* Inside an array of [number,"number"] pairs (after its JSON_ARRAY token): reads up to `max` pairs and returns their
 * number. *next is JSON_ARRAY (max reached: call again), JSON_END_ARRAY (the array ended), JSON_MORE or JSON_ERROR. */
size_t json_pairs(struct json_reader *r, struct json_pair *out, size_t max, enum json_token *next);
/* After JSON_KEY: one such pair, if it is complete. False: nothing was read; json_next returns its tokens. */
bool json_pair(struct json_reader *r, struct json_pair *out) MUST_USE;
/* In an object, after its JSON_OBJECT token or a member: the next member if it is complete and has a text without escapes,
 * in ASCII; name and value are valid until the next call. False: nothing was read; json_next returns its tokens. */
bool json_member(struct json_reader *r, struct str *name, struct str *value) MUST_USE;
/* In an array, after its JSON_ARRAY token or an item: the unread bytes from the next item on; empty: not known yet. */
struct str json_items(const struct json_reader *r);
/* The first n bytes of json_items are a complete item, which the caller has read. */
void json_item_read(struct json_reader *r, size_t n);
size_t json_unread(const struct json_reader *r); /* bytes that were fed and not read */
bool json_number_valid(struct str s);            /* RFC 8259's grammar, stricter than num_scan's */

#endif
