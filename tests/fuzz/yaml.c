// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a YAML file: reading ends, and a tree that is written is read again as the same tree. */
#include "base/conf/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool same(const struct yaml *a, const struct yaml *b)
{
    if (a->kind != b->kind || a->n != b->n || (a->kind == YAML_SCALAR && !str_eq(a->text, b->text)))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if ((a->kind == YAML_MAP && !str_eq(a->keys[i].text, b->keys[i].text)) || !same(&a->items[i], &b->items[i]))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena arena;
    struct err err = {0};
    struct buf text = {.max = 1 << 20};
    arena_init(&arena, 64 << 20);
    struct yaml *tree = yaml_parse(&arena, str_n(data, n), "a.yml", &err);
    if (tree == NULL && err.kind == ERR_NONE)
        __builtin_trap();
    if (tree)
        yaml_write(&text, tree);
    if (tree && !text.over) {
        struct yaml *again = yaml_parse(&arena, buf_str(&text), "b.yml", &err);
        if (again == NULL || !same(tree, again))
            __builtin_trap();
    }
    buf_free(&text);
    arena_free(&arena);
    return 0;
}
