// SPDX-License-Identifier: Apache-2.0
/* Internal to base/json: the state of a reader, shared by json_read.c and json_pairs.c. */
#ifndef BASE_JSON_JSON_READER_H
#define BASE_JSON_JSON_READER_H

#include "base/json/json_read.h"

enum { JSON_LONGEST = 4096 }; /* maximum bytes of a number, or of a pair with its white space */
enum { JSON_STRING_DEFAULT = 1 << 20 };
static inline size_t json_reader_longest(const struct json_reader *r)
{
    return r->max_string ? r->max_string : JSON_STRING_DEFAULT;
}

enum json_state {
    AT_VALUE,       /* a value is required */
    AT_FIRST,       /* after [: a value or ] */
    AT_FIRST_KEY,   /* after {: a key or } */
    AT_KEY,         /* after a comma in an object */
    AT_COLON,
    AFTER_VALUE,    /* a comma, or the end of the open array or object */
    AFTER_DOCUMENT,
    BROKEN
};

static inline void json_reader_consume(struct json_reader *r, const char *p) /* consumes the input before p */
{
    r->offset += (uint64_t)(p - r->_p);
    r->_p = p;
}
enum json_token json_reader_fail(struct json_reader *r, const char *what);
/* The input ended inside or before a token of at most `longest` bytes. */
enum json_token json_reader_more(struct json_reader *r, size_t longest);
/* consumes the bracket that closes the open array or object */
enum json_token json_reader_close(struct json_reader *r);
static inline bool json_reader_in_object(const struct json_reader *r)
{
    return r->_stack[r->_depth - 1] == JSON_OBJECT;
}

static inline const char *json_skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

#endif
