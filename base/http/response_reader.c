// SPDX-License-Identifier: Apache-2.0
/* The body's length (RFC 9112 6.3), in this order: none for 204 and 304; chunks if Transfer-Encoding says so, whatever
 * Content-Length is; Content-Length; else everything until the connection ends. Trailers are read and ignored.
 */
#include "base/http/response_reader.h"

#include "base/text/num.h"

static bool response_bad(struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_GATEWAY, "the response is not valid HTTP: %s", what);
}

/* ---- lines ---- */

enum line_state { LINE_MISSING, LINE_READ, LINE_TOO_LONG };

/* Takes one line, without its end. A line within *in is not copied. */
static enum line_state response_take_line(struct response_reader *r, struct str *in, struct str *line)
{
    if (r->line_used)
        buf_clear(&r->line);
    r->line_used = false;
    const char *end = in->n > 0 ? memchr(in->p, '\n', in->n) : NULL;
    size_t n = end ? (size_t)(end - in->p) + 1 : in->n;
    if (n > RESPONSE_HEAD_MAX - r->head)
        return LINE_TOO_LONG;
    r->head += n;
    *line = str_n(in->p, n);
    *in = str_skip(*in, n);
    if (end == NULL || r->line.n > 0)
        buf_add_str(&r->line, *line);
    if (end == NULL)
        return LINE_MISSING;
    if (r->line.n > 0) {
        *line = buf_str(&r->line);
        r->line_used = true;
    }
    line->n--;
    line->n -= line->n > 0 && line->p[line->n - 1] == '\r';
    return LINE_READ;
}

/* ---- the head ---- */

static bool response_digit(char c) { return c >= '0' && c <= '9'; }

/* "HTTP/1.1 200 OK"; the reason may be missing, with or without the space before it. */
static bool response_read_status_line(struct response_reader *r, struct str line, struct err *err)
{
    enum { CODE = sizeof "HTTP/1.1 " - 1, CODE_END = CODE + 3 };
    const char *p = line.p;
    if (!str_starts(line, STR("HTTP/1.")))
        return response_bad(err, str_starts(line, STR("HTTP/")) ? "it has another version than 1.0 and 1.1"
                                                                 : "it does not begin with HTTP/");
    bool good = line.n >= CODE_END && (p[7] == '0' || p[7] == '1') && p[8] == ' ' && p[CODE] != '0'
                && response_digit(p[CODE]) && response_digit(p[CODE + 1]) && response_digit(p[CODE + 2])
                && (line.n == CODE_END || p[CODE_END] == ' ');
    if (!good)
        return response_bad(err, "its status line is invalid");
    r->status = (p[CODE] - '0') * 100 + (p[CODE + 1] - '0') * 10 + p[CODE + 2] - '0';
    r->http10 = p[7] == '0';
    r->state = READ_FIELDS;
    return true;
}

/* Equal lengths may be repeated, also in one line (RFC 9110 8.6). */
static bool response_read_length(struct response_reader *r, struct str value, struct err *err)
{
    struct str item;
    uint64_t length;
    while (str_cut(&value, ',', &item)) {
        item = str_trim(item);
        if (item.n == 0 || !response_digit(item.p[0]) || !num_parse_u64(item, &length))
            return response_bad(err, "its Content-Length is not a number");
        if (r->has_length && length != r->left)
            return response_bad(err, "it has two different lengths");
        r->has_length = true;
        r->left = length;
    }
    return true;
}

static bool response_read_transfer_encoding(struct response_reader *r, struct str value, struct err *err)
{
    struct str item;
    while (str_cut(&value, ',', &item)) {
        item = str_trim(item);
        if (str_ieq(item, STR("chunked")) && !r->chunked)
            r->chunked = true;
        else if (item.n > 0 && !str_ieq(item, STR("identity")))
            return response_bad(err, "its Transfer-Encoding is not supported");
    }
    return true;
}

static void response_read_connection(struct response_reader *r, struct str value)
{
    struct str item;
    while (str_cut(&value, ',', &item)) {
        r->close |= str_ieq(str_trim(item), STR("close"));
        r->keep_alive |= str_ieq(str_trim(item), STR("keep-alive"));
    }
}

/* A line that continues the last one (obsolete since RFC 7230), and a name followed by white space mean nothing. */
static bool response_read_field(struct response_reader *r, struct str line, struct response_part *part, struct err *err)
{
    size_t colon = str_find(line, ':');
    *part = (struct response_part){str_first(line, colon), str_trim(str_skip(line, colon + 1))};
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        part->name = STR_NONE;
        return true;
    }
    if (colon == line.n)
        return response_bad(err, "a header has no colon");
    if (str_ieq(part->name, STR("content-length")))
        return response_read_length(r, part->value, err);
    if (str_ieq(part->name, STR("transfer-encoding")))
        return response_read_transfer_encoding(r, part->value, err);
    if (str_ieq(part->name, STR("connection")))
        response_read_connection(r, part->value);
    return true;
}

