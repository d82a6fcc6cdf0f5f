// SPDX-License-Identifier: Apache-2.0
/* The text of a body: received and decompressed part by part, and cut into lines. A body that is parsed twice is kept,
 * as it was received. */
#include "gateway/ingest/ingest_internal.h"

#include "base/decompressor.h"

enum { INGEST_PART_BYTES = 64 << 10 /* decompressed at a time */ };

void ingest_text_rewind(struct ingest *in)
{
    if (in->format->document) { /* `text` has all of it */
        in->line = 0;
        return;
    }
    decompressor_free(in->decompressor);
    in->decompressor = NULL;
    in->raw = buf_str(&in->kept);
    buf_clear(&in->text);
    in->text_at = in->text_scanned = in->text_total = in->line = 0;
    in->text_complete = false;
}

static bool body_is_cut(const struct ingest *in, struct err *err)
{
    if (in->r->body_state != HTTP_BODY_CUT)
        return true;
    err_set(err, ERR_UNAVAILABLE, "the memory for request bodies is used up; try again later");
    err->retry_after = RETRY_SECONDS;
    return false;
}

static bool keep_part(struct ingest *in, struct err *err)
{
    struct str part = in->r->body;
    if (in->kept.n + part.n > in->max_text)
        return err_set(err, ERR_TOO_LARGE, "the body exceeds %zu bytes", in->max_text);
    if (!buf_try_reserve(&in->kept, part.n)) {
        err_set(err, ERR_UNAVAILABLE, "the memory for request bodies is used up; try again later");
        err->retry_after = RETRY_SECONDS;
        return false;
    }
    buf_add_str(&in->kept, part);
    return true;
}

enum ingest_input ingest_text_receive(struct ingest *in, void (*more)(struct http_request *r), struct err *err)
{
    struct http_request *r = in->r;
    bool keep = in->phase == INGEST_CHECK && in->format->line;
    if (in->raw.n > 0 || in->raw_is_last)
        return INGEST_INPUT;
    do {
        if (!http_body_more(r, in->borrowed, more)) {
            in->borrowed = 0;
            return INGEST_INPUT_LATER;
        }
        in->borrowed = r->body.n;
        if (!body_is_cut(in, err) || (keep && !keep_part(in, err)))
            return INGEST_INPUT_FAILED;
    } while (keep && r->body_state == HTTP_BODY_OPEN);
    in->raw = keep ? buf_str(&in->kept) : r->body;
    in->raw_is_last = r->body_state == HTTP_BODY_COMPLETE;
    return INGEST_INPUT;
}

static bool line_end_is_known(struct ingest *in, size_t *end)
{
    size_t from = in->text_scanned > in->text_at ? in->text_scanned : in->text_at;
    *end = from + str_find(str_skip(buf_str(&in->text), from), '\n');
    in->text_scanned = *end;
    return *end < in->text.n || (in->text_complete && in->text_at < in->text.n);
}

bool ingest_text_fits(struct ingest *in, struct err *err)
{
    size_t end;
    if (in->text_total > in->max_text)
        return err_set(err, ERR_TOO_LARGE, "the body, decompressed, exceeds %zu bytes", in->max_text);
    if (in->format->document)
        return true;
    (void)line_end_is_known(in, &end);
    return end - in->text_at <= in->max_line
           || err_set(err, ERR_TOO_LARGE, "line %llu exceeds %zu bytes", (unsigned long long)in->line + 1, in->max_line);
}

bool ingest_text_read(struct ingest *in, struct err *err)
{
    size_t before;
    if (in->decompressor == NULL && (in->decompressor = decompressor_new(in->codec, in->max_text)) == NULL)
        return err_set(err, ERR_LIMIT, "cannot allocate memory to decompress the body");
    buf_drop_front(&in->text, in->text_at);
    in->text_scanned -= in->text_at < in->text_scanned ? in->text_at : in->text_scanned;
    in->text_at = 0;
    before = in->text.n;
    if (!decompressor_step(in->decompressor, &in->raw, in->raw_is_last, INGEST_PART_BYTES, &in->text, &in->text_complete, err)) {
        ingest_count(in->format, INGEST_READ_ERRORS, 1);
        return err_wrap(err, "cannot read the body");
    }
    in->text_total += in->text.n - before;
    return true;
}

bool ingest_text_has_line(struct ingest *in)
{
    size_t end;
    return line_end_is_known(in, &end);
}

bool ingest_text_line(struct ingest *in, struct str *line)
{
    size_t end;
    if (!line_end_is_known(in, &end) || end - in->text_at > in->max_line)
        return false;
    *line = str_n(in->text.p + in->text_at, end - in->text_at);
    in->text_at = end + (end < in->text.n);
    in->line++;
    if (line->n > 0 && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}
