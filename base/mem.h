// SPDX-License-Identifier: Apache-2.0
/* Memory allocation, and functions that the compiler forbids.
 *
 * Two families: mem_* never fails (a small allocation that fails ends the process with one line on stderr); mem_try_*
 * is for sizes that a peer or a file chooses, and returns NULL. Memory with the lifetime of a query, a scrape or a
 * configuration belongs in an arena (base/arena.h). Any thread.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define UNUSED       __attribute__((unused))
#define LEN(array)   (sizeof(array) / sizeof((array)[0]))

/* container_of: from a pointer to a member to its struct. */
#define CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull));
void *mem_dup(const void *p, size_t n) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((returns_nonnull));
enum { MEM_FREED = 0xdb }; /* a sanitizer's build fills freed memory with it */
void mem_free(void *p); /* NULL is fine */

void *mem_try_alloc(size_t n) MUST_USE;
void *mem_try_realloc(void *p, size_t n) MUST_USE; /* NULL: p is still valid */

/* The size that malloc uses for n bytes: a multiple of 16, at least 32, including 8 bytes of its own. */
enum { MEM_BLOCK_HEAD = 8 };
static inline size_t mem_block(size_t n) { return n <= 24 ? 32 : (n + MEM_BLOCK_HEAD + 15) & ~(size_t)15; }

/* Grows *items (element size `size`) to at least `need` elements, doubling. Never fails. */
void mem_grow(void *items, size_t *cap, size_t need, size_t size);

/* Brings bytes that will soon be read into the CPU's cache. Any address is fine. */
static inline void mem_prefetch(const void *p, size_t n)
{
    enum { CACHE_LINE = 64 };
    for (size_t at = 0; at < n; at += CACHE_LINE)
        __builtin_prefetch((const char *)p + at);
}

/* Writes to the pages of memory from byte `at` on, `n` bytes further, and leaves what they hold; returns where that is,
 * at most `bytes`. A large allocation gets its pages when they are first used, and a page fault takes 2 to 7 us: a table
 * whose first uses are in random order touches its pages in steps before. */
size_t mem_touch(void *p, size_t bytes, size_t at, size_t n);

/* Marks bytes as inaccessible (and accessible again) for AddressSanitizer; no effect without it. */
void mem_poison(const void *p, size_t n);
void mem_unpoison(const void *p, size_t n);

/* Returns freed pages to the system, after a large query or a reload. */
void mem_trim(void);

/* Banned functions: using one fails to compile, with the reason. */
#if !defined MEM_NO_BANS && !defined __clang__ /* clang wants the attribute on the first declaration */
char *strcpy(char *, const char *) __attribute__((error("use struct buf or memcpy with a known length")));
char *strcat(char *, const char *) __attribute__((error("use struct buf")));
char *strtok(char *, const char *) __attribute__((error("use str_cut")));
int sprintf(char *, const char *, ...) __attribute__((error("use buf_printf or snprintf")));
int atoi(const char *) __attribute__((error("use num_parse_i64")));
#endif

#endif
