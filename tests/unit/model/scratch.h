// SPDX-License-Identifier: Apache-2.0
/* The arena of a test program: what its tests make lives until the last has run. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include "base/arena.h"

static struct arena arena;

static int scratch_setup(void **state UNUSED)
{
    arena_init(&arena, 0);
    return 0;
}

static int scratch_teardown(void **state UNUSED)
{
    arena_free(&arena);
    return 0;
}

#endif
