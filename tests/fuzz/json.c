// SPDX-License-Identifier: Apache-2.0
/* Any bytes as JSON: neither the size of the pieces in which they arrive nor reading complete members at once changes a token
 * or the verdict. The first byte is that size.
 */
#include "base/json/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void say(struct buf *said, enum json_token token, struct str text)
{
    buf_add_char(said, (char)token);
    buf_add_str(said, text);
}

static void say_members(struct buf *said, struct json_reader *r)
{
    struct str name, value;
    while (json_member(r, &name, &value)) {
        say(said, JSON_KEY, name);
        say(said, JSON_STRING, value);
    }
}

/* Everything said about the document, as bytes. */
static enum json_token read_all(struct buf *said, struct str in, size_t piece, bool members)
{
    struct json_reader r;
    json_reader_init(&r);
    r.max_string = 1000;
    size_t at = 0;
    enum json_token token;
    while ((token = json_next(&r)) != JSON_END && token != JSON_ERROR) {
        if (token != JSON_MORE) {
            bool text = token == JSON_KEY || token == JSON_STRING || token == JSON_NUMBER;
            say(said, token, text ? r.text : STR_NONE);
        } else if (at < in.n) {
            json_feed(&r, in.p + at, str_first(str_skip(in, at), piece).n);
            at += piece;
        } else {
            json_finish(&r);
        }
        if (members)
            say_members(said, &r);
    }
    json_reader_free(&r);
    return token;
}

static void check_pairs(struct str in, size_t piece)
{
    struct json_reader r;
    struct json_pair pairs[3];
    enum json_token next = JSON_MORE;
    json_reader_init(&r);
    json_feed(&r, "[", 1);
    if (json_next(&r) != JSON_ARRAY)
        __builtin_trap();
    for (size_t at = 0; next == JSON_MORE && at < in.n; at += piece) {
        json_feed(&r, in.p + at, str_first(str_skip(in, at), piece).n);
        do
            if (json_pairs(&r, pairs, LEN(pairs), &next) > LEN(pairs))
                __builtin_trap();
        while (next == JSON_ARRAY);
    }
    json_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    struct str in = str_n(data + 1, n - 1);
    struct buf whole = {0}, pieces = {0};
    enum json_token end = read_all(&whole, in, in.n ? in.n : 1, false);
    for (int members = 0; members < 2; members++) {
        buf_clear(&pieces);
        if (read_all(&pieces, in, (size_t)data[0] + 1, members) != end || !str_eq(buf_str(&whole), buf_str(&pieces)))
            __builtin_trap();
    }
    check_pairs(in, (size_t)data[0] + 1);
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
