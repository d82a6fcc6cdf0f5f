// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/pipeline/pending.h"
#include "writer/queue/block.h"

/* A page may have a hundred thousand families: they become blocks as samples do, not a single one. */
static void metadata_is_cut_into_blocks(void **state UNUSED)
{
    struct pending p = {0}, joined = {0};
    struct metadata m = {.family = STR("family"), .help = STR("text")};
    pending_mark(&p);
    for (int i = 0; i < 2 * BLOCK_SAMPLES + 1; i++)
        pending_add_metadata(&p, &m);
    assert_int_equal(p.n_blocks, 2);
    assert_int_equal(p.blocks[1].n_metadata, BLOCK_SAMPLES);
    assert_int_equal(p.open.n_metadata, 1);
    assert_int_equal(p.open.end, p.raw.n);
    pending_mark(&joined);
    for (int i = 0; i < BLOCK_SAMPLES / 2; i++)
        pending_add_metadata(&joined, &m);
    pending_join(&joined, &p);
    assert_int_equal(joined.n_blocks, 2);
    assert_int_equal(joined.blocks[0].n_metadata, BLOCK_SAMPLES + BLOCK_SAMPLES / 2); /* blocks are not divided */
    pending_free(&p);
    pending_free(&joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(metadata_is_cut_into_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
