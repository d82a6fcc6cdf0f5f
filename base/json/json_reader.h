// SPDX-License-Identifier: Apache-2.0
/* Inside base only: what json_read.c lends to json_pairs.c. */
#ifndef BASE_JSON_JSON_READER_H
#define BASE_JSON_JSON_READER_H

#include "base/json/json_read.h"

enum { JSON_LONGEST = 4096 }; /* bytes of a number, or of a pair with the blanks in it */

enum json_state {
    AT_VALUE,       /* a value must come */
    AT_FIRST,       /* behind [: a value or ] */
    AT_FIRST_KEY,   /* behind {: a key or } */
    AT_KEY,         /* behind , in an object */
    AT_COLON,
    AFTER_VALUE,    /* , or the end of what is open */
    AFTER_DOCUMENT,
    BROKEN
};

static inline void json_reader_take(struct json_reader *r, const char *p) /* what stands before p is done with */
{
    r->offset += (uint64_t)(p - r->_p);
    r->_p = p;
}
enum json_token json_reader_fail(struct json_reader *r, const char *what);
/* The bytes ran out inside or before a token of at most `longest` bytes. */
enum json_token json_reader_more(struct json_reader *r, size_t longest);
enum json_token json_reader_close(struct json_reader *r); /* takes the bracket that ends what is open */
static inline bool json_reader_in_object(const struct json_reader *r)
{
    return r->_stack[r->_depth - 1] == JSON_OBJECT;
}

bool json_number_valid(struct str s); /* RFC 8259's grammar, which is narrower than what num_scan takes */

static inline const char *json_skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

#endif
