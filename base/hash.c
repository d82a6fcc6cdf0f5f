// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *p, size_t n) { return XXH3_64bits(p, n); }

/* XXH3 combines its input with this secret before multiplying. With the library's default secret, which is public,
 * collisions can be computed. Drawn before main, so before any thread exists. */
static uint8_t hash_secret[XXH3_SECRET_SIZE_MIN];

__attribute__((constructor)) static void draw_hash_secret(void)
{
    size_t n = 0;
    while (n < sizeof hash_secret) {
        ssize_t got = getrandom(hash_secret + n, sizeof hash_secret - n, 0);
        if (got < 0 && errno != EINTR) {
            fprintf(stderr, "sluice: getrandom: %s\n", strerror(errno));
            abort();
        }
        n += got > 0 ? (size_t)got : 0;
    }
}

uint64_t hash_keyed(const void *p, size_t n) { return XXH3_64bits_withSecret(p, n, hash_secret, sizeof hash_secret); }

uint64_t hash_xxh64(const void *p, size_t n) { return XXH64(p, n, 0); }
