// SPDX-License-Identifier: Apache-2.0
/* The commands of a file, one after the other. A blank line or a comment ends a block. */
#include "corpus.h"

#include "base/text/num.h"
#include "base/text/duration.h"

#include <stdio.h>
#include <strings.h>

bool corpus_open(struct corpus_file *f, const char *path)
{
    *f = (struct corpus_file){.path = path};
    arena_init(&f->arena, 0);
    corpus_store_init(&f->store);
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return false;
    struct buf text = {0};
    while (!feof(in) && !ferror(in) && buf_reserve(&text, 1 << 16))
        text.n += fread(text.p + text.n, 1, 1 << 16, in);
    fclose(in);
    f->text = f->rest = buf_str(&text);
    return true;
}

void corpus_close(struct corpus_file *f)
{
    arena_free(&f->arena);
    corpus_store_free(&f->store);
    mem_free((char *)f->text.p);
}

/* Trimmed; empty for blank lines and comments. */
static bool next_line(struct corpus_file *f, struct str *line)
{
    if (f->rest.n == 0 || !str_cut(&f->rest, '\n', line))
        return false;
    f->line++;
    *line = str_trim(*line);
    if (str_starts(*line, STR("#")))
        *line = STR("");
    return true;
}

static struct str word(struct str *rest)
{
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
        n++;
    struct str w = str_first(*rest, n);
    *rest = str_trim(str_skip(*rest, n));
    return w;
}

static bool fail(const struct corpus_file *f, struct err *err, const char *what, struct str text)
{
    return err_set(err, ERR_BAD_DATA, "%s:%u: %s: %.*s", f->path, f->line, what, STR_ARG(text));
}

static bool time_word(struct corpus_file *f, struct str *rest, const char *before, int64_t *ms, struct err *err)
{
    struct str w = word(rest);
    if (!str_is(w, before))
        return fail(f, err, before, w);
    w = word(rest);
    return duration_parse(w, ms) || fail(f, err, "not a duration", w);
}

/* --- load --------------------------------------------------------------------------------------------------------- */

static bool read_load(struct corpus_file *f, struct str rest, bool custom, struct err *err)
{
    struct corpus_series *series = NULL;
    size_t n = 0, cap = 0;
    int64_t step;
    struct str line;
    if (!duration_parse(rest, &step))
        return fail(f, err, "not a duration", rest);
    while (next_line(f, &line) && line.n > 0) {
        struct str values = line;
        if (str_ends(word(&values), STR("@st"))) /* start timestamps, which this engine does not have */
            continue;
        arena_grow(&f->arena, &series, &cap, n + 1, sizeof *series);
        if (!corpus_series_read(&f->arena, line, &series[n], err))
            return err_wrap(err, "%s:%u", f->path, f->line);
        size_t same = 0;
        while (same < n && !labels_equal(series[same].labels, series[n].labels))
            same++;
        series[same] = series[n]; /* the later line for the same labels replaces the earlier one */
        n = same < n ? n : n + 1;
    }
    for (size_t i = 0; i < n; i++)
        corpus_store_add(&f->store, &series[i], step, 0);
    if (custom && !corpus_store_add_custom(&f->store, series, n, step, err))
        return false;
    corpus_store_seal(&f->store);
    return true;
}

/* --- eval --------------------------------------------------------------------------------------------------------- */

static void add_expectation(struct corpus_file *f, struct corpus_eval *e, struct expectation x)
{
    arena_grow(&f->arena, &e->expects, &e->_cap_expects, e->n_expects + 1, sizeof *e->expects);
    e->expects[e->n_expects++] = x;
}

static bool read_string(struct corpus_file *f, struct corpus_eval *e, struct str text, struct err *err)
{
    const struct matcher *m;
    size_t n;
    struct str selector = arena_printf(&f->arena, "{string=%.*s}", STR_ARG(text)); /* the same quotes and escapes */
    e->string = true;
    if (str_is(text, "\"\"") || str_is(text, "''") || str_is(text, "``"))
        return true;
    if (!promql_parse_selector(&f->arena, selector, &m, &n, err))
        return false;
    e->string_value = m[0].value;
    return true;
}

