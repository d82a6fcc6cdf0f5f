// SPDX-License-Identifier: Apache-2.0
/* Blocks are allocated with malloc; those of 1 MB are served by mmap (main.c fixes glibc's threshold), so that the
 * memory of a large query returns to the system. Of 49.8 MB in 1 MB blocks, 7.3 MB stayed resident after free with
 * glibc's adaptive threshold, 3.2 MB with the fixed one.
 */
#include "base/arena.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_BLOCK = 4 << 10, LARGEST_BLOCK = 1 << 20, ALIGN = 16 };
enum { SPARE_FROM = 64 << 10 }; /* blocks from this size on are spare ones, which cost no page faults */

struct arena_block {
    struct arena_block *next; /* allocated earlier */
    size_t n, cap;            /* n <= cap */
    char bytes[] __attribute__((aligned(ALIGN)));
};

struct arena_end {
    struct arena_end *next; /* registered earlier */
    void (*fn)(void *arg);
    void *arg;
};

void arena_init(struct arena *a, size_t max) { *a = (struct arena){.max = max}; }

/* The arena whose limits apply. */
static struct arena *arena_limited(struct arena *a) { return a->parent ? a->parent : a; }

/* Memory of a child counts for its parent, too. The shared budget is charged by arena_take_shared. */
static void arena_count(struct arena *a, size_t size)
{
    a->used += size;
    a->peak = a->used > a->peak ? a->used : a->peak;
    if (a->parent)
        arena_count(a->parent, size);
}

static void arena_uncount(struct arena *a, size_t size)
{
    a->used -= size;
    if (a->parent)
        arena_uncount(a->parent, size);
    else
        budget_give(a->budget, size);
}

/* A block stays poisoned while it is spare. */
static void arena_release_block(struct arena *a, struct arena_block *b)
{
    struct arena_spare *s = a->spare;
    if (s && s->n < s->most && sizeof *b + b->cap == LARGEST_BLOCK) {
        mem_poison(b->bytes, b->cap);
        b->next = s->blocks;
        s->blocks = b;
        s->n++;
        return;
    }
    mem_unpoison(b->bytes, b->cap);
    mem_free(b);
}

static struct arena_block *get_block(struct arena *a, size_t size)
{
    struct arena_spare *s = a->spare;
    struct arena_block *b = s && size == LARGEST_BLOCK ? s->blocks : NULL;
    if (b == NULL)
        return mem_try_alloc(size);
    s->blocks = b->next;
    s->n--;
    return b;
}

void arena_spare_free(struct arena_spare *s)
{
    for (struct arena_block *b = s->blocks, *next; b; b = next) {
        next = b->next;
        mem_unpoison(b->bytes, b->cap);
        mem_free(b);
    }
    s->blocks = NULL;
    s->n = 0;
}

void arena_spare_move(struct arena_spare *from, struct arena_spare *to)
{
    for (struct arena_block *b; (b = from->blocks) != NULL && to->n < to->most; from->n--, to->n++) {
        from->blocks = b->next;
        b->next = to->blocks;
        to->blocks = b;
    }
}

static void free_until(struct arena *a, struct arena_block **list, struct arena_block *keep)
{
    while (*list != keep) {
        struct arena_block *b = *list;
        *list = b->next;
        arena_uncount(a, sizeof *b + b->cap);
        arena_release_block(arena_limited(a), b);
    }
}

static void *arena_refuse(struct arena *a, size_t n)
{
    a = arena_limited(a);
    if (a->on_full)
        a->on_full(a, n, a->on_full_arg);
    return NULL;
}

bool arena_at_end(struct arena *a, void (*fn)(void *arg), void *arg)
{
    struct arena *limited = arena_limited(a);
    void (*on_full)(struct arena *, size_t, void *) = limited->on_full;
    limited->on_full = NULL; /* fn runs before the jump */
    struct arena_end *end = arena_alloc(a, sizeof *end);
    limited->on_full = on_full;
    if (end == NULL) {
        fn(arg);
        return arena_refuse(a, sizeof *end) != NULL;
    }
    *end = (struct arena_end){a->_ends, fn, arg};
    a->_ends = end;
    return true;
}

static void arena_free_child(void *child) { arena_free(child); }

bool arena_child_init(struct arena *child, struct arena *parent)
{
    *child = (struct arena){.parent = parent};
    return arena_at_end(parent, arena_free_child, child);
}

static void end_until(struct arena *a, struct arena_end *keep)
{
    while (a->_ends != keep) {
        struct arena_end *end = a->_ends;
        a->_ends = end->next;
        end->fn(end->arg);
    }
}

void arena_free(struct arena *a)
{
    end_until(a, NULL);
    free_until(a, &a->_aligned, NULL);
    free_until(a, &a->_bytes, NULL);
    a->budget = NULL;
}

static void arena_keep_newest(struct arena *a, struct arena_block *b)
{
    if (b == NULL)
        return;
    free_until(a, &b->next, NULL);
    b->n = 0;
    mem_poison(b->bytes, b->cap);
}

void arena_reset(struct arena *a)
{
    arena_keep_newest(a, a->_aligned);
    arena_keep_newest(a, a->_bytes);
}

bool arena_charge(struct arena *a, struct budget *budget)
{
    if (a->budget == budget)
        return true;
    if (!budget_take(budget, a->used)) {
        a->starved = true;
        return false;
    }
    budget_give(a->budget, a->used);
    a->budget = budget;
    return true;
}

