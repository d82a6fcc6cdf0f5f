// SPDX-License-Identifier: Apache-2.0
/* Parses scalar values: strings, booleans, numbers, durations, sizes and enumerations. */
#include "base/conf/conf.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "base/text/url.h"

static bool conf_scalar_fail_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "the configuration exceeds its memory limit");
}

static bool copy_text(struct conf_context *c, struct str text, struct str *to, struct err *err)
{
    char *copy = arena_z(c->arena, text);
    *to = str_n(copy, copy ? text.n : 0);
    return copy != NULL || conf_scalar_fail_memory(err);
}

/* For values used as C strings, which end at a NUL byte. */
static bool copy_z(struct conf_context *c, struct str text, struct str *to, struct err *err)
{
    if (str_find(text, 0) < text.n)
        return err_set(err, ERR_BAD_DATA, "it contains a NUL byte");
    return copy_text(c, text, to, err);
}

static bool copy_path(struct conf_context *c, struct str text, struct str *to, struct err *err)
{
    if (text.n == 0 || text.p[0] == '/' || url_is_http(text) || c->dir.n == 0 || str_find(text, 0) < text.n)
        return copy_z(c, text, to, err);
    struct str joined = arena_printf(c->arena, "%.*s/%.*s", STR_ARG(c->dir), STR_ARG(text));
    return joined.p ? copy_text(c, joined, to, err) : conf_scalar_fail_memory(err);
}

static bool parse_bool(struct str text, bool *to, struct err *err)
{
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"},
                                           {"n", "y"},        {"f", "t"},    {"0", "1"}};
    for (size_t i = 0; i < LEN(words); i++)
        for (int b = 0; b < 2; b++)
            if (str_ieq(text, str_of(words[i][b]))) {
                *to = b;
                return true;
            }
    return err_set(err, ERR_BAD_DATA, "\"%.*s\" is not true or false", STR_ARG(text));
}

static void write_bound(struct buf *out, enum conf_type type, int64_t v)
{
    if (type == CONF_DURATION || type == CONF_DURATION_AUTO)
        buf_add_duration(out, v);
    else
        buf_add_i64(out, v);
}

static bool conf_check_bounds(const struct conf_row *row, struct str text, int64_t v, struct err *err)
{
    if (row->max <= row->min || (v >= row->min && v <= row->max))
        return true;
    struct buf bounds = {0};
    write_bound(&bounds, row->type, row->min);
    buf_add_z(&bounds, " to ");
    write_bound(&bounds, row->type, row->max);
    err_set(err, ERR_BAD_DATA, "%.*s is out of range: it must be %s", STR_ARG(text), buf_z(&bounds));
    buf_free(&bounds);
    return false;
}

static bool parse_int(const struct conf_row *row, struct str text, int64_t *to, struct err *err)
{
    if (!num_parse_i64(text, to))
        return err_set(err, ERR_BAD_DATA, "\"%.*s\" is not a whole number", STR_ARG(text));
    return conf_check_bounds(row, text, *to, err);
}

static bool parse_float(struct str text, double *to, struct err *err)
{
    return num_parse(text, to) || err_set(err, ERR_BAD_DATA, "\"%.*s\" is not a number", STR_ARG(text));
}

static bool parse_duration(struct conf_context *c, const struct conf_row *row, struct str text, int64_t *to,
                           struct err *err)
{
    if (!(c->loose_durations ? duration_parse_loose : duration_parse)(text, to))
        return err_set(err, ERR_BAD_DATA, "\"%.*s\" is not a duration; write it as 250ms, 15s, 1m30s, 2h or 1d",
                       STR_ARG(text));
    return conf_check_bounds(row, text, *to, err);
}

static bool parse_duration_or_auto(struct conf_context *c, const struct conf_row *row, struct str text, int64_t *to,
                                   struct err *err)
{
    struct err why;
    *to = CONF_AUTO;
    return str_is(text, "auto") || parse_duration(c, row, text, to, &why)
           || err_set(err, ERR_BAD_DATA, "%s (or auto)", why.text);
}

static bool parse_size(const struct conf_row *row, struct str text, int64_t *to, struct err *err)
{
    uint64_t bytes;
    if (!num_parse_size(text, &bytes) || bytes > INT64_MAX)
        return err_set(err, ERR_BAD_DATA, "\"%.*s\" is not a size; write it as 4096, 512KB, 16MB or 1GiB",
                       STR_ARG(text));
    *to = (int64_t)bytes;
    return conf_check_bounds(row, text, *to, err);
}

static bool parse_enum(const struct conf_row *row, struct str text, int *to, struct err *err)
{
    struct buf known = {0};
    for (int i = 0; row->names[i]; i++) {
        if (str_ieq(text, str_of(row->names[i]))) {
            *to = i;
            buf_free(&known);
            return true;
        }
        buf_printf(&known, "%s%s", i ? ", " : "", row->names[i]);
    }
    err_set(err, ERR_BAD_DATA, "\"%.*s\" is not one of %s", STR_ARG(text), buf_z(&known));
    buf_free(&known);
    return false;
}

bool conf_scalar(struct conf_context *c, const struct conf_row *row, struct str text, void *value, struct err *err)
{
    switch (row->type) {
    case CONF_STRING: return copy_text(c, text, value, err);
    case CONF_SECRET:
    case CONF_URL: return copy_z(c, text, value, err);
    case CONF_FILE: return copy_path(c, text, value, err);
    case CONF_BOOL: return parse_bool(text, value, err);
    case CONF_INT: return parse_int(row, text, value, err);
    case CONF_FLOAT: return parse_float(text, value, err);
    case CONF_DURATION: return parse_duration(c, row, text, value, err);
    case CONF_DURATION_AUTO: return parse_duration_or_auto(c, row, text, value, err);
    case CONF_SIZE: return parse_size(row, text, value, err);
    case CONF_ENUM: return parse_enum(row, text, value, err);
    default: return err_set(err, ERR_INTERNAL, "%s is not a single value", row->name);
    }
}
