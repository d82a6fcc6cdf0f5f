// SPDX-License-Identifier: Apache-2.0
/* Chunks of floats as Prometheus' TSDB stores them and remote_read streams them (encoding XOR). Pure; any thread. Not
 * trusted: every bit is checked to be there.
 */
#ifndef MODEL_XOR_CHUNK_H
#define MODEL_XOR_CHUNK_H

#include "model/series.h"

enum { XOR_CHUNK_MOST = 65535 }; /* samples of a chunk */
/* The number of samples, which the head of the chunk states. 0: none, or not even a head. */
uint32_t xor_chunk_count(struct str chunk);
/* Decodes all of them; out has space for them. False: the chunk is truncated or corrupted. Times are as they are in the
 * chunk, in whatever order. */
bool xor_chunk_decode(struct str chunk, struct sample *out) MUST_USE;

#endif
