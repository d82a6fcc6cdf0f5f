// SPDX-License-Identifier: Apache-2.0
/* Collects the secrets of an HTTP client and replaces them in texts, in every encoding that a server may echo. */
#include "base/text/secrets.h"

#include "base/text/base64.h"
#include "base/text/url.h"

/* ---- the list ---- */

void secrets_add(struct secrets *s, struct str text)
{
    if (text.n < SECRET_MIN)
        return;
    mem_grow(&s->items, &s->_cap, s->n + 1, sizeof *s->items);
    s->items[s->n++] = arena_str(&s->_texts, text);
}

void secrets_add_login(struct secrets *s, struct str user, struct str password)
{
    if (password.n == 0)
        return;
    secrets_add(s, password);
    struct str login = arena_printf(&s->_texts, "%.*s:%.*s", STR_ARG(user), STR_ARG(password));
    struct buf encoded = {0};
    base64_add(&encoded, login);
    secrets_add(s, buf_str(&encoded));
    buf_free(&encoded);
}

/* An invalid escape is kept literally. */
static struct str decoded(struct secrets *s, struct str text, bool plus)
{
    struct str out;
    return url_decode(&s->_texts, text, plus, &out) ? out : text;
}

void secrets_add_url(struct secrets *s, struct str url)
{
    if (url.n == 0)
        return;
    struct str login = url_userinfo(url), query = str_skip(url, str_find(url, '?') + 1), field;
    size_t colon = str_find(login, ':');
    if (login.n > 0) {
        struct str user = decoded(s, str_first(login, colon), false);
        secrets_add(s, user); /* some APIs expect a token as the user name */
        secrets_add_login(s, user, decoded(s, str_skip(login, colon + 1), false));
    }
    query = str_first(query, str_find(query, '#'));
    while (str_cut(&query, '&', &field)) {
        size_t equal = str_find(field, '=');
        if (url_param_secret(decoded(s, str_first(field, equal), true)))
            secrets_add(s, decoded(s, str_skip(field, equal + 1), true));
    }
}

void secrets_add_header(struct secrets *s, struct str line)
{
    struct str value = str_trim(str_skip(line, str_find(line, ':') + 1));
    secrets_add(s, value);
    secrets_add(s, str_trim(str_skip(value, str_find(value, ' '))));
}

void secrets_free(struct secrets *s)
{
    mem_free(s->items);
    arena_free(&s->_texts);
    *s = (struct secrets){0};
}

/* ---- search and replace ---- */

static int secrets_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of n leading digits of the text, or -1. */
static int hex_digits(struct str text, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = i < text.n ? secrets_hex_digit(text.p[i]) : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The byte of an escape of length *n at the start of the text; -1: no escape. */
static int escaped_byte(struct str text, size_t *n)
{
    static const struct { const char *escape; char byte; } names[] = {
        {"+", ' '}, {"\\\"", '"'}, {"\\\\", '\\'}, {"\\/", '/'}, {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'},
        {"&quot;", '"'}, {"&#34;", '"'}, {"&#39;", '\''}, {"&#x27;", '\''}, {"&#43;", '+'}, {"&apos;", '\''}};
    int byte = text.n > 0 && text.p[0] == '%' ? hex_digits(str_skip(text, 1), 2) : -1;
    if (byte >= 0) {
        *n = 3;
        return byte;
    }
    byte = str_starts(text, STR("\\u00")) ? hex_digits(str_skip(text, 4), 2) : -1;
    if (byte >= 0) {
        *n = 6;
        return byte;
    }
    for (size_t i = 0; i < LEN(names); i++)
        if (str_starts(text, str_of(names[i].escape))) {
            *n = strlen(names[i].escape);
            return (unsigned char)names[i].byte;
        }
    return -1;
}

/* A message may have truncated the server's text: at its end, or where it closes a quotation with a backtick.
 * Elsewhere SECRET_PART matching bytes are no coincidence. */
static bool is_cut(size_t matched, struct str rest)
{
    return matched >= SECRET_PART || (matched >= SECRET_MIN && (rest.n == 0 || rest.p[0] == '`'));
}

/* The number of leading bytes of the text that represent the secret, or its beginning where it was truncated; 0:
 * none. */
static size_t match_secret(struct str text, struct str secret, bool escapes)
{
    size_t at = 0;
    for (size_t i = 0; i < secret.n; i++) {
        struct str rest = str_skip(text, at);
        if (rest.n == 0)
            return is_cut(i, rest) ? at : 0;
        size_t n = 1;
        int byte = escapes ? escaped_byte(rest, &n) : -1;
        if (byte != (unsigned char)secret.p[i]) { /* "+" may be literal */
            n = 1;
            byte = (unsigned char)rest.p[0];
        }
        if (byte != (unsigned char)secret.p[i])
            return is_cut(i, rest) ? at : 0;
        at += n;
    }
    return at;
}

static size_t match_any(const struct secrets *s, struct str text)
{
    size_t longest = 0;
    for (size_t i = 0; i < s->n; i++)
        for (int escapes = 0; escapes < 2; escapes++) {
            size_t n = match_secret(text, s->items[i], escapes);
            longest = n > longest ? n : longest;
        }
    return longest;
}

void secrets_hide(const struct secrets *s, struct str text, struct buf *out)
{
    while (text.n > 0) {
        size_t n = match_any(s, text);
        if (n > 0)
            buf_add_z(out, "<secret>");
        else
            buf_add_char(out, text.p[0]);
        text = str_skip(text, n > 0 ? n : 1);
    }
}
