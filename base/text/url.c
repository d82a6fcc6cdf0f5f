// SPDX-License-Identifier: Apache-2.0
/* Parses, encodes and redacts URLs, and parses form bodies. */
#include "base/text/url.h"
#include "base/text/num.h"

#include <ctype.h>

enum { MAX_FIELDS = 10000 };

/* Parsing. The reasons are constants, so that a message cannot contain a secret of the URL. */

static const char *split_port(struct str host_port, struct url *u)
{
    struct str after = host_port;
    if (host_port.n > 0 && host_port.p[0] == '[') {
        size_t close = str_find(host_port, ']');
        if (close == host_port.n)
            return "missing ] after an IPv6 address";
        u->host = str_n(host_port.p + 1, close - 1);
        after = str_skip(host_port, close + 1);
    } else {
        size_t colon = str_find(host_port, ':');
        u->host = str_first(host_port, colon);
        after = str_skip(host_port, colon);
    }
    if (u->host.n == 0)
        return "no host";
    if (after.n == 0)
        return NULL;
    uint64_t port = 1;
    u->port = str_skip(after, 1);
    if (after.p[0] != ':' || (u->port.n > 0 && !num_parse_u64(u->port, &port)) || port == 0 || port > 65535)
        return "the port is not a number from 1 to 65535";
    return NULL;
}

static const char *split_authority(struct str s, struct url *u)
{
    const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;
    if (at == NULL)
        return split_port(s, u);
    struct str login = str_n(s.p, (size_t)(at - s.p));
    size_t colon = str_find(login, ':');
    u->user = str_first(login, colon);
    u->password = str_skip(login, colon + 1);
    return split_port(str_skip(s, login.n + 1), u);
}

bool address_split(struct str address, struct str *host, struct str *port)
{
    const char *colon = address.n ? memrchr(address.p, ':', address.n) : NULL;
    if (colon == NULL)
        return false;
    *host = str_n(address.p, (size_t)(colon - address.p));
    *port = str_skip(address, host->n + 1);
    if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']')
        *host = str_n(host->p + 1, host->n - 2);
    return true;
}

/* Consumes the part before the first of `stops`. */
static struct str url_cut_until(struct str *s, const char *stops)
{
    size_t n = 0;
    while (n < s->n && strchr(stops, s->p[n]) == NULL)
        n++;
    struct str part = str_first(*s, n);
    *s = str_skip(*s, n);
    return part;
}

/* NULL, or the reason why it is not a valid URL. */
static const char *url_split(struct str s, struct url *u)
{
    *u = (struct url){0};
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return "it contains white space or a control character";
    u->scheme = url_cut_until(&s, ":/?#");
    if (!str_ieq(u->scheme, STR("http")) && !str_ieq(u->scheme, STR("https")))
        return "it must begin with http:// or https://";
    if (!str_starts(s, STR("://")))
        return "missing :// after the scheme";
    s = str_skip(s, 3);
    const char *why = split_authority(url_cut_until(&s, "/?#"), u);
    u->path = url_cut_until(&s, "?#");
    if (s.n > 0 && s.p[0] == '?') {
        s = str_skip(s, 1);
        u->query = url_cut_until(&s, "#");
    }
    if (s.n > 0)
        u->fragment = str_skip(s, 1);
    return why;
}

bool url_parse(struct str s, struct url *u, struct err *err)
{
    const char *why = url_split(s, u);
    if (why == NULL)
        return true;
    struct buf shown = {.max = 300};
    url_redact(&shown, s);
    err_set(err, ERR_BAD_DATA, "invalid URL \"%.*s\": %s", STR_ARG(buf_str(&shown)), why);
    buf_free(&shown);
    return false;
}

bool url_is_http(struct str s)
{
    return str_ieq(str_first(s, 7), STR("http://")) || str_ieq(str_first(s, 8), STR("https://"));
}

/* Percent escapes. */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_decode(struct arena *a, struct str s, bool plus, struct str *out)
{
    char *to = arena_bytes(a, s.n);
    if (to == NULL)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1, low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        to[n++] = c;
    }
    *out = str_n(to, n);
    return true;
}

void url_encode(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x80 && isalnum(c)) || c == '-' || c == '.' || c == '_' || c == '~') {
            buf_add_char(out, (char)c);
        } else {
            const char escape[] = {'%', hex[c >> 4], hex[c & 15]};
            buf_add(out, escape, sizeof escape);
        }
    }
}

void url_join(struct buf *out, struct str base, struct str path)
{
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    while (path.n > 0 && path.p[0] == '/')
        path = str_skip(path, 1);
    buf_add_str(out, base);
    buf_add_char(out, '/');
    buf_add_str(out, path);
}

/* Redaction. */

#define HIDDEN "xxxxx"

bool url_param_secret(struct str name)
{
    static const char *const words[] = {"token", "secret", "pass", "pwd", "key", "auth", "sig", "credential"};
    for (size_t w = 0; w < LEN(words); w++) {
        struct str word = str_of(words[w]);
        for (size_t i = 0; i + word.n <= name.n; i++)
            if (str_ieq(str_n(name.p + i, word.n), word))
                return true;
    }
    return false;
}

