// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/params.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "base/text/utf8.h"
#include "promql/promql.h"

#include <math.h>

static bool invalid(struct err *err, const char *name) { return err_wrap(err, "invalid parameter \"%s\"", name); }

/* ---- times ---- */

static bool params_read_time(struct str s, int64_t *ms, struct err *err)
{
    return time_parse(s, ms) || err_set(err, ERR_BAD_DATA, "cannot parse \"%.*s\" to a valid timestamp", STR_ARG(s));
}

bool param_time(const struct form *f, const char *name, int64_t fallback, int64_t *ms, struct err *err)
{
    struct str s = form_get(f, name);
    *ms = fallback;
    if (s.n == 0 || params_read_time(s, ms, err))
        return true;
    err_wrap(err, "invalid time value for '%s'", name);
    return invalid(err, name);
}

bool param_window(const struct form *f, int64_t *start, int64_t *end, struct err *err)
{
    return param_time(f, "start", INT64_MIN, start, err) && param_time(f, "end", INT64_MAX, end, err);
}

/* ---- durations ---- */

/* Float seconds, rounded down to milliseconds, or Prometheus' form. Nanoseconds must fit into 64 bits, as in Go. */
static bool params_read_duration(struct str s, int64_t *ms, struct err *err)
{
    double seconds;
    if (!num_parse(s, &seconds))
        return duration_parse(s, ms) || err_set(err, ERR_BAD_DATA, "cannot parse \"%.*s\" to a valid duration",
                                                STR_ARG(s));
    if (!(fabs(seconds * 1e9) < 9223372036854775808.0))
        return err_set(err, ERR_BAD_DATA, "cannot parse \"%.*s\" to a valid duration. It overflows int64", STR_ARG(s));
    *ms = (int64_t)(seconds * 1000);
    return true;
}

bool param_timeout(const struct form *f, int64_t cap, int64_t *ms, struct err *err)
{
    struct str s = form_get(f, "timeout");
    *ms = cap;
    if (s.n == 0)
        return true;
    if (!params_read_duration(s, ms, err))
        return invalid(err, "timeout");
    if (cap > 0 && *ms > cap)
        *ms = cap;
    return true;
}

bool param_lookback(const struct form *f, int64_t fallback, int64_t *ms, struct err *err)
{
    struct str s = form_get(f, "lookback_delta");
    *ms = fallback;
    if (s.n > 0 && !params_read_duration(s, ms, err))
        return err_wrap(err, "error parsing lookback delta duration");
    if (*ms <= 0)
        *ms = fallback;
    return true;
}

bool param_duration(const struct form *f, const char *name, int64_t fallback, int64_t *ms, struct err *err)
{
    struct str s = form_get(f, name);
    *ms = fallback;
    if (s.n == 0)
        return true;
    if (!params_read_duration(s, ms, err))
        return invalid(err, name);
    return *ms > 0 || (err_set(err, ERR_BAD_DATA, "it must be positive"), invalid(err, name));
}

/* ---- the grid of a range query ---- */

static bool params_grid_time(const struct form *f, const char *name, int64_t *ms, struct err *err)
{
    return params_read_time(form_get(f, name), ms, err) || invalid(err, name);
}

/* A step below a millisecond would become zero. */
static bool grid_step(const struct form *f, int64_t *ms, struct err *err)
{
    if (!params_read_duration(form_get(f, "step"), ms, err))
        return invalid(err, "step");
    if (*ms > 0)
        return true;
    err_set(err, ERR_BAD_DATA,
            "zero or negative query resolution step widths are not accepted. Try a positive integer");
    return invalid(err, "step");
}

bool param_grid(const struct form *f, struct grid_params *g, struct err *err)
{
    if (!params_grid_time(f, "start", &g->start, err) || !params_grid_time(f, "end", &g->end, err))
        return false;
    if (g->end < g->start) {
        err_set(err, ERR_BAD_DATA, "end timestamp must not be before start time");
        return invalid(err, "end");
    }
    if (!grid_step(f, &g->step, err))
        return false;
    if (((uint64_t)g->end - (uint64_t)g->start) / (uint64_t)g->step > PARAM_MAX_STEPS)
        return err_set(err, ERR_BAD_DATA, "exceeded maximum resolution of 11,000 points per timeseries. "
                                          "Try decreasing the query resolution (?step=XX)");
    return true;
}

/* ---- numbers ---- */

