// SPDX-License-Identifier: Apache-2.0
/* A sequence lock over words: the writer makes the version odd, stores, and makes it even again. Each store releases
 * what precedes it and each load acquires, so a reader that has seen any of the new words sees that the version is not
 * the one that it began with. */
#include "writer/send/last_error.h"

#include "base/mem.h"

#include <sched.h>
#include <stdbool.h>
#include <string.h>

void last_error_set(struct last_error *e, int64_t now, const char *text)
{
    uint64_t words[LEN(e->words)] = {0};
    size_t n = strlen(text);
    memcpy(words, text, n < LAST_ERROR_MAX - 1 ? n : LAST_ERROR_MAX - 1);
    unsigned version = atomic_load_explicit(&e->version, memory_order_relaxed);
    atomic_store_explicit(&e->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < LEN(words); i++)
        atomic_store_explicit(&e->words[i], words[i], memory_order_release);
    atomic_store_explicit(&e->at, now, memory_order_release);
    atomic_store_explicit(&e->version, version + 2, memory_order_release);
}

static bool last_error_try(const struct last_error *e, uint64_t *words, int64_t *at)
{
    unsigned version = atomic_load_explicit(&e->version, memory_order_acquire);
    for (size_t i = 0; i < LEN(e->words); i++)
        words[i] = atomic_load_explicit(&e->words[i], memory_order_acquire);
    *at = atomic_load_explicit(&e->at, memory_order_acquire);
    return version % 2 == 0 && atomic_load_explicit(&e->version, memory_order_relaxed) == version;
}

int64_t last_error_get(const struct last_error *e, char text[LAST_ERROR_MAX])
{
    uint64_t words[LEN(e->words)];
    int64_t at;
    while (!last_error_try(e, words, &at))
        sched_yield();
    memcpy(text, words, LAST_ERROR_MAX);
    return at;
}
