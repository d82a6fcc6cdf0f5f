// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/groups/sd_pages.h"

#include "base/hash.h"

/* Of a token, which may be long, 8 bytes are kept: the hash is keyed, so nobody can choose tokens of equal hashes. */
bool sd_pages_next(struct sd_pages *p, struct str token, const char *shown, struct err *err)
{
    bool added;
    uint64_t *hash = ARENA_NEW(&p->arena, uint64_t);
    *hash = hash_keyed(token.p, token.n);
    map_add(&p->seen, str_n(hash, sizeof *hash), &added);
    if (!added)
        return err_set(err, ERR_BAD_GATEWAY, "%s: the pages of the list lead back to an earlier one", shown);
    return p->seen.n <= SD_PAGES_MAX ||
           err_set(err, ERR_TOO_LARGE, "%s: the list has more than %d pages", shown, SD_PAGES_MAX);
}

void sd_pages_clear(struct sd_pages *p)
{
    map_free(&p->seen);
    arena_free(&p->arena);
    *p = (struct sd_pages){0};
}
