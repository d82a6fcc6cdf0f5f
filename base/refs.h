// SPDX-License-Identifier: Apache-2.0
/* Reference counts. An object starts with one reference, its creator's; the thread that releases the last one frees it.
 *
 * A thread may acquire a reference if it has one, or holds a lock under which the object cannot be freed. Acquiring or
 * releasing a count that has reached zero is a use after free: the process ends with the name of the function, before
 * data is corrupted. Builds with a sanitizer also overwrite freed memory (mem_free), so that such a count is always
 * recognized.
 *
 * struct refs: any thread. The functions with _own: a plain counter that only one thread uses.
 */
#ifndef BASE_REFS_H
#define BASE_REFS_H

#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { REFS_MOST = 1 << 30 }; /* no object has more; bytes of freed memory are (base/mem.h) */
struct refs { atomic_uint n; };

void refs_fail(const char *where, unsigned n) __attribute__((noreturn, cold));

static inline void refs_check(unsigned n, const char *where)
{
    if (__builtin_expect(n - 1 >= REFS_MOST, 0))
        refs_fail(where, n);
}

static inline void refs_init(struct refs *r) { atomic_init(&r->n, 1); }

#define refs_take(r) refs_take_in(r, __func__)
static inline void refs_take_in(struct refs *r, const char *where)
{
    refs_check(atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed), where);
}

/* True: it was the last one. */
#define refs_drop(r) refs_drop_in(r, __func__)
MUST_USE static inline bool refs_drop_in(struct refs *r, const char *where)
{
    unsigned n = atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel);
    refs_check(n, where);
    return n == 1;
}

#define refs_take_own(n) refs_take_own_in(n, __func__)
static inline void refs_take_own_in(unsigned *n, const char *where) { refs_check((*n)++, where); }

#define refs_drop_own(n) refs_drop_own_in(n, __func__)
MUST_USE static inline bool refs_drop_own_in(unsigned *n, const char *where)
{
    refs_check((*n)--, where);
    return *n == 0;
}

#endif
