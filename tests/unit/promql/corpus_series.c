// SPDX-License-Identifier: Apache-2.0
/* name{labels} 1 2+3x4 _ {{schema:1 ...}}x2 */
#include "corpus.h"

#include "base/text/num.h"
#include "model/histogram/histogram_math.h"

#include <ctype.h>

struct reader { struct arena *a; struct str rest; struct err *err; };

static bool broken(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_BAD_DATA, "%s at `%.*s`", what, STR_ARG(str_first(r->rest, 40)));
}

static void skip_blanks(struct reader *r)
{
    while (r->rest.n > 0 && isspace((unsigned char)*r->rest.p))
        r->rest = str_skip(r->rest, 1);
}

static bool take(struct reader *r, const char *word)
{
    struct str w = str_of(word);
    if (!str_starts(r->rest, w))
        return false;
    r->rest = str_skip(r->rest, w.n);
    return true;
}

/* --- labels ------------------------------------------------------------------------------------------------------- */

static size_t metric_length(struct str s)
{
    size_t i = 0;
    while (i < s.n && s.p[i] != '{' && !isspace((unsigned char)s.p[i]))
        i++;
    size_t brace = i;
    while (brace < s.n && s.p[brace] == ' ')
        brace++;
    if (brace >= s.n || s.p[brace] != '{' || (brace + 1 < s.n && s.p[brace + 1] == '{'))
        return i;
    char quote = 0;
    for (i = brace; i < s.n; i++) {
        if (quote && s.p[i] == '\\' && quote != '`')
            i++;
        else if (quote)
            quote = s.p[i] == quote ? 0 : quote;
        else if (s.p[i] == '"' || s.p[i] == '\'' || s.p[i] == '`')
            quote = s.p[i];
        else if (s.p[i] == '}')
            return i + 1;
    }
    return s.n;
}

