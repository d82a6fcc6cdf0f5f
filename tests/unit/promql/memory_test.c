// SPDX-License-Identifier: Apache-2.0
/* Memory that is refused at any place: each query of tests/promql, and of the folders and files given as arguments, is
 * parsed and evaluated once for each allocation that it makes, with that one refused. It must end with ERR_LIMIT, and leave
 * nothing behind (AddressSanitizer looks). With nothing refused, it ends the next time as it did at first.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "corpus.h"

#include <stdio.h>

enum { MINUTE = 60 * 1000 };
#define UNLIMITED (SIZE_MAX / 2)

struct cut { struct corpus_file *file; const struct corpus_eval *eval; struct arena arena; struct err err; };

/* Parses and evaluates; the allocation number fail_after is refused. How many there were is in *allocations. */
static bool run(struct cut *c, size_t fail_after, size_t *allocations)
{
    struct promql_result out;
    const struct corpus_eval *e = c->eval;
    struct promql_params p = {.start = e->start, .end = e->end, .step = e->step, .range = e->range,
                              .lookback = 5 * MINUTE, .delayed_name_removal = true};
    struct notes notes = {.arena = &c->arena};
    struct query_ctx q = {.arena = &c->arena, .notes = &notes};
    c->err = (struct err){0};
    arena_free(&c->arena);
    c->arena.fail_after = fail_after;
    struct expr *tree = promql_parse(&c->arena, e->expr, NULL, &c->err);
    bool ok = tree && promql_eval(tree, e->expr, &p, &c->file->store.source, &q, &out, &c->err);
    promql_free(tree);
    *allocations = fail_after - c->arena.fail_after;
    c->arena.fail_after = 0;
    return ok;
}

/* The number of cuts. */
static size_t cut_everywhere(struct cut *c)
{
    size_t all, seen;
    bool ok = run(c, UNLIMITED, &all);
    struct err uncut = c->err;
    assert_true(all > 0);
    for (size_t k = 1; k <= all; k++) {
        if (run(c, k, &seen) || c->err.kind != ERR_LIMIT || seen != k)
            fail_msg("%s:%u: %.*s: allocation %zu of %zu refused: %s", c->file->path, c->eval->line,
                     STR_ARG(c->eval->expr), k, all, c->err.kind ? c->err.text : "an answer");
    }
    bool again = run(c, UNLIMITED, &seen);
    if (again != ok || c->err.kind != uncut.kind || strcmp(c->err.text, uncut.text) != 0 || seen != all)
        fail_msg("%s:%u: %.*s: not the same afterwards", c->file->path, c->eval->line, STR_ARG(c->eval->expr));
    return all;
}

static void cut_file(void **state)
{
    const char *path = *state;
    struct corpus_file f;
    struct corpus_eval eval;
    struct err err = {0};
    struct cut c = {.file = &f, .eval = &eval};
    size_t queries = 0, cuts = 0;
    assert_true(corpus_open(&f, path));
    arena_init(&c.arena, 0);
    while (corpus_next(&f, &eval, &err) == CORPUS_EVAL) {
        queries++;
        cuts += cut_everywhere(&c);
    }
    arena_free(&c.arena);
    corpus_close(&f);
    printf("# %s: %zu queries, %zu cuts\n", path, queries, cuts);
    if (err.kind)
        fail_msg("%s", err.text);
}

int main(int argc, char **argv)
{
    return corpus_run("memory is refused", cut_file, argc, argv);
}
