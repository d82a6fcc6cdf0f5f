// SPDX-License-Identifier: Apache-2.0
#include "scraper/page/series_limit.h"

enum { SERIES_LIMIT_FIRST = 64 };

bool series_limit_renew(struct series_limit *l, int64_t t)
{
    const int64_t day = INT64_C(24) * 3600 * 1000;
    if (l->renew_at > 0 && t < l->renew_at && t >= l->renew_at - day) /* or the clock was set back */
        return false;
    identity_set_free(&l->seen);
    l->seen = (struct identity_set){0};
    l->renew_at = t + day;
    l->exceeded = false;
    return true;
}

void series_limit_clear(struct series_limit *l)
{
    identity_set_free(&l->seen);
    *l = (struct series_limit){0};
}

static void series_limit_grow(struct series_limit *l)
{
    struct identity_set larger = {0};
    identity_set_start(&larger, l->seen.n ? 2 * l->seen.n : SERIES_LIMIT_FIRST);
    for (size_t i = 0; i < l->seen.cap; i++)
        if (l->seen.slots[i])
            identity_set_add(&larger, l->seen.slots[i]);
    identity_set_free(&l->seen);
    l->seen = larger;
}

bool series_limit_admit(struct series_limit *l, uint64_t identity)
{
    if (l->seen.n >= l->max) {
        bool known = identity_set_has(&l->seen, identity);
        l->exceeded = l->exceeded || !known;
        return known;
    }
    if (l->seen.n * 2 >= l->seen.cap)
        series_limit_grow(l);
    identity_set_add(&l->seen, identity);
    return true;
}

bool series_limit_admitted(const struct series_limit *l, uint64_t identity)
{
    return identity_set_has(&l->seen, identity);
}
