// SPDX-License-Identifier: Apache-2.0
/* Any bytes as OpenTelemetry's JSON: the size of the pieces in which they arrive (the first byte) changes neither the message
 * nor the verdict, and the message consists of well-formed fields.
 */
#include "base/json/json_protobuf.h"
#include "base/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
extern const struct json_message otlp_request_json;

static bool transcode(struct str in, size_t piece, struct buf *out)
{
    struct json_protobuf j;
    struct err err;
    bool ok = true, last = false;
    buf_clear(out);
    json_protobuf_init(&j, &otlp_request_json, JSON_PROTO3, out);
    while (ok && !last) {
        struct str part = str_first(in, piece);
        in = str_skip(in, part.n);
        last = in.n == 0;
        ok = json_protobuf_feed(&j, part, last, &err);
    }
    if (!ok && (err.kind == ERR_NONE || err.text[0] == 0))
        __builtin_trap();
    json_protobuf_free(&j);
    return ok;
}

static void check_fields(struct str message)
{
    const uint8_t *p = (const uint8_t *)message.p, *end = message.n ? p + message.n : p;
    struct pb_field f;
    while (p < end)
        if (!pb_next(&p, end, &f))
            __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf whole = {.max = 1 << 20}, pieces = {.max = 1 << 20};
    if (n == 0)
        return 0;
    struct str in = str_n(data + 1, n - 1);
    bool ok = transcode(in, in.n + 1, &whole);
    if (transcode(in, (size_t)data[0] + 1, &pieces) != ok || (ok && !str_eq(buf_str(&whole), buf_str(&pieces))))
        __builtin_trap();
    if (ok)
        check_fields(buf_str(&whole));
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
