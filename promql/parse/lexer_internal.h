// SPDX-License-Identifier: Apache-2.0
/* Parts of the lexer: words, strings, numbers and durations. The scan functions consume from lexer.pos on; after a
 * failure the consumed part is shown in the message. They return false for invalid syntax. */
#ifndef PROMQL_PARSE_LEXER_INTERNAL_H
#define PROMQL_PARSE_LEXER_INTERNAL_H

#include "promql/parse/lexer.h"

int32_t lexer_rune(struct lexer *lx); /* consumes the next character; U+FFFD for an invalid byte, -1 at the end */

/* Case-insensitive; TOKEN_IDENTIFIER when it is not a keyword, TOKEN_NUMBER for inf and nan. */
enum token_kind lexer_word(struct str text);
bool lexer_scan_string(struct lexer *lx, int32_t quote); /* called after the opening quote; false: lexer.error is set */
bool lexer_scan_number(struct lexer *lx);
/* called after the digits consumed by lexer_scan_number: a unit, then more digits and units */
bool lexer_scan_duration(struct lexer *lx);

#endif
