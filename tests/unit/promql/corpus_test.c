// SPDX-License-Identifier: Apache-2.0
/* Runs every case in tests/promql, and of the folders and files given as arguments, against the engine:
 *   - as written; an instant query also from a source that answers exactly at the steps,
 *   - each instant query as the middle of a range query,
 *   - each instant query with @ its own time on every selector, at other times.
 * Cases of other releases of Prometheus that the newest answers differently are named in
 * tests/promql/upstream_differences.txt, and must differ. Each file is one test; what failed is printed with its line.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "corpus.h"

#include "promql/ast/ast.h"
#include "promql/ast/functions.h"

#include <stdio.h>

enum { MINUTE = 60 * 1000, BUDGET = 256 << 20 };

struct run { struct corpus_file *file; const struct corpus_eval *eval; struct arena arena; struct notes notes; struct err *err; };
struct at { bool set; int64_t t; };
struct when { int64_t start, end, step; bool range; };

/* --- @ on every selector ------------------------------------------------------------------------------------------ */

static bool uses_time(const struct function *fn)
{
    return fn->attributes & FUNCTION_TIME || fn->id == FN_START || fn->id == FN_END || fn->id == FN_RANGE || fn->id == FN_STEP;
}

static void set_shift(struct time_shift *s, int64_t t)
{
    if (s->at == AT_NONE) {
        s->at = AT_TIME;
        s->at_time = t;
    }
}

/* False when the value depends on the time of evaluation all the same. */
static bool set_at(struct expr *e, int64_t t)
{
    bool ok = true;
    switch (e->kind) {
    case EXPR_PAREN: return set_at(e->u.paren.inner, t);
    case EXPR_UNARY: return set_at(e->u.unary.inner, t);
    case EXPR_BINARY:
        ok = set_at(e->u.binary.left, t);
        return set_at(e->u.binary.right, t) && ok;
    case EXPR_AGGREGATE:
        ok = e->u.aggregate.param == NULL || set_at(e->u.aggregate.param, t);
        return set_at(e->u.aggregate.inner, t) && ok;
    case EXPR_CALL:
        ok = !uses_time(e->u.call.fn);
        for (size_t i = 0; i < e->u.call.n_args; i++)
            ok = set_at(e->u.call.args[i], t) && ok;
        return ok;
    case EXPR_SELECTOR: set_shift(&e->u.selector.shift, t); return true;
    case EXPR_MATRIX: set_shift(&e->u.matrix.selector->u.selector.shift, t); return true;
    case EXPR_SUBQUERY: set_shift(&e->u.subquery.shift, t); return true; /* what is inside follows */
    default: return true;
    }
}

/* A function of the time inside a subquery is one, too. */
static bool subquery_uses_time(const struct expr *e)
{
    struct expr copy;
    switch (e->kind) {
    case EXPR_PAREN: return subquery_uses_time(e->u.paren.inner);
    case EXPR_UNARY: return subquery_uses_time(e->u.unary.inner);
    case EXPR_BINARY: return subquery_uses_time(e->u.binary.left) || subquery_uses_time(e->u.binary.right);
    case EXPR_AGGREGATE: return subquery_uses_time(e->u.aggregate.inner);
    case EXPR_CALL:
        for (size_t i = 0; i < e->u.call.n_args; i++)
            if (subquery_uses_time(e->u.call.args[i]))
                return true;
        return uses_time(e->u.call.fn);
    case EXPR_SUBQUERY: copy = *e; return subquery_uses_time(copy.u.subquery.inner);
    default: return false;
    }
}

/* --- one evaluation ----------------------------------------------------------------------------------------------- */

static bool evaluate(struct run *r, struct when w, struct at at, struct promql_result *out, struct err *err, bool *skip)
{
    struct promql_syntax syntax = {0};
    arena_free(&r->arena);
    arena_init(&r->arena, BUDGET);
    r->notes = (struct notes){.arena = &r->arena};
    struct expr *e = promql_parse(&r->arena, r->eval->expr, &syntax, err);
    *skip = false;
    if (e == NULL)
        return false;
    if (at.set && (subquery_uses_time(e) || !set_at(e, at.t))) {
        promql_free(e);
        *skip = true;
        return true;
    }
    struct promql_params p = {.start = w.start, .end = w.end, .step = w.step, .range = w.range, .lookback = 5 * MINUTE,
                              .subquery_step = MINUTE, .delayed_name_removal = true};
    struct query_ctx q = {.arena = &r->arena, .notes = &r->notes};
    bool ok = promql_eval(e, r->eval->expr, &p, &r->file->store.source, &q, out, err);
    promql_free(e);
    return ok;
}

static bool wrong(struct run *r, const struct err *why, const char *how, int64_t t)
{
    err_set(r->err, ERR_EXEC, "%s%s (t=%lld)", why->text, how, (long long)t);
    return false;
}

/* The evaluation, its failure, its notes and its answer. *go_on: there was an answer. */
static bool judge(struct run *r, struct when w, struct at at, const char *how, bool *go_on)
{
    struct promql_result out;
    struct err err = {0};
    bool skip, failing = corpus_expects(r->eval, EXPECT_FAIL);
    *go_on = false;
    if (!evaluate(r, w, at, &out, &err, &skip)) {
        struct err why = err;
        if (failing && corpus_check_failure(r->eval, str_of(err.text), &why))
            return true;
        return wrong(r, &why, how, w.start);
    }
    if (skip)
        return true;
    if (failing) {
        err_set(&err, ERR_EXEC, "expected a failure");
        return wrong(r, &err, how, w.start);
    }
    *go_on = true;
    /* An exact answer has no neighbours to compare a histogram with: notes about resets cannot be made of it. */
    bool notes = r->file->store.exact || corpus_check_notes(r->eval, &r->notes, &err);
    if (!notes || !corpus_check_result(r->eval, &r->arena, &out, &err))
        return wrong(r, &err, how, w.start);
    return true;
}

