// SPDX-License-Identifier: Apache-2.0
/* One cmocka test for each file: those of the repository, and those that the arguments name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "corpus.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct list { struct CMUnitTest *tests; size_t n, cap; void (*test)(void **path); };

static void add_file(struct list *l, const char *path)
{
    mem_grow(&l->tests, &l->cap, l->n + 1, sizeof *l->tests);
    char *copy = mem_strdup(path);
    l->tests[l->n++] = (struct CMUnitTest){.name = copy, .test_func = l->test, .initial_state = copy};
}

static int is_case(const struct dirent *d) { return str_ends(str_of(d->d_name), STR(".test")); }

static void add_path(struct list *l, const char *path)
{
    struct dirent **names;
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        add_file(l, path);
        return;
    }
    int n = scandir(path, &names, is_case, alphasort);
    for (int i = 0; i < n; i++) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        add_file(l, file);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

int corpus_run(const char *name, void (*test)(void **path), int argc, char **argv)
{
    struct list l = {.test = test};
    add_path(&l, CORPUS_OWN);
    for (int i = 1; i < argc; i++)
        add_path(&l, argv[i]);
    int failed = _cmocka_run_group_tests(name, l.tests, l.n, NULL, NULL);
    for (size_t i = 0; i < l.n; i++)
        mem_free(l.tests[i].initial_state);
    mem_free(l.tests);
    return l.n == 0 || failed != 0;
}
