// SPDX-License-Identifier: Apache-2.0
/* Allocation that ends the process when memory is exhausted, and variants that return NULL. */
#define MEM_NO_BANS
#include "base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define MEM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_ASAN 1
#endif
#endif
#ifdef MEM_ASAN
#include <sanitizer/asan_interface.h>
#endif

static void *mem_check(void *p, size_t n)
{
    if (p == NULL) {
        fprintf(stderr, "sluice: out of memory: an allocation of %zu bytes failed\n", n);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n) { return mem_check(malloc(n ? n : 1), n); }
void *mem_zalloc(size_t n) { return mem_check(calloc(1, n ? n : 1), n); }
void *mem_realloc(void *p, size_t n) { return mem_check(realloc(p, n ? n : 1), n); }

/* A sanitizer's build: a pointer or count in freed memory is recognized. AddressSanitizer finds it by itself. */
void mem_free(void *p)
{
#if defined(MEM_FILL_FREED) && !defined(MEM_ASAN)
    if (p)
        memset(p, MEM_FREED, malloc_usable_size(p));
    __asm__ volatile("" ::"r"(p) : "memory"); /* else the compiler leaves it out: the memory is not read again */
#endif
    free(p);
}

void *mem_try_alloc(size_t n) { return malloc(n ? n : 1); }
void *mem_try_realloc(void *p, size_t n) { return realloc(p, n ? n : 1); }
void mem_trim(void) { malloc_trim(0); }

void *mem_dup(const void *p, size_t n)
{
    void *copy = mem_alloc(n);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *mem_strdup(const char *s) { return mem_dup(s, strlen(s) + 1); }

void mem_grow(void *items, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return;
    size_t n = *cap ? *cap : 8, bytes;
    while (n < need && n <= SIZE_MAX / 2)
        n *= 2;
    if (n < need || __builtin_mul_overflow(n, size, &bytes))
        bytes = SIZE_MAX; /* mem_realloc fails for SIZE_MAX */
    void *p;
    memcpy(&p, items, sizeof p); /* items is a T **; reading it through void ** would break aliasing */
    p = mem_realloc(p, bytes);
    memcpy(items, &p, sizeof p);
    *cap = n;
}

/* The atomic operation writes what it reads in one access: a read before the write would be a page fault more. */
size_t mem_touch(void *p, size_t bytes, size_t at, size_t n)
{
    enum { PAGE = 4096 };
    size_t end = bytes - at > n ? at + n : bytes;
    for (; at < end; at += PAGE - at % PAGE)
        __atomic_fetch_or((volatile char *)p + at, 0, __ATOMIC_RELAXED);
    return end;
}

void mem_poison(const void *p UNUSED, size_t n UNUSED)
{
#ifdef MEM_ASAN
    __asan_poison_memory_region(p, n);
#endif
}

void mem_unpoison(const void *p UNUSED, size_t n UNUSED)
{
#ifdef MEM_ASAN
    __asan_unpoison_memory_region(p, n);
#endif
}