static void response_forget_interim(struct response_reader *r)
{
    r->state = READ_STATUS;
    r->status = 0;
    r->chunked = r->has_length = r->close = r->keep_alive = false;
    r->left = 0;
}

static void response_begin_body(struct response_reader *r)
{
    r->keeps_open = !r->close && (!r->http10 || r->keep_alive);
    if (r->status == 204 || r->status == 304)
        r->state = READ_END;
    else if (r->chunked)
        r->state = READ_CHUNK_SIZE;
    else if (r->has_length)
        r->state = r->left > 0 ? READ_LENGTH : READ_END;
    else {
        r->state = READ_UNTIL_CLOSE;
        r->keeps_open = false;
    }
}

static enum response_event response_read_head_line(struct response_reader *r, struct str line,
                                                   struct response_part *part, struct err *err)
{
    if (r->state == READ_STATUS)
        return response_read_status_line(r, line, err) ? RESPONSE_HEADER : RESPONSE_BAD;
    if (line.n > 0)
        return response_read_field(r, line, part, err) ? RESPONSE_HEADER : RESPONSE_BAD;
    if (r->status == 101) {
        response_bad(err, "it switches to another protocol");
        return RESPONSE_BAD;
    }
    if (r->status < 200) {
        response_forget_interim(r);
        return RESPONSE_HEADER;
    }
    response_begin_body(r);
    return RESPONSE_HEAD;
}

/* ---- the body ---- */

static unsigned response_hex_digit(char c)
{
    char lower = (char)(c | 0x20);
    return response_digit(c) ? (unsigned)(c - '0') : lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10 : 16;
}

/* "1f40" or "1f40;extension". */
static bool response_read_chunk_size(struct response_reader *r, struct str line, struct err *err)
{
    enum { DIGITS = 16 };
    size_t n = 0;
    r->left = 0;
    for (; n < line.n && n <= DIGITS && response_hex_digit(line.p[n]) < 16; n++)
        r->left = r->left << 4 | response_hex_digit(line.p[n]);
    struct str rest = str_trim(str_skip(line, n));
    if (n == 0 || n > DIGITS || (rest.n > 0 && rest.p[0] != ';'))
        return response_bad(err, "the size of a chunk is invalid");
    r->head = 0; /* each of the many lines between chunks is limited, not their sum */
    r->state = r->left > 0 ? READ_CHUNK : READ_TRAILERS;
    return true;
}

static bool response_read_body_line(struct response_reader *r, struct str line, struct err *err)
{
    if (r->state == READ_CHUNK_SIZE)
        return response_read_chunk_size(r, line, err);
    if (r->state == READ_CHUNK_END) {
        r->state = READ_CHUNK_SIZE;
        return line.n == 0 || response_bad(err, "a chunk is longer than its size");
    }
    if (line.n == 0)
        r->state = READ_END;
    return true;
}

static enum response_event response_read_body(struct response_reader *r, struct str *in, struct response_part *part)
{
    size_t n = r->state == READ_UNTIL_CLOSE || in->n < r->left ? in->n : (size_t)r->left;
    if (n == 0)
        return RESPONSE_MORE;
    part->value = str_n(in->p, n);
    *in = str_skip(*in, n);
    if (r->state == READ_UNTIL_CLOSE)
        return RESPONSE_BODY;
    r->left -= n;
    if (r->left == 0)
        r->state = r->state == READ_CHUNK ? READ_CHUNK_END : READ_END;
    return RESPONSE_BODY;
}

enum response_event response_next(struct response_reader *r, struct str *in, struct response_part *part,
                                  struct err *err)
{
    *part = (struct response_part){.name = STR_NONE};
    for (;;) {
        struct str line;
        if (r->state == READ_END)
            return RESPONSE_END;
        if (r->state == READ_LENGTH || r->state == READ_UNTIL_CLOSE || r->state == READ_CHUNK)
            return response_read_body(r, in, part);
        enum line_state got = response_take_line(r, in, &line);
        if (got == LINE_TOO_LONG) {
            response_bad(err, "its head, or a line between chunks, is too long");
            return RESPONSE_BAD;
        }
        if (got == LINE_MISSING)
            return RESPONSE_MORE;
        if (r->state <= READ_FIELDS) {
            enum response_event event = response_read_head_line(r, line, part, err);
            if (event != RESPONSE_HEADER || part->name.n > 0)
                return event;
        } else if (!response_read_body_line(r, line, err))
            return RESPONSE_BAD;
    }
}

bool response_ends_here(const struct response_reader *r)
{
    return r->state == READ_UNTIL_CLOSE || r->state == READ_END;
}

void response_free(struct response_reader *r)
{
    buf_free(&r->line);
    *r = (struct response_reader){0};
}
