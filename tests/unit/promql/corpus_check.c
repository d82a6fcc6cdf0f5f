// SPDX-License-Identifier: Apache-2.0
/* Is this what was expected? Label sets exactly, floats within a millionth, histograms bucket by bucket. */
#include "corpus.h"

#include "model/histogram/histogram_math.h"

#include <float.h>
#include <stdio.h>

static bool near(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (a == b)
        return true;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return difference < 1e-6 * DBL_MIN;
    return difference / fmin(sum, DBL_MAX) < 1e-6;
}

static bool same_side(const struct buckets *a, const struct buckets *b)
{
    if (a->n_spans != b->n_spans || a->n_counts != b->n_counts)
        return false;
    for (uint32_t i = 0; i < a->n_spans; i++)
        if (a->spans[i].offset != b->spans[i].offset || a->spans[i].length != b->spans[i].length)
            return false;
    for (uint32_t i = 0; i < a->n_counts; i++)
        if (!near(a->counts[i], b->counts[i]))
            return false;
    return true;
}

static bool same_histogram(struct arena *arena, const struct histogram *want, const struct histogram *got,
                           bool hint_matters)
{
    const struct histogram *a = histogram_compact(arena, want), *b = histogram_compact(arena, got);
    if (a->schema != b->schema || (hint_matters && a->hint != b->hint) || a->zero_threshold != b->zero_threshold)
        return false;
    if (!near(a->count, b->count) || !near(a->sum, b->sum) || !near(a->zero_count, b->zero_count))
        return false;
    if (a->n_custom != b->n_custom)
        return false;
    for (uint32_t i = 0; i < a->n_custom; i++)
        if (a->custom[i] != b->custom[i])
            return false;
    return same_side(&a->positive, &b->positive) && same_side(&a->negative, &b->negative);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static void print_side(struct buf *b, const char *name, const struct buckets *s)
{
    for (uint32_t i = 0; i < s->n_spans; i++)
        buf_printf(b, " %s%d,%u", i ? "" : name, s->spans[i].offset, s->spans[i].length);
    for (uint32_t i = 0; i < s->n_counts; i++)
        buf_printf(b, "%s%.10g", i ? " " : ":[", s->counts[i]);
    if (s->n_counts > 0)
        buf_add_char(b, ']');
}

static struct str value_text(struct arena *a, double v, const struct histogram *h)
{
    if (h == NULL)
        return arena_printf(a, "%.17g", v);
    struct buf b = {0};
    buf_printf(&b, "{{schema:%d count:%.10g sum:%.10g z:%.10g/%g hint:%d", h->schema, h->count, h->sum, h->zero_count,
               h->zero_threshold, h->hint);
    print_side(&b, "+", &h->positive);
    print_side(&b, "-", &h->negative);
    for (uint32_t i = 0; i < h->n_custom; i++)
        buf_printf(&b, "%s%g", i ? "," : " custom:", h->custom[i]);
    buf_add_z(&b, "}}");
    struct str text = arena_str(a, buf_str(&b));
    buf_free(&b);
    return text;
}

static struct str labels_text(struct arena *a, struct labels l)
{
    struct buf b = {0};
    labels_print(&b, l);
    struct str text = arena_str(a, buf_str(&b));
    buf_free(&b);
    return text;
}

/* --- series ------------------------------------------------------------------------------------------------------- */

static bool same_point(struct arena *a, const struct corpus_value *want, const struct promql_series *got, size_t i,
                       struct err *err)
{
    const struct histogram *h = promql_hist(got, i);
    if (want->h && h ? same_histogram(a, want->h, h, want->hint_matters) : !want->h && !h && near(want->v, got->v[i]))
        return true;
    return err_set(err, ERR_EXEC, "%.*s at %lld: expected %.*s, got %.*s", STR_ARG(labels_text(a, got->labels)),
                   (long long)got->t[i], STR_ARG(value_text(a, want->v, want->h)),
                   STR_ARG(value_text(a, got->v[i], h)));
}

/* The first point from i on. */
static size_t next_point(const struct promql_series *s, size_t i)
{
    while (i < s->n && !promql_has(s, i))
        i++;
    return i;
}

static bool same_series(const struct corpus_eval *e, struct arena *a, const struct corpus_series *want,
                        const struct promql_series *got, struct err *err)
{
    int64_t start = e->range_vector ? e->vector_start : e->start, step = e->range_vector ? e->vector_step : e->step;
    size_t p = next_point(got, 0);
    for (size_t i = 0; i < want->n; i++) {
        int64_t t = start + (int64_t)i * step;
        if (want->values[i].omitted)
            continue;
        if (p == got->n || got->t[p] != t)
            return err_set(err, ERR_EXEC, "%.*s: expected a point at %lld, got %lld",
                           STR_ARG(labels_text(a, want->labels)), (long long)t,
                           p < got->n ? (long long)got->t[p] : -1);
        if (!same_point(a, &want->values[i], got, p, err))
            return false;
        p = next_point(got, p + 1);
    }
    return p == got->n ||
           err_set(err, ERR_EXEC, "%.*s: unexpected point at %lld: %.*s", STR_ARG(labels_text(a, want->labels)),
                   (long long)got->t[p], STR_ARG(value_text(a, got->v[p], promql_hist(got, p))));
}

static const struct corpus_series *expected(const struct corpus_eval *e, struct labels l)
{
    const struct corpus_series *found = NULL;
    for (size_t i = 0; i < e->n_series; i++)
        if (labels_equal(e->series[i].labels, l))
            found = &e->series[i]; /* the later line counts */
    return found;
}

static bool check_series(const struct corpus_eval *e, struct arena *a, const struct promql_result *r, struct err *err)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct corpus_series *want = expected(e, r->series[i].labels);
        if (want == NULL)
            return err_set(err, ERR_EXEC, "unexpected %.*s = %.*s", STR_ARG(labels_text(a, r->series[i].labels)),
                           STR_ARG(value_text(a, r->series[i].v[0], promql_hist(&r->series[i], 0))));
        if (corpus_expects(e, EXPECT_ORDERED) && want != &e->series[i])
            return err_set(err, ERR_EXEC, "%.*s at place %zu", STR_ARG(labels_text(a, r->series[i].labels)), i + 1);
        if (r->type == PROMQL_MATRIX ? !same_series(e, a, want, &r->series[i], err)
                                     : !same_point(a, &want->values[0], &r->series[i], 0, err))
            return false;
        if (r->type == PROMQL_MATRIX && i > 0 && labels_cmp(r->series[i - 1].labels, r->series[i].labels) >= 0)
            return err_set(err, ERR_EXEC, "the matrix is not sorted at %.*s",
                           STR_ARG(labels_text(a, r->series[i].labels)));
    }
    for (size_t i = 0; i < e->n_series; i++) {
        bool found = false;
        for (size_t k = 0; k < r->n; k++)
            found = found || labels_equal(e->series[i].labels, r->series[k].labels);
        if (!found)
            return err_set(err, ERR_EXEC, "missing %.*s", STR_ARG(labels_text(a, e->series[i].labels)));
    }
    return true;
}

