// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a query: no crash, and what is printed of a tree is the same tree again. */
#include "promql/promql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct expr *parse_again(struct arena *a, struct buf *text)
{
    struct err err = {0};
    struct expr *e = promql_parse(a, buf_str(text), NULL, &err);
    if (e == NULL)
        __builtin_trap();
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct err err = {0};
    struct buf line = {0}, lines = {0}, json = {0};
    arena_init(&a, 16 << 20);
    struct expr *e = promql_parse(&a, str_n(data, size), NULL, &err);
    if (e) {
        promql_print(&line, e);
        promql_pretty(&lines, e);
        promql_json(&json, e);
        struct expr *one = parse_again(&a, &line), *many = parse_again(&a, &lines);
        if (!promql_equal(e, one) || !promql_equal(e, many))
            __builtin_trap();
        promql_free(one);
        promql_free(many);
    }
    promql_free(e);
    buf_free(&line);
    buf_free(&lines);
    buf_free(&json);
    arena_free(&a);
    return 0;
}