static void redact_query(struct buf *out, struct str query)
{
    struct str field;
    for (bool first = true; str_cut(&query, '&', &field); first = false) {
        size_t equal = str_find(field, '=');
        struct str name = str_first(field, equal);
        if (!first)
            buf_add_char(out, '&');
        if (equal < field.n && url_param_secret(name)) {
            buf_add_str(out, name);
            buf_add_z(out, "=" HIDDEN);
        } else {
            buf_add_str(out, field);
        }
    }
}

struct str url_userinfo(struct str s)
{
    struct url u;
    if (url_split(s, &u) == NULL)
        return u.user.p ? str_n(u.user.p, (size_t)(u.host.p - u.user.p) - (u.host.p[-1] == '[' ? 2 : 1)) : STR_NONE;
    /* The end of the password is ambiguous: everything before the last @ counts as userinfo. */
    const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;
    size_t scheme = str_find_str(s, STR("://"));
    if (at == NULL)
        return STR_NONE;
    struct str before = str_first(s, (size_t)(at - s.p));
    return scheme + 3 <= before.n ? str_skip(before, scheme + 3) : before;
}

void url_redact(struct buf *out, struct str s)
{
    struct url u;
    bool parsed = url_split(s, &u) == NULL;
    struct str login = url_userinfo(s), rest = s;
    if (login.p) {
        bool both = parsed && str_find(login, ':') < login.n;
        buf_add(out, s.p, parsed ? (size_t)(login.p - s.p) : 0);
        buf_add_z(out, both ? HIDDEN ":" HIDDEN : HIDDEN);
        rest = str_skip(s, (size_t)(login.p + login.n - s.p));
    }
    buf_add_str(out, url_cut_until(&rest, "?#"));
    if (rest.n > 0 && rest.p[0] == '?') {
        buf_add_char(out, '?');
        rest = str_skip(rest, 1);
        redact_query(out, url_cut_until(&rest, "#"));
    }
    buf_add_str(out, rest);
}

void url_redact_path(struct buf *out, struct str s)
{
    if (url_is_http(s))
        url_redact(out, s);
    else
        buf_add_str(out, s);
}

void url_redact_address(struct buf *out, struct str s)
{
    static const char scheme[] = "http://";
    struct buf url = {0}, shown = {0};
    bool no_scheme = str_find_str(s, STR("://")) == s.n;
    buf_add_z(&url, no_scheme ? scheme : "");
    buf_add_str(&url, s);
    url_redact(&shown, buf_str(&url));
    bool prefixed = no_scheme && str_starts(buf_str(&shown), STR(scheme));
    buf_add_str(out, str_skip(buf_str(&shown), prefixed ? sizeof scheme - 1 : 0));
    buf_free(&url);
    buf_free(&shown);
}

/* Forms. */

static bool add_field(struct arena *a, struct form *f, struct str text, struct err *err)
{
    if (f->n == MAX_FIELDS)
        return err_set(err, ERR_BAD_DATA, "more than %d parameters", MAX_FIELDS);
    if (str_find(text, ';') < text.n)
        return err_set(err, ERR_BAD_DATA, "a semicolon between parameters is not allowed; use &");
    size_t equal = str_find(text, '=');
    struct form_field field;
    struct str name = str_first(text, equal), value = str_skip(text, equal + 1);
    if (!url_decode(a, name, true, &field.name) || !url_decode(a, value, true, &field.value))
        return err_set(err, ERR_BAD_DATA, "invalid URL escape in parameter \"%.*s\"", STR_ARG(name));
    arena_grow(a, &f->fields, &f->_cap, f->n + 1, sizeof f->fields[0]);
    if (f->_cap == f->n)
        return err_set(err, ERR_LIMIT, "cannot allocate memory for the parameters of the request");
    f->fields[f->n++] = field;
    return true;
}

bool form_parse(struct arena *a, struct form *f, struct str text, struct err *err)
{
    struct str field;
    while (str_cut(&text, '&', &field))
        if (field.n > 0 && !add_field(a, f, field, err))
            return false;
    return true;
}

struct str form_get(const struct form *f, const char *name)
{
    for (size_t i = f->n; i > 0; i--)
        if (str_is(f->fields[i - 1].name, name))
            return f->fields[i - 1].value;
    return STR_NONE;
}

size_t form_count(const struct form *f, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n += str_is(f->fields[i].name, name);
    return n;
}

struct str form_nth(const struct form *f, const char *name, size_t nth)
{
    for (size_t i = 0; i < f->n; i++)
        if (str_is(f->fields[i].name, name) && nth-- == 0)
            return f->fields[i].value;
    return STR_NONE;
}

void form_add(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "%s%s=", out->n ? "&" : "", name);
    url_encode(out, value);
}

void form_add_ms(struct buf *out, const char *name, int64_t ms)
{
    form_add(out, name, (struct str){0});
    buf_add_ms(out, ms);
}
