// SPDX-License-Identifier: Apache-2.0
/* Reads an HTTP/1.x response that arrives in pieces (RFC 9112): status line, header fields, and a body delimited by
 * Content-Length, by chunks, or by the end of the connection. Pure; one thread at a time.
 *
 * Each call consumes a part of *in and returns one event:
 *
 *     struct response_reader r = {0};
 *     struct str in = received, name, value;
 *     while ((event = response_next(&r, &in, &part, &err)) != RESPONSE_MORE) ...
 *
 * It is as tolerant as libcurl, through which the same server may be asked too: a line may end in LF alone, and
 * interim responses (1xx) are skipped. What would leave the length of the body in doubt is an error: an invalid or
 * contradictory Content-Length, an unknown Transfer-Encoding, a broken chunk. A head may have RESPONSE_HEAD_MAX bytes.
 */
#ifndef BASE_HTTP_RESPONSE_READER_H
#define BASE_HTTP_RESPONSE_READER_H

#include "base/buf.h"
#include "base/err.h"

enum { RESPONSE_HEAD_MAX = 256 << 10 };

enum response_event {
    RESPONSE_MORE,   /* *in is consumed, and more is needed */
    RESPONSE_HEADER, /* part: name and value, without white space around them */
    RESPONSE_HEAD,   /* the head of the final response is complete */
    RESPONSE_BODY,   /* part.value: bytes of the body */
    RESPONSE_END,    /* the response is complete; the rest of *in is not part of it */
    RESPONSE_BAD     /* err has the reason */
};
struct response_part { struct str name, value; }; /* valid until the next call, and while *in's bytes are */

struct response_reader { /* zeroed at the start of each response */
    int status;          /* 0 until the status line is read */
    bool keeps_open;     /* after RESPONSE_HEAD: the server will accept another request */
    enum response_state {
        READ_STATUS, READ_FIELDS, READ_LENGTH, READ_UNTIL_CLOSE, READ_CHUNK_SIZE, READ_CHUNK, READ_CHUNK_END,
        READ_TRAILERS, READ_END
    } state;
    bool http10, chunked, has_length, close, keep_alive;
    uint64_t left;       /* bytes of the body, or of the chunk */
    size_t head;         /* bytes of heads and trailers so far */
    struct buf line;     /* a line of which a part has arrived; free it with response_free */
    bool line_used;      /* `line` was returned, and is to be emptied */
};

enum response_event response_next(struct response_reader *r, struct str *in, struct response_part *part,
                                  struct err *err) MUST_USE;
/* Whether the response is complete if the connection ends now. */
bool response_ends_here(const struct response_reader *r);
void response_free(struct response_reader *r); /* frees and zeroes it */

#endif