static bool read_expect(struct corpus_file *f, struct corpus_eval *e, struct str rest, struct err *err)
{
    static const char *const names[EXPECT_KINDS] = {"ordered", "fail", "warn", "no_warn", "info", "no_info"};
    struct str kind = word(&rest);
    if (str_is(kind, "string"))
        return read_string(f, e, rest, err);
    if (str_is(kind, "range")) {
        e->range_vector = true;
        word(&rest);
        return time_word(f, &rest, "from", &e->vector_start, err) && time_word(f, &rest, "to", &e->vector_end, err) &&
               time_word(f, &rest, "step", &e->vector_step, err);
    }
    for (int k = 0; k < EXPECT_KINDS; k++) {
        struct expectation x = {.kind = (enum expect_kind)k};
        if (!str_is(kind, names[k]))
            continue;
        if (str_starts(rest, STR("msg:")))
            x.msg = str_trim(str_skip(rest, 4));
        if (str_starts(rest, STR("regex:")))
            x.regex = str_trim(str_skip(rest, 6));
        add_expectation(f, e, x);
        return true;
    }
    return fail(f, err, "expects what?", kind);
}

/* *done: nothing more can follow in this block. */
static bool read_expected_line(struct corpus_file *f, struct corpus_eval *e, struct str line, bool *done, struct err *err)
{
    struct str rest = line, first = word(&rest);
    *done = true;
    if (str_is(first, "expected_fail_message") || str_is(first, "expected_fail_regexp")) {
        bool message = str_is(first, "expected_fail_message");
        add_expectation(f, e, (struct expectation){EXPECT_FAIL, message ? rest : STR_NONE, message ? STR_NONE : rest});
        return true;
    }
    if (num_parse(line, &e->scalar_value)) {
        e->scalar = true;
        return true;
    }
    *done = false;
    if (str_is(first, "expect"))
        return read_expect(f, e, rest, err);
    arena_grow(&f->arena, &e->series, &e->_cap_series, e->n_series + 1, sizeof *e->series);
    if (!corpus_series_read(&f->arena, line, &e->series[e->n_series++], err))
        return err_wrap(err, "%s:%u", f->path, f->line);
    return true;
}

static bool read_times(struct corpus_file *f, struct corpus_eval *e, struct str *rest, struct err *err)
{
    struct str kind = word(rest);
    if (str_is(kind, "instant")) {
        if (!str_starts(*rest, STR("at ")))
            return true;
        if (!time_word(f, rest, "at", &e->start, err))
            return false;
        e->end = e->start;
        return true;
    }
    e->range = true;
    return (str_is(kind, "range") || fail(f, err, "instant or range", kind)) &&
           time_word(f, rest, "from", &e->start, err) && time_word(f, rest, "to", &e->end, err) &&
           time_word(f, rest, "step", &e->step, err);
}

static bool read_eval(struct corpus_file *f, struct str command, struct str rest, struct corpus_eval *e, struct err *err)
{
    *e = (struct corpus_eval){.line = f->line};
    if (!read_times(f, e, &rest, err))
        return false;
    e->expr = rest;
    e->any_warn = str_is(command, "eval_warn");
    e->any_info = str_is(command, "eval_info");
    if (str_is(command, "eval_ordered"))
        add_expectation(f, e, (struct expectation){.kind = EXPECT_ORDERED});
    struct str line;
    bool done = false;
    while (!done && next_line(f, &line) && line.n > 0)
        if (!read_expected_line(f, e, line, &done, err))
            return false;
    if (str_is(command, "eval_fail") && !corpus_expects(e, EXPECT_FAIL))
        add_expectation(f, e, (struct expectation){.kind = EXPECT_FAIL});
    return true;
}

enum corpus_step corpus_next(struct corpus_file *f, struct corpus_eval *eval, struct err *err)
{
    struct str line;
    arena_free(&f->arena);
    while (next_line(f, &line)) {
        if (line.n == 0)
            continue;
        struct str rest = line, command = word(&rest);
        if (str_is(command, "clear"))
            corpus_store_clear(&f->store);
        else if (str_starts(command, STR("load"))) {
            if (!read_load(f, rest, str_is(command, "load_with_nhcb"), err))
                return CORPUS_BROKEN;
        } else if (!str_starts(command, STR("eval"))) {
            fail(f, err, "no command", command);
            return CORPUS_BROKEN;
        } else {
            return read_eval(f, command, rest, eval, err) ? CORPUS_EVAL : CORPUS_BROKEN;
        }
    }
    return CORPUS_END;
}
