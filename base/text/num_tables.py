#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes base/text/num_tables.c: python3 base/text/num_tables.py > base/text/num_tables.c

10^e for every e that a double needs, as its 128 highest bits, rounded down. See base/text/num_tables.h."""

LOWEST, HIGHEST, LAST_EXACT = -342, 324, 55


def floor_log2_pow10(e):
    return (e * 1741647) >> 19


def power(e):
    shift = 127 - floor_log2_pow10(e)
    if e >= 0:
        exact = 10**e << shift if shift >= 0 else 10**e >> shift * -1
        remainder = 0 if shift >= 0 else 10**e & ((1 << -shift) - 1)
    else:
        exact, remainder = divmod(1 << shift, 10**-e)
    assert exact.bit_length() == 128
    assert (remainder == 0) == (0 <= e <= LAST_EXACT)
    assert exact & (2**64 - 1) != 2**64 - 1  # so that rounding up needs no carry
    return exact


print("/* Written by num_tables.py. */")
print('#include "base/text/num_tables.h"')
print()
print("const struct num_pow num_pows[NUM_POW_MAX - NUM_POW_MIN + 1] = {")
for e in range(LOWEST, HIGHEST + 1):
    bits = power(e)
    print(f"    {{0x{bits >> 64:016x}, 0x{bits & (2**64 - 1):016x}}}, /* 1e{e} */")
print("};")
