// SPDX-License-Identifier: Apache-2.0
/* Files of cases that anybody can add to. Lines before the first case are comment; then for each case
 *
 *   == what it shows
 *   input
 *   -- optional word
 *   expected
 *
 * with as many parts as the kind of case wants, each begun by a line "-- WORD". Empty lines at a part's end are not
 * part of it. */
#ifndef TESTS_CASES_H
#define TESTS_CASES_H

#include "base/str.h"

#include <stdio.h>

enum { CASE_PARTS = 8 };
struct case_part { struct str word, text; };
struct one_case {
    const char *file;
    unsigned line;
    struct str name;
    struct case_part parts[CASE_PARTS]; /* [0]: what follows the name, without a word */
    size_t n;
};
struct cases { const char *file; struct str text, rest; unsigned line; };

static inline bool cases_open(struct cases *c, const char *file)
{
    static char text[1 << 20];
    FILE *f = fopen(file, "r");
    size_t n = f ? fread(text, 1, sizeof text, f) : 0;
    if (f)
        fclose(f);
    *c = (struct cases){.file = file, .text = str_n(text, n), .rest = str_n(text, n)};
    return n > 0 && n < sizeof text;
}

static inline struct str cases_trim(const char *from, const char *to)
{
    while (to - from >= 2 && to[-1] == '\n' && to[-2] == '\n')
        to--;
    return to == from + 1 && *from == '\n' ? str_n(from, 0) : str_n(from, (size_t)(to - from));
}

static inline bool cases_next(struct cases *c, struct one_case *out)
{
    struct str line;
    *out = (struct one_case){.file = c->file};
    const char *part = NULL;
    for (struct str before = c->rest; str_cut(&c->rest, '\n', &line); before = c->rest) {
        c->line++;
        bool begins = str_starts(line, STR("== ")), divides = str_starts(line, STR("--"));
        if (begins && out->n > 0) {
            c->line--;
            c->rest = before;
            out->parts[out->n - 1].text = cases_trim(part, line.p);
            return true;
        }
        if (begins) {
            out->name = str_skip(line, 3);
            out->line = c->line;
        } else if (divides && out->n > 0 && out->n < CASE_PARTS) {
            out->parts[out->n - 1].text = cases_trim(part, line.p);
        }
        if (begins || (divides && out->n > 0 && out->n < CASE_PARTS)) {
            out->parts[out->n++].word = divides ? str_trim(str_skip(line, 2)) : STR_NONE;
            part = c->rest.p ? c->rest.p : c->text.p + c->text.n;
        }
    }
    if (out->n > 0)
        out->parts[out->n - 1].text = cases_trim(part, c->text.p + c->text.n);
    return out->n > 0;
}

#endif
