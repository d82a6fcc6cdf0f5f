// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a URL and as a form: what is shown of a URL, or of a text that repeats it, holds no password, and what a
 * form gives is written and read again as the same fields.
 */
#include "base/text/secrets.h"
#include "base/text/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_url(struct str text)
{
    struct url u, shown;
    struct err err;
    struct buf out = {0};
    bool good = url_parse(text, &u, &err);
    url_redact(&out, text);
    if (good && (!url_parse(buf_str(&out), &shown, &err) || !str_eq(shown.host, u.host) || !str_eq(shown.path, u.path)))
        __builtin_trap();
    if (good && u.password.n > 0 && !str_is(shown.password, "xxxxx"))
        __builtin_trap();
    buf_free(&out);
}

/* A password that the replacement itself may contain is no evidence. */
static bool is_evidence(struct str password)
{
    return password.n >= SECRET_MIN && str_find(password, '<') == password.n && str_find(password, '>') == password.n
           && str_find(password, '%') == password.n && str_find_str(STR("<secret>"), password) == sizeof "<secret>" - 1;
}

static void check_echo(struct str text)
{
    struct url u;
    struct secrets secrets = {0};
    struct buf echo = {0}, shown = {0};
    secrets_add_url(&secrets, text);
    buf_printf(&echo, "GET %.*s HTTP/1.1\r\nHost: h", STR_ARG(text));
    secrets_hide(&secrets, buf_str(&echo), &shown);
    if (url_parse(text, &u, NULL) && is_evidence(u.password)
        && str_find_str(buf_str(&shown), u.password) < shown.n)
        __builtin_trap();
    url_redact_address(&shown, text);
    secrets_free(&secrets);
    buf_free(&echo);
    buf_free(&shown);
}

static void check_form(struct str text)
{
    struct arena arena;
    struct form form = {0}, again = {0};
    struct err err = {0};
    struct buf out = {0};
    arena_init(&arena, 0);
    bool good = form_parse(&arena, &form, text, &err);
    for (size_t i = 0; good && i < form.n; i++) {
        buf_add_z(&out, i ? "&" : "");
        url_encode(&out, form.fields[i].name);
        buf_add_char(&out, '=');
        url_encode(&out, form.fields[i].value);
    }
    if (good && (!form_parse(&arena, &again, buf_str(&out), &err) || again.n != form.n))
        __builtin_trap();
    for (size_t i = 0; good && i < form.n; i++)
        if (!str_eq(form.fields[i].name, again.fields[i].name) || !str_eq(form.fields[i].value, again.fields[i].value))
            __builtin_trap();
    buf_free(&out);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check_url(str_n(data, n));
    check_echo(str_n(data, n));
    check_form(str_n(data, n));
    return 0;
}
