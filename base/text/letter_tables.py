#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes base/text/letter_tables.c: python3 base/text/letter_tables.py > base/text/letter_tables.c

It has Unicode's simple case mappings, from one code point to one, as Go's strings.ToUpper and ToLower apply them. Python
has the full mappings, which may yield several code points. Where that is so, the simple mapping is the title case if that
is one code point, otherwise there is none.

Source: the Unicode Character Database as it is in Python's str (Unicode License, see NOTICE)."""
import unicodedata


def upper(c):
    full = chr(c).upper()
    return ord(full if len(full) == 1 else chr(c).title() if len(chr(c).title()) == 1 else chr(c))


def lower(c):
    full = chr(c).lower()
    return ord(full if len(full) == 1 else "i" if c == 0x130 else chr(c))


def ranges(mapping):
    """(first, last, step, difference): runs of letters, or of every second one, with the same difference."""
    runs = []
    for c in range(0x80, 0x110000):
        added = 0 if 0xd800 <= c < 0xe000 else mapping(c) - c
        if added == 0:
            continue
        last = runs[-1] if runs else None
        if last and last[3] == added and c - last[1] in (1, 2) and last[2] in (0, c - last[1]):
            last[1], last[2] = c, c - last[1]
        else:
            runs.append([c, c, 0, added])
    return [(first, last, step or 1, added) for first, last, step, added in runs]


print("// SPDX-License-Identifier: Apache-2.0 AND Unicode-3.0")
print(f"/* Written by letter_tables.py from the Unicode Character Database {unicodedata.unidata_version} (see NOTICE). */")
print('#include "base/text/letter_tables.h"')
for name, mapping in ("upper", upper), ("lower", lower):
    table = ranges(mapping)
    print(f"\nconst size_t n_letters_{name} = {len(table)};\nconst struct letter_range letters_{name}[] = {{")
    for first, last, step, added in table:
        print(f"    {{0x{first:x}, 0x{last:x}, {step}, {added}}},")
    print("};")
