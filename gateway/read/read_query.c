// SPDX-License-Identifier: Apache-2.0
#include "gateway/read/read_query.h"

#include "base/compress.h"
#include "base/protobuf.h"
#include "base/varint.h"
#include "model/query_work.h"

static bool read_corrupted(struct err *err)
{
    return err_set(err, ERR_BAD_DATA, "the body is not a remote_read request (prometheus.ReadRequest)");
}

struct read_fields { const uint8_t *p, *end; };
static struct read_fields read_fields_of(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    return (struct read_fields){p, s.n ? p + s.n : p};
}

/* Counts the fields of this number that hold bytes; false: the message is corrupted. */
static bool read_count_fields(struct read_fields in, unsigned number, size_t *n, struct err *err)
{
    struct pb_field f;
    *n = 0;
    while (pb_next(&in.p, in.end, &f))
        *n += f.number == number && f.wire == 2;
    return in.p == in.end || read_corrupted(err);
}

/* ---- one query ---- */

static void read_matcher_free(void *matcher) { matchers_free(matcher, 1); }

static bool read_matcher(struct arena *a, struct str text, struct matcher *out, struct err *err)
{
    static const enum match_type types[] = {MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE};
    struct read_fields in = read_fields_of(text);
    struct pb_field f;
    struct str name = STR(""), value = STR("");
    uint64_t type = 0;
    while (pb_next(&in.p, in.end, &f))
        switch (f.number << 3 | f.wire) {
        case 1 << 3 | 0: type = f.value; break;
        case 2 << 3 | 2: name = f.bytes; break;
        case 3 << 3 | 2: value = f.bytes; break;
        default: break;
        }
    if (in.p != in.end)
        return read_corrupted(err);
    if (type >= LEN(types))
        return err_set(err, ERR_BAD_DATA, "invalid matcher type %llu", (unsigned long long)type);
    if (!matcher_init(out, a, types[type], name, value, err))
        return false;
    if (!arena_at_end(a, read_matcher_free, out))
        return query_refuse_memory(err);
    if (out->re)
        arena_bytes(a, regex_bytes(out->re)); /* unused: makes the arena's budget account for the regex */
    return true;
}

static bool read_hints(struct str text, struct read_query *out, struct err *err)
{
    struct read_fields in = read_fields_of(text);
    struct pb_field f;
    out->has_hints = true;
    while (pb_next(&in.p, in.end, &f))
        switch (f.number << 3 | f.wire) {
        case 1 << 3 | 0: out->step = (int64_t)f.value; break;
        case 2 << 3 | 2: out->func = f.bytes; break;
        case 3 << 3 | 0: out->hint_start = (int64_t)f.value; break;
        case 4 << 3 | 0: out->hint_end = (int64_t)f.value; break;
        case 7 << 3 | 0: out->range = (int64_t)f.value; break;
        default: break;
        }
    return in.p == in.end || read_corrupted(err);
}

static bool read_query_decode(struct arena *a, struct str text, struct read_query *out, struct err *err)
{
    struct read_fields in = read_fields_of(text);
    struct pb_field f;
    size_t n;
    if (!read_count_fields(in, 3, &n, err))
        return false;
    *out = (struct read_query){.func = STR(""), .matchers = ARENA_ARRAY(a, struct matcher, n)};
    while (pb_next(&in.p, in.end, &f))
        switch (f.number << 3 | f.wire) {
        case 1 << 3 | 0: out->start = (int64_t)f.value; break;
        case 2 << 3 | 0: out->end = (int64_t)f.value; break;
        case 3 << 3 | 2:
            if (!read_matcher(a, f.bytes, &out->matchers[out->n_matchers], err))
                return false;
            out->n_matchers++;
            break;
        case 4 << 3 | 2:
            if (!read_hints(f.bytes, out, err))
                return false;
            break;
        default: break;
        }
    return true;
}

/* ---- the request ---- */

struct read_forms { bool named, known; };

static void read_accept(struct read_call *out, struct read_forms *seen, uint64_t form)
{
    seen->named = true;
    if (seen->known || form > READ_CHUNKS)
        return;
    seen->known = true;
    out->form = (enum read_form)form;
}

/* accepted_response_types, packed. */
static bool read_accept_packed(struct read_call *out, struct read_forms *seen, struct str packed, struct err *err)
{
    struct read_fields in = read_fields_of(packed);
    while (in.p != in.end) {
        uint64_t form;
        in.p = varint_get(in.p, in.end, &form);
        if (in.p == NULL)
            return read_corrupted(err);
        read_accept(out, seen, form);
    }
    return true;
}

static bool read_message(struct arena *a, struct str message, struct read_call *out, struct err *err)
{
    struct read_fields in = read_fields_of(message);
    struct read_forms seen = {0};
    struct pb_field f;
    size_t n;
    if (!read_count_fields(in, 1, &n, err))
        return false;
    if (n > READ_QUERIES_MAX)
        return err_set(err, ERR_BAD_DATA, "the request has %zu queries; at most %d are allowed", n, READ_QUERIES_MAX);
    out->queries = ARENA_ARRAY(a, struct read_query, n);
    while (pb_next(&in.p, in.end, &f)) {
        if (f.number == 1 && f.wire == 2 && !read_query_decode(a, f.bytes, &out->queries[out->n++], err))
            return false;
        if (f.number == 2 && f.wire == 0)
            read_accept(out, &seen, f.value);
        if (f.number == 2 && f.wire == 2 && !read_accept_packed(out, &seen, f.bytes, err))
            return false;
    }
    return !seen.named || seen.known ||
           err_set(err, ERR_BAD_DATA, "server does not support any of the requested response types; supported: "
                   "SAMPLES, STREAMED_XOR_CHUNKS");
}

bool read_call_decode(struct arena *a, struct str body, struct read_call *out, struct err *err)
{
    struct buf plain = {0};
    *out = (struct read_call){0};
    if (!decompress(CODEC_SNAPPY, NULL, body, READ_BODY_MAX, &plain, err)) {
        buf_free(&plain);
        if (err->kind == ERR_TOO_LARGE)
            return false;
        return err_set(err, ERR_BAD_DATA, "the body is not a remote_read request compressed with snappy");
    }
    struct arena_limits limits = arena_suspend_limit(a); /* for `plain`, which a jump would leak */
    struct str message = arena_str(a, buf_str(&plain));  /* texts of queries point into it */
    arena_restore_limit(a, limits);
    buf_free(&plain);
    return read_message(a, message, out, err);
}
