// SPDX-License-Identifier: Apache-2.0
/* The time of each hash of family, type, help and unit. */
#include "gateway/ingest/metadata_times.h"

#include "base/hash.h"

enum { PLACES = 4096, AGAIN_MS = 600000 };
struct metadata_times { struct { uint64_t hash; int64_t at; } places[PLACES]; };

struct metadata_times *metadata_times_new(void) { return mem_zalloc(sizeof(struct metadata_times)); }

void metadata_times_clear(struct metadata_times *t) { memset(t, 0, sizeof *t); }

bool metadata_times_due(struct metadata_times *t, const struct metadata *m, int64_t now)
{
    uint64_t parts[] = {hash_keyed(m->family.p, m->family.n), hash_keyed(m->help.p, m->help.n),
                        hash_keyed(m->unit.p, m->unit.n), (uint64_t)m->type};
    uint64_t hash = hash_keyed(parts, sizeof parts) | 1; /* 0 = unused */
    size_t at = (hash >> 1) % PLACES;
    if (t->places[at].hash == hash && now - t->places[at].at < AGAIN_MS)
        return false;
    t->places[at].hash = hash;
    t->places[at].at = now;
    return true;
}