static bool read_labels(struct reader *r, struct labels *out)
{
    struct str text = str_first(r->rest, metric_length(r->rest));
    r->rest = str_skip(r->rest, text.n);
    if (str_is(text, "{}")) {
        *out = (struct labels){0};
        return true;
    }
    const struct matcher *m;
    size_t n;
    if (!promql_parse_selector(r->a, text, &m, &n, r->err))
        return false;
    struct label *labels = ARENA_ARRAY(r->a, struct label, n);
    for (size_t i = 0; i < n; i++)
        labels[i] = (struct label){m[i].name, m[i].value};
    *out = labels_from(r->a, labels, n);
    return true;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static bool read_number(struct reader *r, double *v)
{
    double sign = take(r, "-") ? -1 : 1;
    if (sign > 0)
        (void)take(r, "+");
    if (take(r, "Inf") || take(r, "inf")) {
        *v = sign * INFINITY;
        return true;
    }
    if (take(r, "NaN") || take(r, "nan")) {
        *v = normal_nan();
        return true;
    }
    const char *end = num_scan(r->rest.p, r->rest.p + r->rest.n, v);
    if (end == NULL)
        return broken(r, "no number");
    *v *= sign;
    r->rest = str_skip(r->rest, (size_t)(end - r->rest.p));
    return true;
}

static bool read_times(struct reader *r, size_t *times) /* xN; 0 when it is not there */
{
    double n = 0;
    *times = 0;
    if (!take(r, "x"))
        return true;
    if (!read_number(r, &n))
        return false;
    *times = (size_t)n;
    return true;
}

/* --- histograms --------------------------------------------------------------------------------------------------- */

struct description { struct histogram h; double offset, n_offset; bool hinted; };

static bool read_list(struct reader *r, const double **items, uint32_t *n)
{
    double *list = NULL;
    size_t cap = 0;
    *n = 0;
    if (!take(r, "["))
        return broken(r, "no [");
    for (skip_blanks(r); !take(r, "]"); skip_blanks(r)) {
        arena_grow(r->a, &list, &cap, *n + 1, sizeof *list);
        if (!read_number(r, &list[(*n)++]))
            return false;
    }
    *items = list;
    return true;
}

static bool read_hint(struct reader *r, struct description *d)
{
    d->hinted = true;
    static const struct { const char *word; enum reset_hint hint; } hints[] = {
        {"unknown", RESET_UNKNOWN}, {"not_reset", RESET_NO}, {"reset", RESET_YES}, {"gauge", RESET_GAUGE}};
    for (size_t i = 0; i < LEN(hints); i++) {
        d->h.hint = hints[i].hint;
        if (take(r, hints[i].word))
            return true;
    }
    return broken(r, "no hint");
}

static bool read_key(struct reader *r, struct description *d)
{
    double number;
    if (take(r, "schema:")) {
        if (!read_number(r, &number))
            return false;
        d->h.schema = (int32_t)number;
        return true;
    }
    if (take(r, "sum:"))
        return read_number(r, &d->h.sum);
    if (take(r, "count:"))
        return read_number(r, &d->h.count);
    if (take(r, "z_bucket_w:"))
        return read_number(r, &d->h.zero_threshold);
    if (take(r, "z_bucket:"))
        return read_number(r, &d->h.zero_count);
    if (take(r, "custom_values:"))
        return read_list(r, &d->h.custom, &d->h.n_custom);
    if (take(r, "buckets:"))
        return read_list(r, &d->h.positive.counts, &d->h.positive.n_counts);
    if (take(r, "n_buckets:"))
        return read_list(r, &d->h.negative.counts, &d->h.negative.n_counts);
    if (take(r, "offset:"))
        return read_number(r, &d->offset);
    if (take(r, "n_offset:"))
        return read_number(r, &d->n_offset);
    if (take(r, "counter_reset_hint:"))
        return read_hint(r, d);
    return broken(r, "no key of a histogram");
}

static void one_span(struct reader *r, struct buckets *b, double offset)
{
    if (b->n_counts == 0)
        return;
    struct span *span = ARENA_NEW(r->a, struct span);
    *span = (struct span){(int32_t)offset, b->n_counts};
    b->spans = span;
    b->n_spans = 1;
}

static bool read_histogram(struct reader *r, struct corpus_value *out) /* behind {{ */
{
    struct description d = {0};
    for (skip_blanks(r); !take(r, "}}"); skip_blanks(r))
        if (!read_key(r, &d))
            return false;
    one_span(r, &d.h.positive, d.offset);
    one_span(r, &d.h.negative, d.n_offset);
    struct histogram *h = ARENA_NEW(r->a, struct histogram);
    *h = d.h;
    *out = (struct corpus_value){.h = h, .hint_matters = d.hinted};
    return true;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static void add(struct reader *r, struct corpus_series *s, struct corpus_value v)
{
    arena_grow(r->a, &s->values, &s->_cap, s->n + 1, sizeof *s->values);
    s->values[s->n++] = v;
}

static bool read_gaps(struct reader *r, struct corpus_series *s)
{
    size_t times;
    if (!read_times(r, &times))
        return false;
    for (size_t i = 0; i < (times ? times : 1); i++)
        add(r, s, (struct corpus_value){.omitted = true});
    return true;
}

static bool read_histograms(struct reader *r, struct corpus_series *s)
{
    struct corpus_value v, step = {0};
    size_t times;
    if (!read_histogram(r, &v))
        return false;
    bool minus = str_starts(r->rest, STR("-"));
    if (take(r, "+{{") || take(r, "-{{")) {
        if (!read_histogram(r, &step))
            return false;
        v.hint_matters = step.hint_matters;
    }
    if (!read_times(r, &times))
        return false;
    add(r, s, v);
    for (size_t i = 0; i < times; i++) {
        unsigned flags = 0;
        if (step.h)
            v.h = minus ? histogram_sub(r->a, v.h, step.h, &flags) : histogram_add(r->a, v.h, step.h, &flags);
        if (v.h == NULL)
            return broken(r, "histograms that cannot be added");
        add(r, s, v);
    }
    return true;
}

static bool read_floats(struct reader *r, struct corpus_series *s)
{
    double v = stale_nan(), step = 0;
    size_t times;
    bool stale = take(r, "stale");
    if (!stale && !read_number(r, &v))
        return false;
    if ((str_starts(r->rest, STR("+")) || str_starts(r->rest, STR("-"))) && !read_number(r, &step))
        return false;
    if (!read_times(r, &times))
        return false;
    add(r, s, (struct corpus_value){.v = v});
    for (size_t i = 0; i < times; i++)
        add(r, s, (struct corpus_value){.v = stale ? v : (v += step)});
    return true;
}

static bool read_item(struct reader *r, struct corpus_series *s)
{
    if (take(r, "_"))
        return read_gaps(r, s);
    return take(r, "{{") ? read_histograms(r, s) : read_floats(r, s);
}

bool corpus_series_read(struct arena *a, struct str line, struct corpus_series *out, struct err *err)
{
    struct reader r = {a, line, err};
    *out = (struct corpus_series){0};
    if (!read_labels(&r, &out->labels))
        return false;
    for (skip_blanks(&r); r.rest.n > 0; skip_blanks(&r))
        if (!read_item(&r, out))
            return false;
    return true;
}