/* Of a matrix, what stands at one time, as the answer of an instant query. */
static void cut_at(struct promql_result *r, int64_t t, bool scalar)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct promql_series *s = &r->series[i];
        for (size_t p = 0; p < s->n; p++) {
            if (s->t[p] != t || !promql_has(s, p))
                continue;
            r->scalar = s->v[p];
            r->series[n++] = (struct promql_series){s->labels, &s->t[p], &s->v[p], s->h ? &s->h[p] : NULL, 1};
            break;
        }
    }
    r->n = n;
    r->type = scalar ? PROMQL_SCALAR : PROMQL_VECTOR;
}

static bool has_grid_function(struct str expr)
{
    static const char *const names[] = {"start()", "end()", "range()", "step()"};
    for (size_t i = 0; i < LEN(names); i++)
        if (str_find_str(expr, str_of(names[i])) < expr.n)
            return true;
    return false;
}

static bool middle_of_range(struct run *r, int64_t t, struct at at)
{
    struct promql_result out;
    struct err err = {0};
    bool skip;
    if (r->eval->string || r->eval->range_vector || has_grid_function(r->eval->expr))
        return true;
    if (!evaluate(r, (struct when){t - MINUTE, t + MINUTE, MINUTE, true}, at, &out, &err, &skip))
        return wrong(r, &err, " as a range query", t);
    if (corpus_expects(r->eval, EXPECT_ORDERED))
        return true;
    cut_at(&out, t, r->eval->scalar);
    return corpus_check_result(r->eval, &r->arena, &out, &err) || wrong(r, &err, " as a range query", t);
}

static bool run_instant(struct run *r)
{
    int64_t t = r->eval->start, others[] = {-10 * t, 0, t / 5, t, 10 * t};
    bool go_on;
    if (t == 0) {
        others[0] = -1000;
        others[4] = 1000;
    }
    struct at none = {0}, at = {true, t};
    if (!judge(r, (struct when){t, t, 0, false}, none, "", &go_on) || (go_on && !middle_of_range(r, t, none)))
        return false;
    r->file->store.exact = true;
    bool ok = judge(r, (struct when){t, t, 0, false}, none, " from an exact source", &go_on) &&
              (!go_on || middle_of_range(r, t, none));
    r->file->store.exact = false;
    for (size_t i = 0; ok && i < LEN(others); i++)
        ok = judge(r, (struct when){others[i], others[i], 0, false}, at, " with @", &go_on) &&
             (!go_on || middle_of_range(r, others[i], at));
    return ok;
}

static bool run_range(struct run *r)
{
    struct when w = {r->eval->start, r->eval->end, r->eval->step, true};
    struct at none = {0};
    bool go_on;
    if (!judge(r, w, none, "", &go_on))
        return false;
    r->file->store.exact = true;
    bool ok = judge(r, w, none, " from an exact source", &go_on);
    r->file->store.exact = false;
    return ok;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static struct buf differences;

enum difference { NO_DIFFERENCE, OF_THE_CASE, OF_THE_FILE };

/* "operators.test:123 expression: why", or "operators.test: why" for a whole file: a line of
 * upstream_differences.txt. The expression is there because a line of one release is another one in the next. */
static enum difference known_difference(const char *path, const struct corpus_eval *e)
{
    char line[1024], file[1024];
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (strncmp(path, CORPUS_OWN, sizeof CORPUS_OWN - 1) == 0)
        return NO_DIFFERENCE;
    snprintf(line, sizeof line, "\n%s:%u %.*s: ", name, e->line, STR_ARG(e->expr));
    snprintf(file, sizeof file, "\n%s: ", name);
    struct str known = buf_str(&differences);
    if (str_find_str(known, str_of(line)) < known.n)
        return OF_THE_CASE;
    return str_find_str(known, str_of(file)) < known.n ? OF_THE_FILE : NO_DIFFERENCE;
}

static void run_file(void **state)
{
    const char *path = *state;
    struct corpus_file f;
    struct corpus_eval eval;
    struct err err = {0};
    enum corpus_step step;
    unsigned failed = 0, total = 0, different = 0;
    if (!corpus_open(&f, path))
        fail_msg("%s cannot be read", path);
    struct run r = {.file = &f, .eval = &eval, .err = &err};
    while ((step = corpus_next(&f, &eval, &err)) == CORPUS_EVAL) {
        total++;
        bool right = eval.range ? run_range(&r) : run_instant(&r);
        enum difference known = known_difference(path, &eval);
        different += known != NO_DIFFERENCE;
        if (known == NO_DIFFERENCE ? right : !right || known == OF_THE_FILE)
            continue;
        failed++;
        print_error("%s:%u: %.*s: %s\n", path, eval.line, STR_ARG(eval.expr), right ? "is as expected, but listed as different" : err.text);
    }
    arena_free(&r.arena);
    corpus_close(&f);
    if (step == CORPUS_BROKEN)
        fail_msg("%s", err.text);
    if (failed > 0)
        fail_msg("%s: %u of %u failed", path, failed, total);
    printf("# %s: %u cases, %u of them differ as they should\n", path, total, different);
}

static void read_differences(void)
{
    FILE *in = fopen(CORPUS_OWN "/upstream_differences.txt", "r");
    buf_add_char(&differences, '\n');
    for (int c; in && (c = getc(in)) != EOF;)
        buf_add_char(&differences, (char)c);
    if (in)
        fclose(in);
}

int main(int argc, char **argv)
{
    read_differences();
    int failed = corpus_run("promql corpus", run_file, argc, argv);
    buf_free(&differences);
    return failed;
}
