// SPDX-License-Identifier: Apache-2.0
/* Powers of ten, for num_read.c and num_write.c. num_tables.py generates num_tables.c.
 *
 * 10^e = (hi * 2^64 + lo + f) * 2^(num_log2_pow10(e) - 127), the highest bit of hi is set, 0 <= f < 1, and f is 0 for
 * 0 <= e <= NUM_POW_EXACT only. lo is never all ones.
 */
#ifndef BASE_TEXT_NUM_TABLES_H
#define BASE_TEXT_NUM_TABLES_H

#include <stdbool.h>
#include <stdint.h>

enum { NUM_POW_MIN = -342, NUM_POW_MAX = 324, NUM_POW_EXACT = 55 };

struct num_pow { uint64_t hi, lo; };
extern const struct num_pow num_pows[NUM_POW_MAX - NUM_POW_MIN + 1];

static inline const struct num_pow *num_pow10(int e) { return &num_pows[e - NUM_POW_MIN]; }
static inline bool num_pow10_exact(int e) { return e >= 0 && e <= NUM_POW_EXACT; }
static inline int num_log2_pow10(int e) { return (e * 1741647) >> 19; } /* floor(log2(10^e)) for |e| <= 1233 */

#endif
