// SPDX-License-Identifier: Apache-2.0
/* The lexer's parts: words, strings, numbers and durations. The scans read from lexer.pos on and leave behind what they
 * could read, which is what a message about it shows; false says that it is none.
 */
#ifndef PROMQL_PARSE_LEXER_INTERNAL_H
#define PROMQL_PARSE_LEXER_INTERNAL_H

#include "promql/parse/lexer.h"

int32_t lexer_rune(struct lexer *lx); /* the next character, taken; U+FFFD for a byte that is none, -1 at the end */

/* In any case; TOKEN_IDENTIFIER when it is no keyword, TOKEN_NUMBER for inf and nan. */
enum token_kind lexer_word(struct str text);
bool lexer_scan_string(struct lexer *lx, int32_t quote); /* behind its quote; false: lexer.error says why */
bool lexer_scan_number(struct lexer *lx);
bool lexer_scan_duration(struct lexer *lx); /* behind the digits that lexer_scan_number has read: a unit, then more */

#endif
