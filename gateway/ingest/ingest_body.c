// SPDX-License-Identifier: Apache-2.0
/* The body of a request: received and decompressed part by part. A body that is parsed twice is kept, as it was
 * received. */
#include "gateway/ingest/ingest_internal.h"

#include "base/decompressor.h"

enum { INGEST_PART_BYTES = 64 << 10 /* decompressed at a time */ };

void ingest_body_close(struct ingest *in)
{
    decompressor_free(in->decompressor);
    in->decompressor = NULL;
    budget_give(&in->lane->services->http.bodies, in->decompressor_bytes);
    in->decompressor_bytes = 0;
}

void ingest_body_rewind(struct ingest *in)
{
    if (in->format->document) { /* `text` has all of it */
        in->line = in->text_at = 0;
        return;
    }
    ingest_body_close(in);
    in->raw_at = 0;
    buf_clear(&in->text);
    in->text_at = in->text_scanned = in->text_total = in->line = 0;
    in->text_complete = false;
}

static bool keep_part(struct ingest *in, struct err *err)
{
    struct str part = in->r->body;
    if (in->kept.n + part.n > in->max_text)
        return err_set(err, ERR_TOO_LARGE, "the body exceeds %zu bytes", in->max_text);
    if (!buf_try_reserve(&in->kept, part.n))
        return ingest_no_memory(err);
    buf_add_str(&in->kept, part);
    in->kept_part = part.n;
    in->kept_all = in->r->body_state == HTTP_BODY_COMPLETE;
    return true;
}

/* What is not yet decompressed. The body moves in memory while it grows. */
static struct str raw_rest(const struct ingest *in)
{
    return str_skip(in->keep ? buf_str(&in->kept) : in->r->body, in->raw_at);
}

static bool raw_is_last(const struct ingest *in) { return in->r->body_state == HTTP_BODY_COMPLETE; }

static bool raw_is_there(const struct ingest *in)
{
    return in->keep ? in->kept_all : raw_rest(in).n > 0 || raw_is_last(in);
}

static void on_body_more(struct http_request *r) { ingest_queue(r->user); }

/* Takes over what has arrived. */
static enum ingest_input body_receive(struct ingest *in, struct err *err)
{
    struct http_request *r = in->r;
    in->keep = in->all_or_nothing && in->format->line;
    while (!raw_is_there(in)) {
        size_t used = in->keep ? in->kept_part : in->raw_at;
        in->kept_part = in->raw_at = 0;
        if (!http_body_more(r, used, on_body_more))
            return INGEST_INPUT_LATER;
        if (r->body_state == HTTP_BODY_CUT ? !ingest_no_memory(err) : in->keep && !keep_part(in, err))
            return INGEST_INPUT_FAILED;
    }
    return INGEST_INPUT;
}

/* A client that sends slowly holds the window of its codec. */
static bool charge_decompressor(struct ingest *in, struct err *err)
{
    size_t n = decompressor_memory(in->decompressor), more = n > in->decompressor_bytes ? n - in->decompressor_bytes : 0;
    if (!budget_take(&in->lane->services->http.bodies, more))
        return ingest_no_memory(err);
    in->decompressor_bytes += more;
    return true;
}

bool ingest_no_text_memory(const struct ingest *in, size_t bytes, struct err *err)
{
    size_t all = in->lane->services->http.bodies.max;
    return all > 0 && bytes > all / 2
               ? err_set(err, ERR_TOO_LARGE, "the body, decompressed, does not fit into the %zu bytes for request bodies", all)
               : ingest_no_memory(err);
}

static bool body_decompress(struct ingest *in, struct err *err)
{
    /* A part at a time, since compressed bytes may come to nothing. A snappy block is complete or not. */
    struct str rest = raw_rest(in), raw = in->codec == CODEC_SNAPPY ? rest : str_first(rest, INGEST_PART_BYTES);
    bool last = raw_is_last(in) && raw.n == rest.n;
    size_t before, waiting = raw.n;
    size_t block = in->max_text < SIZE_MAX ? in->max_text : (size_t)in->lane->services->flags.max_insert_size;
    if (in->decompressor == NULL && (in->decompressor = decompressor_new(in->codec, block)) == NULL)
        return err_set(err, ERR_LIMIT, "cannot allocate memory to decompress the body");
    ingest_text_compact(in);
    before = in->text.n;
    if (before >= BUF_SPARE_MIN / 4 && in->text.cap - before < INGEST_PART_BYTES)
        buf_spare_grow(&in->lane->lane->spare, &in->text, 8 * before);
    if (!decompressor_step(in->decompressor, &raw, last, INGEST_PART_BYTES, &in->text, &in->text_complete, err)) {
        if (err->kind == ERR_LIMIT)
            return ingest_no_text_memory(in, in->text.cap, err);
        ingest_count(in->format, INGEST_READ_ERRORS, 1);
        return err_wrap(err, "cannot read the body");
    }
    in->raw_at += waiting - raw.n;
    in->text_total += in->text.n - before;
    return charge_decompressor(in, err);
}

enum ingest_input ingest_body_read(struct ingest *in, struct err *err)
{
    enum ingest_input got = body_receive(in, err);
    return got == INGEST_INPUT && !body_decompress(in, err) ? INGEST_INPUT_FAILED : got;
}
