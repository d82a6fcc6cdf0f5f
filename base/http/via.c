// SPDX-License-Identifier: Apache-2.0
#include "base/http/via.h"

#include "base/text/duration.h"

#include <stdio.h>
#include <sys/random.h>

void via_make_id(char id[VIA_ID_SIZE])
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint64_t)clock_wall_ms();
    snprintf(id, VIA_ID_SIZE, "%016llx", (unsigned long long)random);
}

bool via_has(struct str via, const char *id)
{
    struct str item;
    while (via.n > 0) {
        str_cut(&via, ',', &item);
        if (str_is(str_trim(item), id))
            return true;
    }
    return false;
}

bool via_check(struct str via, const char *id, struct err *err)
{
    unsigned n = 0;
    if (via_has(via, id))
        return err_set(err, ERR_LOOP, "the query has come back to the sluice that it came from; a server group of "
                       "this sluice, or of one between, points at it: remove that server from server_groups");
    for (struct str item; via.n > 0; n++)
        str_cut(&via, ',', &item);
    return n < VIA_MAX || err_set(err, ERR_LOOP, "the query has passed through %u sluices, more than the %d that are "
                                  "accepted; let server_groups point at the storages themselves", n, VIA_MAX - 1);
}

const char *via_line(struct arena *a, struct str via, const char *id)
{
    return arena_printf(a, VIA_HEADER ": %.*s%s%s", STR_ARG(via), via.n > 0 ? ", " : "", id).p;
}
