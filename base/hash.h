// SPDX-License-Identifier: Apache-2.0
/* Hashes of bytes. Pure; any thread. Only hash.c includes xxhash; MD5 is in md5.c. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3-64 for data on disk or shared with peers, and for checksums. Not collision-resistant against an attacker. */
uint64_t hash_bytes(const void *p, size_t n);
/* XXH3-64 under a secret that the process draws at start, for hash tables and identities in memory. A peer that
 * chooses all inputs can neither predict their slots nor make two collide. As fast as hash_bytes. */
uint64_t hash_keyed(const void *p, size_t n);
/* XXH64 with seed 0, where peers use it (hashmod of VictoriaMetrics, limitk order, sharding) */
uint64_t hash_xxh64(const void *p, size_t n);
void hash_md5(const void *p, size_t n, uint8_t out[16]); /* Prometheus' hashmod */

#endif
