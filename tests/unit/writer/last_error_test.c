// SPDX-License-Identifier: Apache-2.0
/* The last error of a destination is read whole, whatever the writers do. */
#include "writer/send/last_error.h"

#include "base/os/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

struct board { struct last_error error; struct mutex writers; atomic_bool ended; };

/* Texts of one letter, whose length and letter follow from the time. */
static void write_texts(void *arg)
{
    struct board *b = arg;
    for (int64_t i = 1; !atomic_load(&b->ended); i++) {
        char text[LAST_ERROR_MAX + 50];
        size_t n = (size_t)(i * 37 % (LAST_ERROR_MAX + 40));
        memset(text, 'a' + (int)(i % 26), n);
        text[n] = 0;
        mutex_lock(&b->writers);
        last_error_set(&b->error, i, text);
        mutex_unlock(&b->writers);
    }
}

static void texts_are_never_torn(void **state UNUSED)
{
    struct board b = {.ended = false};
    struct thread *writers[2];
    char text[LAST_ERROR_MAX];
    int64_t changes = 0, before = 0;
    mutex_init(&b.writers, RANK_LEAF);
    assert_int_equal(last_error_get(&b.error, text), 0);
    assert_string_equal(text, "");
    for (size_t i = 0; i < LEN(writers); i++)
        writers[i] = thread_start("writer", write_texts, &b);
    for (int k = 0; k < 200000 || changes < 10; k++) {
        int64_t at = last_error_get(&b.error, text);
        size_t n = (size_t)(at * 37 % (LAST_ERROR_MAX + 40)), shown = n < LAST_ERROR_MAX ? n : LAST_ERROR_MAX - 1;
        changes += at != before;
        before = at;
        if (at == 0)
            continue;
        assert_int_equal(strlen(text), shown);
        for (size_t i = 0; i < shown; i++)
            assert_int_equal(text[i], 'a' + at % 26);
    }
    atomic_store(&b.ended, true);
    for (size_t i = 0; i < LEN(writers); i++)
        thread_join(writers[i]);
    mutex_free(&b.writers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_are_never_torn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
