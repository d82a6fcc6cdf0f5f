// SPDX-License-Identifier: Apache-2.0
#include "base/lock_rank.h"

#ifdef LOCK_RANKS
#include <stdio.h>
#include <stdlib.h>

static const char *const rank_names[] = {
#define LOCK_RANK_NAME(id, name) name,
    LOCK_RANKS_LIST(LOCK_RANK_NAME)
};
static _Thread_local unsigned ranks_held; /* a bit for each rank */

void lock_rank_enter(enum lock_rank rank)
{
    unsigned not_lower = ranks_held >> rank;
    if (not_lower) {
        fprintf(stderr, "lock order: \"%s\" is taken while \"%s\" is held\n", rank_names[rank],
                rank_names[rank + (unsigned)__builtin_ctz(not_lower)]);
        abort();
    }
    ranks_held |= 1u << rank;
}

void lock_rank_tried(enum lock_rank rank) { ranks_held |= 1u << rank; }
void lock_rank_leave(enum lock_rank rank) { ranks_held &= ~(1u << rank); }
#endif
