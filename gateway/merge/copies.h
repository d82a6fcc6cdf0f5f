// SPDX-License-Identifier: Apache-2.0
/* Do two replicas hold copies of one stream, or did each scrape by itself? Decided per pair of replicas and value of
 * the `job` label, by default: by itself.
 *
 * Copies have equal timestamps and values; two scrapers are milliseconds to half an interval apart. All series of a
 * fetch that both replicas have are counted, and the counts of earlier fetches are remembered for fetches that show
 * too little, such as single samples. Copies need a clear majority: of two scrapers with equal offsets most timestamps
 * are equal too. A new fetch outweighs the memory, so that a changed setup is noticed. The memory survives reloads of
 * the configuration.
 */
#ifndef GATEWAY_MERGE_COPIES_H
#define GATEWAY_MERGE_COPIES_H

#include "base/os/thread.h"
#include "model/series.h"

struct evidence { uint32_t equal, apart; }; /* comparisons of samples */

enum {
    COPIES_PERCENT = 95,     /* of the comparisons are equal: copies */
    COPIES_MIN = 10,         /* comparisons below which the presumption holds */
    COPIES_MEMORY = 128,     /* comparisons that are remembered per pair and job */
    COPIES_JOBS = 256,       /* jobs that are remembered per pair; one hash slot each */
    COPIES_PER_SERIES = 32   /* comparisons per series and fetch, the newest */
};

struct copies_slot { uint64_t job; uint16_t equal, apart; };
struct copies_memory {
    struct mutex mutex;
    struct copies_slot **pairs; size_t n; /* pairs[i]: allocated when used */
    uint64_t *keys; size_t n_replicas;    /* what each replica is, over reloads */
};
/* keys: of n_replicas replicas, by the server's URL and what it is asked with; copied. */
void copies_memory_init(struct copies_memory *m, const uint64_t *keys, size_t n_replicas);
void copies_memory_free(struct copies_memory *m);
/* Takes over what `old` remembers of pairs that are in m, too; both may be in use. What m remembers itself stays. */
void copies_memory_adopt(struct copies_memory *m, struct copies_memory *old);

void copies_compare(struct evidence *e, const struct series *x, const struct series *y);
/* The verdict on replicas i and k for a job, from a fetch's evidence and the memory, which it updates. presumed: what
 * holds without evidence. */
bool copies_decide(struct copies_memory *m, size_t i, size_t k, struct str job, struct evidence seen, bool presumed);

#endif