struct arena_limits arena_suspend_limit(struct arena *a)
{
    struct arena_limits saved = {a->max, a->on_full};
    a->max = 0;
    a->on_full = NULL;
    return saved;
}

void arena_restore_limit(struct arena *a, struct arena_limits saved)
{
    a->max = saved.max;
    a->on_full = saved.on_full;
}

bool arena_over(const struct arena *a, size_t max) { return (max && a->used > max) || budget_exceeded(a->budget); }

void arena_full_error(const struct arena *a, size_t max, struct err *err)
{
    bool shared = a->starved || (budget_exceeded(a->budget) && (max == 0 || a->used <= max));
    if (!shared) {
        err_set(err, ERR_LIMIT, "query needs more than %zu MiB of memory", max >> 20);
        return;
    }
    err_set(err, ERR_UNAVAILABLE, "queries in flight use all memory that they may have together; try again later, or "
            "raise --memory.allowedBytes");
    err->retry_after = 2;
}

/* An arena without a limit may exceed the budget, since its owner cannot handle a failed allocation. */
static bool arena_take_shared(struct arena *a, size_t size)
{
    if (a->max == 0)
        budget_take_anyway(a->budget, size);
    else if (!budget_take(a->budget, size))
        return false;
    return true;
}

static bool arena_add_block(struct arena *owner, struct arena_block **list, size_t n)
{
    struct arena *a = arena_limited(owner);
    size_t cap = *list ? (*list)->cap * 2 : FIRST_BLOCK;
    if (cap > LARGEST_BLOCK || (cap >= SPARE_FROM && a->spare && (a->spare->n > 0 || a->spare->made)))
        cap = LARGEST_BLOCK;
    cap -= sizeof(struct arena_block);
    if (cap < n)
        cap = n;
    size_t size;
    if (__builtin_add_overflow(cap, sizeof(struct arena_block), &size))
        return false;
    if (a->max && (size > a->max || a->used > a->max - size)) {
        size_t least = n + sizeof(struct arena_block); /* near the budget, no more than is needed */
        if (least < n || least > a->max || a->used > a->max - least)
            return false;
        size = least;
        cap = n;
    }
    a->starved = !arena_take_shared(a, size);
    struct arena_block *b = a->starved ? NULL : get_block(a, size);
    if (b == NULL) {
        if (!a->starved)
            budget_give(a->budget, size);
        return false;
    }
    b->next = *list;
    b->n = 0;
    b->cap = cap;
    mem_poison(b->bytes, cap);
    *list = b;
    arena_count(owner, size);
    return true;
}

static inline void *arena_alloc_from(struct arena *a, struct arena_block **list, size_t n)
{
    if (a->fail_after && --a->fail_after == 0)
        return arena_refuse(a, n);
    struct arena_block *b = *list;
    if (b == NULL || b->cap - b->n < n) {
        if (!arena_add_block(a, list, n))
            return arena_refuse(a, n);
        b = *list;
    }
    void *p = b->bytes + b->n;
    b->n += n;
    mem_unpoison(p, n);
    return p;
}

static size_t rounded(size_t n)
{
    size_t most = SIZE_MAX & ~(size_t)(ALIGN - 1);
    return n > most ? most : (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void *arena_alloc(struct arena *a, size_t n) { return arena_alloc_from(a, &a->_aligned, rounded(n)); }
char *arena_bytes(struct arena *a, size_t n) { return arena_alloc_from(a, &a->_bytes, n); }

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return arena_refuse(a, SIZE_MAX);
    return arena_zalloc(a, n);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_bytes(a, s.n);
    if (p == NULL)
        return STR_NONE;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return str_n(p, s.n);
}

char *arena_z(struct arena *a, struct str s)
{
    char *p = arena_bytes(a, s.n + 1);
    if (p == NULL)
        return NULL;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n < 0 ? NULL : arena_bytes(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return str_n(p, p ? (size_t)n : 0);
}

void arena_grow(struct arena *a, void *items, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return;
    size_t count = *cap ? *cap : 4, old = rounded(*cap * size), n;
    while (count < need && count <= SIZE_MAX / 2)
        count *= 2;
    if (count < need || __builtin_mul_overflow(count, size, &n)) {
        arena_refuse(a, SIZE_MAX);
        return;
    }
    char *p;
    memcpy(&p, items, sizeof p);
    struct arena_block *b = a->_aligned;
    size_t grown = rounded(n);
    if (p && b && p + old == b->bytes + b->n && b->cap - b->n >= grown - old) {
        b->n += grown - old;
        mem_unpoison(p, grown);
    } else {
        char *to = arena_alloc(a, n);
        if (to == NULL)
            return;
        if (p)
            memcpy(to, p, *cap * size);
        memcpy(items, &to, sizeof to);
    }
    *cap = count;
}

struct arena_mark arena_mark(struct arena *a)
{
    return (struct arena_mark){a->_aligned, a->_bytes, a->_aligned ? a->_aligned->n : 0, a->_bytes ? a->_bytes->n : 0,
                               a->_ends};
}

void arena_release(struct arena *a, struct arena_mark m)
{
    end_until(a, m.ends);
    free_until(a, &a->_aligned, m.aligned);
    free_until(a, &a->_bytes, m.bytes);
    if (m.aligned) {
        m.aligned->n = m.aligned_n;
        mem_poison(m.aligned->bytes + m.aligned_n, m.aligned->cap - m.aligned_n);
    }
    if (m.bytes) {
        m.bytes->n = m.bytes_n;
        mem_poison(m.bytes->bytes + m.bytes_n, m.bytes->cap - m.bytes_n);
    }
}