bool corpus_check_result(const struct corpus_eval *e, struct arena *a, const struct promql_result *r, struct err *err)
{
    if (r->type == PROMQL_STRING && (!e->string || !str_eq(e->string_value, r->string)))
        return err_set(err, ERR_EXEC, "got the string `%.*s`", STR_ARG(r->string));
    if (r->type == PROMQL_SCALAR && (!e->scalar || !near(e->scalar_value, r->scalar)))
        return err_set(err, ERR_EXEC, "got the scalar %.17g", r->scalar);
    if (r->type == PROMQL_STRING || r->type == PROMQL_SCALAR)
        return true;
    if (e->scalar || e->string)
        return err_set(err, ERR_EXEC, "got a vector or matrix");
    return check_series(e, a, r, err);
}

/* --- failures and notes ------------------------------------------------------------------------------------------- */

static struct str without_position(struct str note) /* " (1:6)" */
{
    size_t n = note.n;
    while (n > 0 && note.p[n - 1] != '(')
        n--;
    return n > 1 && str_ends(note, STR(")")) ? str_first(note, n - 2) : note;
}

static bool matches(const struct expectation *x, struct str text)
{
    if (x->msg.n > 0) /* older releases compared notes without their position */
        return str_eq(x->msg, text) || str_eq(x->msg, without_position(text));
    if (x->regex.n == 0)
        return true;
    struct buf pattern = {0};
    struct err ignored;
    buf_printf(&pattern, "(?s:.*)(?:%.*s)(?s:.*)", STR_ARG(x->regex));
    struct regex *re = regex_new(buf_str(&pattern), &ignored);
    bool ok = re && regex_match(re, text);
    regex_free(re);
    buf_free(&pattern);
    return ok;
}

bool corpus_check_failure(const struct corpus_eval *e, struct str actual, struct err *err)
{
    for (size_t i = 0; i < e->n_expects; i++) {
        const struct expectation *x = &e->expects[i];
        if (x->kind == EXPECT_FAIL && !matches(x, actual))
            return err_set(err, ERR_EXEC, "expected failure `%.*s`, got `%.*s`",
                           STR_ARG(x->msg.n ? x->msg : x->regex), STR_ARG(actual));
    }
    return true;
}

/* Each expected note is there, and no other where any is expected. */
static bool check_kind(const struct corpus_eval *e, enum expect_kind kind, enum expect_kind none,
                       const struct note_list *notes, struct err *err)
{
    if (corpus_expects(e, none) && notes->n > 0)
        return err_set(err, ERR_EXEC, "unexpected note: %.*s", STR_ARG(notes->items[0]));
    if (!corpus_expects(e, kind))
        return true;
    for (size_t i = 0; i < e->n_expects; i++) {
        bool found = e->expects[i].kind != kind;
        for (size_t k = 0; k < notes->n; k++)
            found = found || matches(&e->expects[i], notes->items[k]);
        if (!found)
            return err_set(err, ERR_EXEC, "missing note `%.*s%.*s`, got `%.*s`", STR_ARG(e->expects[i].msg),
                           STR_ARG(e->expects[i].regex),
                           STR_ARG(notes->n ? notes->items[0] : STR("none")));
    }
    for (size_t k = 0; k < notes->n; k++) {
        bool wanted = false;
        for (size_t i = 0; i < e->n_expects; i++)
            wanted = wanted || (e->expects[i].kind == kind && matches(&e->expects[i], notes->items[k]));
        if (!wanted)
            return err_set(err, ERR_EXEC, "unexpected note: %.*s", STR_ARG(notes->items[k]));
    }
    return true;
}

bool corpus_check_notes(const struct corpus_eval *e, const struct notes *notes, struct err *err)
{
    if (e->any_warn && notes->warnings.n == 0)
        return err_set(err, ERR_EXEC, "expected a warning");
    if (e->any_info && notes->infos.n == 0)
        return err_set(err, ERR_EXEC, "expected an info");
    return check_kind(e, EXPECT_WARN, EXPECT_NO_WARN, &notes->warnings, err) &&
           check_kind(e, EXPECT_INFO, EXPECT_NO_INFO, &notes->infos, err);
}
