// SPDX-License-Identifier: Apache-2.0
/* Formats errors and maps their kinds to HTTP status and errorType. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *type;
} table[ERR_KINDS] = {
    [ERR_NONE] = {200, ""},
    [ERR_BAD_DATA] = {400, "bad_data"},
    [ERR_EXEC] = {422, "execution"},
    [ERR_LIMIT] = {422, "execution"},
    [ERR_TIMEOUT] = {503, "timeout"},
    [ERR_CANCELED] = {499, "canceled"},
    [ERR_INTERNAL] = {500, "internal"},
    [ERR_UNAVAILABLE] = {503, "unavailable"},
    [ERR_BAD_GATEWAY] = {502, "bad_gateway"},
    [ERR_GATEWAY_TIME] = {504, "timeout"},
    [ERR_THROTTLED] = {429, "too_many_requests"},
    [ERR_TOO_LARGE] = {413, "bad_data"},
    [ERR_NOT_FOUND] = {404, "not_found"},
    [ERR_UNSUPPORTED] = {415, "bad_data"},
    [ERR_LOOP] = {508, "loop_detected"},
};

/* Shortens a truncated text so that it does not end in an incomplete UTF-8 sequence. */
static void trim_utf8(char *text, size_t n)
{
    while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
        n--;
    if (n > 0 && (unsigned char)text[n - 1] >= 0xc0)
        n--;
    text[n] = 0;
}

static void format_into(char *text, size_t size, const char *format, va_list args)
{
    int n = vsnprintf(text, size, format, args);
    if (n < 0)
        text[0] = 0;
    else if ((size_t)n >= size)
        trim_utf8(text, size - 1);
}

bool err_set(struct err *e, enum err_kind kind, const char *format, ...)
{
    if (e == NULL)
        return false;
    char text[sizeof e->text]; /* the arguments may point into e->text */
    va_list args;
    va_start(args, format);
    format_into(text, sizeof text, format, args);
    va_end(args);
    e->kind = kind;
    e->retry_after = 0;
    memcpy(e->text, text, sizeof text);
    return false;
}

bool err_wrap(struct err *e, const char *format, ...)
{
    if (e == NULL)
        return false;
    char text[2 * sizeof e->text];
    va_list args;
    va_start(args, format);
    format_into(text, sizeof e->text, format, args);
    va_end(args);
    size_t n = strlen(text);
    int m = snprintf(text + n, sizeof text - n, ": %s", e->text);
    n += m > 0 ? (size_t)m : 0;
    if (n >= sizeof e->text) {
        n = sizeof e->text - 1;
        trim_utf8(text, n);
    }
    memcpy(e->text, text, strlen(text) + 1);
    return false;
}

int err_http_status(enum err_kind kind) { return table[kind].status; }
const char *err_type(enum err_kind kind) { return table[kind].type; }