static bool params_is_whole_number(struct str s)
{
    if (s.n > 1 && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_skip(s, 1);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

bool param_flag(const struct form *f, const char *name, bool *on, struct err *err)
{
    struct str s = form_get(f, name);
    *on = str_is(s, "1") || str_is(s, "true");
    if (*on || s.n == 0 || str_is(s, "0") || str_is(s, "false"))
        return true;
    err_set(err, ERR_BAD_DATA, "\"%.*s\" is neither 1 nor 0", STR_ARG(s));
    return invalid(err, name);
}

bool param_partial(const struct form *f, enum partial_response *partial, struct err *err)
{
    bool allowed, denied;
    if (!param_flag(f, "partial_response", &allowed, err) || !param_flag(f, "deny_partial_response", &denied, err))
        return false;
    denied = denied || (!allowed && form_get(f, "partial_response").n > 0);
    *partial = denied ? PARTIAL_DENIED : allowed ? PARTIAL_ALLOWED : PARTIAL_AS_CONFIGURED;
    return true;
}

bool param_limit(const struct form *f, size_t *limit, struct err *err)
{
    struct str s = form_get(f, "limit");
    int64_t n = 0;
    if (s.n > 0 && !num_parse_i64(s, &n))
        err_set(err, ERR_BAD_DATA, "strconv.Atoi: parsing \"%.*s\": %s", STR_ARG(s),
                params_is_whole_number(s) ? "value out of range" : "invalid syntax");
    else if (n < 0)
        err_set(err, ERR_BAD_DATA, "limit must be non-negative");
    else {
        *limit = (size_t)n;
        return true;
    }
    return invalid(err, "limit");
}

bool param_number(const struct form *f, const char *name, int64_t *n, struct err *err)
{
    struct str s = form_get(f, name);
    *n = -1;
    return s.n == 0 || num_parse_i64(s, n) || err_set(err, ERR_BAD_DATA, "%s must be a number", name);
}

/* ---- selectors ---- */

struct regexes { struct matcher *matchers; size_t n; };

static void free_regexes(void *arg)
{
    struct regexes *r = arg;
    matchers_free(r->matchers, r->n);
}

bool param_selector(struct arena *a, struct str text, const struct matcher **set, size_t *size, struct err *err)
{
    struct regexes *owned = ARENA_NEW(a, struct regexes);
    if (!promql_parse_selector(a, text, set, size, err))
        return false;
    *owned = (struct regexes){(struct matcher *)(uintptr_t)*set, *size};
    return arena_at_end(a, free_regexes, owned);
}

bool param_selectors(struct arena *a, const struct form *f, struct selector_params *out, struct err *err)
{
    out->n = form_count(f, "match[]");
    out->sets = ARENA_ARRAY(a, const struct matcher *, out->n);
    out->sizes = ARENA_ARRAY(a, size_t, out->n);
    for (size_t i = 0; i < out->n; i++)
        if (!param_selector(a, form_nth(f, "match[]", i), &out->sets[i], &out->sizes[i], err))
            return false;
    return true;
}

static bool tells_something(const struct matcher *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!matcher_matches_empty(&m[i]))
            return true;
    return false;
}

bool param_selectors_narrow(const struct selector_params *s, struct err *err)
{
    for (size_t i = 0; i < s->n; i++)
        if (!tells_something(s->sets[i], s->sizes[i]))
            return err_set(err, ERR_BAD_DATA, "match[] must contain at least one non-empty matcher");
    return true;
}

/* ---- label names ---- */

static int params_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* After an underscore: "_" is an underscore, "2e_" the code point U+2E, of at most six digits. */
static bool params_unescape_rune(struct str *s, struct buf *out)
{
    uint32_t rune = 0;
    size_t n = 0;
    for (; n < s->n && s->p[n] != '_'; n++) {
        int digit = params_hex_digit(s->p[n]);
        if (digit < 0 || n == 6)
            return false;
        rune = rune << 4 | (uint32_t)digit;
    }
    if (n == s->n || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
        return false;
    char bytes[4];
    if (n == 0)
        buf_add_char(out, '_');
    else
        buf_add(out, bytes, utf8_encode(bytes, rune));
    *s = str_skip(*s, n + 1);
    return true;
}

static bool params_unescape(struct str s, struct buf *out)
{
    while (s.n > 0) {
        char c = s.p[0];
        s = str_skip(s, 1);
        if (c != '_')
            buf_add_char(out, c);
        else if (!params_unescape_rune(&s, out))
            return false;
    }
    return true;
}

bool param_label_name(struct arena *a, struct str text, struct str *name, struct err *err)
{
    struct buf out = {0};
    *name = text;
    if (str_starts(text, STR("U__")) && params_unescape(str_skip(text, 3), &out))
        *name = arena_str(a, buf_str(&out));
    buf_clear(&out);
    bool ok = label_name_valid(*name);
    if (!ok) {
        labels_quote(&out, *name);
        err_set(err, ERR_BAD_DATA, "invalid label name: %s", buf_z(&out));
    }
    buf_free(&out);
    return ok;
}
