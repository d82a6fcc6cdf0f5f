// SPDX-License-Identifier: Apache-2.0
#include "scraper/page/series_limit.h"

bool series_limit_renew(struct series_limit *l, int64_t t)
{
    const int64_t day = INT64_C(24) * 3600 * 1000;
    if (l->renew_at > 0 && t < l->renew_at && t >= l->renew_at - day) /* or the clock was set back */
        return false;
    identity_set_free(&l->seen);
    l->renew_at = t + day;
    l->exceeded = false;
    return true;
}

void series_limit_clear(struct series_limit *l)
{
    identity_set_free(&l->seen);
    *l = (struct series_limit){0};
}

bool series_limit_admit(struct series_limit *l, uint64_t identity)
{
    if (l->seen.n >= l->max) {
        bool known = identity_set_has(&l->seen, identity);
        l->exceeded = l->exceeded || !known;
        return known;
    }
    identity_set_make_room(&l->seen, 1);
    identity_set_add(&l->seen, identity);
    return true;
}

bool series_limit_admitted(const struct series_limit *l, uint64_t identity)
{
    return identity_set_has(&l->seen, identity);
}
