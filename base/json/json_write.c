// SPDX-License-Identifier: Apache-2.0
/* Writes JSON and escapes strings. */
#include "base/json/json_write.h"

#include "base/json/json_string.h"
#include "base/text/num.h"
#include "base/text/utf8.h"

#include <math.h>

static void before_value(struct json_writer *w)
{
    if (w->comma)
        buf_add_char(w->out, ',');
    w->comma = true;
}

static void json_open_bracket(struct json_writer *w, char bracket)
{
    before_value(w);
    buf_add_char(w->out, bracket);
    w->comma = false;
}

static void json_close_bracket(struct json_writer *w, char bracket)
{
    buf_add_char(w->out, bracket);
    w->comma = true;
}

void json_begin_object(struct json_writer *w) { json_open_bracket(w, '{'); }
void json_end_object(struct json_writer *w) { json_close_bracket(w, '}'); }
void json_begin_array(struct json_writer *w) { json_open_bracket(w, '['); }
void json_end_array(struct json_writer *w) { json_close_bracket(w, ']'); }

void json_raw(struct json_writer *w, struct str text)
{
    before_value(w);
    buf_add_str(w->out, text);
}

void json_put_null(struct json_writer *w) { json_raw(w, STR("null")); }
void json_bool(struct json_writer *w, bool v) { json_raw(w, v ? STR("true") : STR("false")); }

void json_i64(struct json_writer *w, int64_t v)
{
    before_value(w);
    buf_add_i64(w->out, v);
}

void json_ms(struct json_writer *w, int64_t ms)
{
    before_value(w);
    buf_add_ms(w->out, ms);
}

void json_double(struct json_writer *w, double v)
{
    if (!isfinite(v)) {
        json_put_null(w);
        return;
    }
    before_value(w);
    buf_add_num(w->out, v);
}

void json_num_str(struct json_writer *w, double v)
{
    before_value(w);
    if (!buf_reserve(w->out, NUM_MAX + 2))
        return;
    char *p = w->out->p + w->out->n;
    size_t n = num_format(p + 1, v);
    p[0] = p[n + 1] = '"';
    w->out->n += n + 2;
}

static void add_unicode(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    const char text[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    buf_add(out, text, sizeof text);
}

static void add_control(struct buf *out, unsigned char c)
{
    static const char short_forms[32] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (short_forms[c] == 0) {
        add_unicode(out, c);
        return;
    }
    buf_add_char(out, '\\');
    buf_add_char(out, short_forms[c]);
}

/* Number of leading bytes that need no escaping, complete UTF-8 sequences included. */
static size_t plain_prefix(struct str s, const bool special[256])
{
    size_t i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        if (special[c])
            break;
        size_t len = 1;
        if (c >= 0x80 && utf8_next(str_skip(s, i), &len) == 0xfffd && len == 1)
            break;
        i += len;
    }
    return i;
}

static void escape(struct buf *out, struct str s, const bool special[256])
{
    while (s.n > 0) {
        size_t n = plain_prefix(s, special);
        buf_add(out, s.p, n);
        s = str_skip(s, n);
        if (s.n == 0)
            break;
        unsigned char c = (unsigned char)s.p[0];
        if (c == '"' || c == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, (char)c);
        } else if (c < 0x20) {
            add_control(out, c);
        } else if (c < 0x80) {
            add_unicode(out, c);
        } else {
            buf_add_z(out, "\xef\xbf\xbd");
        }
        s = str_skip(s, 1);
    }
}

static const bool special[256] = {[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true};
static const bool special_html[256] = {[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true,
                                       ['<'] = true,        ['>'] = true, ['&'] = true};

/* Most names and values: nothing in it needs escaping. False: nothing is written. */
static bool quoted_plain(struct json_writer *w, struct str s, bool key)
{
    const char *end = s.n > 0 ? s.p + s.n : s.p; /* s.p may be NULL */
    if (json_plain_end(s.p, end) != end || !buf_reserve(w->out, s.n + 4))
        return false;
    char *to = w->out->p + w->out->n;
    if (w->comma)
        *to++ = ',';
    *to++ = '"';
    to = s.n > 0 ? (char *)mempcpy(to, s.p, s.n) : to;
    *to++ = '"';
    if (key)
        *to++ = ':';
    w->out->n = (size_t)(to - w->out->p);
    w->comma = !key;
    return true;
}

static void quoted(struct json_writer *w, struct str s, const bool which[256])
{
    before_value(w);
    buf_add_char(w->out, '"');
    escape(w->out, s, which);
    buf_add_char(w->out, '"');
}

void json_escape(struct buf *out, struct str s) { escape(out, s, special); }

void json_str(struct json_writer *w, struct str s)
{
    if (!quoted_plain(w, s, false))
        quoted(w, s, special);
}

void json_z(struct json_writer *w, const char *z) { json_str(w, str_of(z)); }
static bool json_has_html(struct str s)
{
    bool found = false;
    for (size_t i = 0; i < s.n; i++)
        found |= special_html[(unsigned char)s.p[i]];
    return found;
}

void json_html_str(struct json_writer *w, struct str s)
{
    if (json_has_html(s) || !quoted_plain(w, s, false))
        quoted(w, s, special_html);
}


void json_key_str(struct json_writer *w, struct str key)
{
    if (quoted_plain(w, key, true))
        return;
    quoted(w, key, special);
    buf_add_char(w->out, ':');
    w->comma = false;
}

void json_key(struct json_writer *w, const char *key)
{
    before_value(w);
    buf_add_char(w->out, '"');
    buf_add_z(w->out, key);
    buf_add(w->out, "\":", 2);
    w->comma = false;
}

void json_field_str(struct json_writer *w, const char *key, struct str s)
{
    json_key(w, key);
    json_str(w, s);
}

void json_field_z(struct json_writer *w, const char *key, const char *z) { json_field_str(w, key, str_of(z)); }

void json_field_bool(struct json_writer *w, const char *key, bool v)
{
    json_key(w, key);
    json_bool(w, v);
}

void json_field_i64(struct json_writer *w, const char *key, int64_t v)
{
    json_key(w, key);
    json_i64(w, v);
}

void json_field_u64(struct json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    before_value(w);
    buf_add_u64(w->out, v);
}
