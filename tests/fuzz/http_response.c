// SPDX-License-Identifier: Apache-2.0
/* Any bytes as an HTTP response: read in pieces it gives the same body and the same end as read whole, and no more of
 * the head is kept than the limit. The first byte is the size of the pieces.
 */
#include "base/hash.h"
#include "base/http/response_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct outcome { enum response_event event; int status; size_t bytes, left; uint64_t hash; bool ends; };

static struct outcome read_in_pieces(struct str all, size_t piece)
{
    struct response_reader r = {0};
    struct response_part part;
    struct err err = {0};
    struct buf body = {0};
    struct str in = STR_NONE;
    enum response_event event = RESPONSE_MORE;
    while (event < RESPONSE_END && (event != RESPONSE_MORE || all.n > 0)) {
        if (event == RESPONSE_MORE) {
            in = str_first(all, piece);
            all = str_skip(all, in.n);
        }
        event = response_next(&r, &in, &part, &err);
        if (event == RESPONSE_BODY)
            buf_add_str(&body, part.value);
        if (r.line.n > RESPONSE_HEAD_MAX)
            __builtin_trap();
    }
    if ((event == RESPONSE_BAD) != (err.kind != ERR_NONE))
        __builtin_trap();
    struct outcome out = {event, r.status, body.n, in.n + all.n, hash_bytes(body.p, body.n), response_ends_here(&r)};
    if (event == RESPONSE_BAD) /* how much of the bad line was taken depends on the pieces */
        out.left = 0;
    buf_free(&body);
    response_free(&r);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct str in = str_n(data + 1, n - 1);
    struct outcome whole = read_in_pieces(in, in.n), pieces = read_in_pieces(in, (size_t)data[0] + 1);
    if (whole.event != pieces.event || whole.status != pieces.status || whole.bytes != pieces.bytes
        || whole.left != pieces.left || whole.hash != pieces.hash || whole.ends != pieces.ends)
        __builtin_trap();
    return 0;
}
