// SPDX-License-Identifier: Apache-2.0
/* Numbers that look random and are the same every time: a failing case can be run again. */
#ifndef TESTS_RNG_H
#define TESTS_RNG_H

#include "base/str.h"

#include <stdint.h>

static inline uint64_t rng_next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline uint64_t rng_below(uint64_t *state, uint64_t n) { return rng_next(state) % n; }

/* A damaged copy, alone in its memory so that AddressSanitizer sees a step outside: now and then cut short, and up
 * to `most` bytes changed, half of them to one of `likely` when there are any. The caller gives it to mem_free. */
static inline struct str rng_damage(uint64_t *state, struct str good, unsigned most, struct str likely)
{
    size_t n = rng_below(state, 4) ? good.n : rng_below(state, good.n);
    char *copy = mem_dup(good.p, n);
    for (size_t k = rng_below(state, most + 1); k > 0 && n > 0; k--) {
        bool pick = likely.n > 0 && rng_below(state, 2);
        copy[rng_below(state, n)] = pick ? likely.p[rng_below(state, likely.n)] : (char)rng_next(state);
    }
    return str_n(copy, n);
}

#endif
