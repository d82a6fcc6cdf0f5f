// SPDX-License-Identifier: Apache-2.0
/* Running files in the language of Prometheus' promqltest against the engine, in one process, over series in arrays.
 *
 *   load 5m                       eval instant at 10m rate(x[5m])       clear
 *       x{a="b"} 0+10x10              {a="b"} 0.033
 *
 * corpus_series.c reads one series, corpus_store.c holds what is loaded and answers select, corpus_custom.c makes native
 * histograms of classic ones, corpus_file.c reads commands, corpus_check.c judges results, corpus_run.c finds the files.
 * The language: https://github.com/prometheus/prometheus/blob/main/promql/promqltest/README.md
 */
#ifndef TESTS_CORPUS_H
#define TESTS_CORPUS_H

#include "model/source.h"
#include "promql/promql.h"

/* --- one line of a series: labels and what stands behind them ---------------------------------------------------- */
struct corpus_value {
    bool omitted;
    double v;
    const struct histogram *h; /* NULL: v */
    bool hint_matters;         /* it was written */
};
struct corpus_series { struct labels labels; struct corpus_value *values; size_t n, _cap; };
bool corpus_series_read(struct arena *a, struct str line, struct corpus_series *out, struct err *err) MUST_USE;

/* --- what is loaded ---------------------------------------------------------------------------------------------- */
struct stored {
    struct labels labels;
    struct sample *samples; size_t n_samples, _cap_samples;
    struct hist_sample *hists; size_t n_hists, _cap_hists;
};
struct corpus_store {
    struct source source;  /* select only */
    struct arena arena;
    struct stored *series; size_t n, _cap;
    bool exact;            /* answers instant selectors with the values at the steps, as a fetched answer may */
    struct sample *lent;   /* what the last load gave: gone with the next, so that whoever keeps it is found out */
};
void corpus_store_init(struct corpus_store *s);
void corpus_store_free(struct corpus_store *s);
void corpus_store_clear(struct corpus_store *s);
void corpus_store_add(struct corpus_store *s, const struct corpus_series *series, int64_t step, int64_t start);
/* Classic histograms among the series (x_bucket, x_sum, x_count), once more as native ones with custom buckets (x). */
bool corpus_store_add_custom(struct corpus_store *s, const struct corpus_series *series, size_t n, int64_t step,
                             struct err *err) MUST_USE;
void corpus_store_seal(struct corpus_store *s); /* sorts, and sets the hints that a store would have derived */

/* --- eval commands ----------------------------------------------------------------------------------------------- */
enum expect_kind { EXPECT_ORDERED, EXPECT_FAIL, EXPECT_WARN, EXPECT_NO_WARN, EXPECT_INFO, EXPECT_NO_INFO, EXPECT_KINDS };
struct expectation { enum expect_kind kind; struct str msg, regex; }; /* neither: anything */
struct corpus_eval {
    unsigned line;
    struct str expr;
    bool range;
    int64_t start, end, step;           /* instant: start is the time */
    struct expectation *expects; size_t n_expects, _cap_expects;
    struct corpus_series *series; size_t n_series, _cap_series; /* expected, in order */
    bool scalar; double scalar_value;
    bool string; struct str string_value;
    /* An instant query whose answer is a range vector. */
    bool range_vector; int64_t vector_start, vector_end, vector_step;
    bool any_warn, any_info;            /* eval_warn, eval_info */
};
static inline bool corpus_expects(const struct corpus_eval *e, enum expect_kind kind)
{
    for (size_t i = 0; i < e->n_expects; i++)
        if (e->expects[i].kind == kind)
            return true;
    return false;
}

struct corpus_file {
    const char *path;
    struct str text, rest;
    unsigned line;
    struct arena arena;  /* of one command */
    struct corpus_store store;
};
enum corpus_step { CORPUS_END, CORPUS_EVAL, CORPUS_BROKEN };
bool corpus_open(struct corpus_file *f, const char *path);
void corpus_close(struct corpus_file *f);
/* Carries out loads and clears up to the next eval command. Broken: err says where. */
enum corpus_step corpus_next(struct corpus_file *f, struct corpus_eval *eval, struct err *err);

/* --- programs ---------------------------------------------------------------------------------------------------- */
#define CORPUS_OWN "tests/promql"
/* Runs test for each file of CORPUS_OWN and of the files and folders named by the arguments, its state being the path.
 * The exit code: 0 when there were files and all passed. */
int corpus_run(const char *name, void (*test)(void **path), int argc, char **argv);

/* --- judging ----------------------------------------------------------------------------------------------------- */
bool corpus_check_result(const struct corpus_eval *e, struct arena *a, const struct promql_result *r,
                         struct err *err) MUST_USE;
bool corpus_check_failure(const struct corpus_eval *e, struct str actual, struct err *err) MUST_USE;
bool corpus_check_notes(const struct corpus_eval *e, const struct notes *notes, struct err *err) MUST_USE;

#endif
