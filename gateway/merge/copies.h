// SPDX-License-Identifier: Apache-2.0
/* Decides whether two replicas have copies of one stream or scraped independently, per pair of replicas and value of
 * the label `job`. The default is independently.
 *
 * Copies have equal timestamps and values, and where gaps alternate, timestamps that are whole intervals apart;
 * independent scrapes are milliseconds to half an interval apart. The samples of all series that both replicas have are
 * compared, also those of `up` that are read for their coverage, and the counts of earlier fetches are remembered for
 * fetches with too few samples. Copies require a clear majority, since independent scrapers with equal offsets have mostly equal
 * timestamps, too. A new fetch outweighs the memory, so that a changed setup is noticed. The memory survives reloads.
 */
#ifndef GATEWAY_MERGE_COPIES_H
#define GATEWAY_MERGE_COPIES_H

#include "base/os/thread.h"
#include "model/series.h"

struct evidence { uint32_t equal, apart; }; /* comparisons of samples */

enum {
    COPIES_PERCENT = 95,     /* of the comparisons are equal: copies */
    COPIES_MIN = 10,         /* minimum number of comparisons for a decision other than the default */
    COPIES_MEMORY = 128,     /* comparisons that are remembered per pair and job */
    COPIES_JOBS = 256,       /* jobs that are remembered per pair; one hash slot each */
    COPIES_PER_SERIES = 32,  /* comparisons per series and fetch, the newest */
    COPIES_INTERVAL_MS = 1000 /* the shortest of which multiples are evidence */
};

struct copies_slot { uint64_t job; uint16_t equal, apart; };
struct copies_memory {
    struct mutex mutex;
    struct copies_slot **pairs; size_t n; /* pairs[i]: allocated when used */
    uint64_t *keys; size_t n_replicas;    /* what each replica is, over reloads */
};
/* keys: one per replica, by the server's URL and the parameters and headers of its requests; copied. */
void copies_memory_init(struct copies_memory *m, const uint64_t *keys, size_t n_replicas);
void copies_memory_free(struct copies_memory *m);
/* Copies the entries of `old` for pairs that m has, too, unless m has an entry already. Both may be in use. */
void copies_memory_adopt(struct copies_memory *m, struct copies_memory *old);

void copies_compare(struct evidence *e, const struct series *x, const struct series *y);
/* Decides for replicas i and k and a job by the comparisons of a fetch and the memory, which it updates. With too few
 * comparisons, all of which are equal, the job is copies if all other jobs of the pair are. presumed: the
 * result otherwise. m NULL: nothing is remembered. */
bool copies_decide(struct copies_memory *m, size_t i, size_t k, struct str job, struct evidence seen, bool presumed);
/* Whether the pair has copies of all jobs that are known, of at least one. */
bool copies_are_known(struct copies_memory *m, size_t i, size_t k);

#endif
