// SPDX-License-Identifier: Apache-2.0
/* Internal to base/text: simple case mappings of letters beyond ASCII, in ascending order (letter_tables.py). */
#ifndef BASE_TEXT_LETTER_TABLES_H
#define BASE_TEXT_LETTER_TABLES_H

#include <stddef.h>
#include <stdint.h>

struct letter_range { uint32_t first, last; int32_t step /* 2: every second one */, added /* to map it */; };
extern const struct letter_range letters_upper[], letters_lower[];
extern const size_t n_letters_upper, n_letters_lower;

#endif
