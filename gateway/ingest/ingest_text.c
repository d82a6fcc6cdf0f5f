// SPDX-License-Identifier: Apache-2.0
/* The text of a body, decompressed, cut into lines. */
#include "gateway/ingest/ingest_internal.h"

bool ingest_no_memory(struct err *err)
{
    err_set(err, ERR_UNAVAILABLE, "the memory for request bodies is used up; try again later");
    err->retry_after = RETRY_SECONDS;
    return false;
}

void ingest_text_compact(struct ingest *in)
{
    buf_drop_front(&in->text, in->text_at);
    in->text_scanned -= in->text_at < in->text_scanned ? in->text_at : in->text_scanned;
    in->text_at = 0;
}

static bool record_end_is_known(struct ingest *in, size_t *end)
{
    struct str rest = str_skip(buf_str(&in->text), in->text_at);
    size_t n = rest.n > 0 ? in->format->record(in, rest) : 0;
    bool complete = n > 0 && n <= rest.n;
    *end = n > in->max_line ? SIZE_MAX : in->text_at + (complete ? n : rest.n);
    return complete || (in->text_complete && rest.n > 0);
}

/* *end: where the line ends, or as much as is known of it. */
static bool line_end_is_known(struct ingest *in, size_t *end)
{
    if (in->format->record)
        return record_end_is_known(in, end);
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
           || err_set(err, ERR_TOO_LARGE, "%s %llu exceeds %zu bytes", in->format->record ? "record" : "line",
                      (unsigned long long)in->line + 1, in->max_line);
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
    in->text_at = end + (end < in->text.n && !in->format->record);
    in->line++;
    if (!in->format->record && line->n > 0 && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}
