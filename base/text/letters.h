// SPDX-License-Identifier: Apache-2.0
/* Upper and lower case of UTF-8 text by Unicode's simple mappings, as Go's strings.ToUpper and ToLower: ß stays. Invalid
 * bytes are copied. Pure; any thread. */
#ifndef BASE_TEXT_LETTERS_H
#define BASE_TEXT_LETTERS_H

#include "base/buf.h"

void letters_add_upper(struct buf *out, struct str text);
void letters_add_lower(struct buf *out, struct str text);

#endif
