/* The lexer's parts for words, numbers and durations. The scans read from lexer.pos on and leave behind what they could read,
 * which is what a message about it shows; false says that it is none. */
#ifndef PROMQL_LEXER_PART_H
#define PROMQL_LEXER_PART_H

#include "promql/lexer.h"

enum token_kind lexer_word(struct str text); /* in any case; TOKEN_IDENTIFIER when it is no keyword, TOKEN_NUMBER for inf and nan */
bool lexer_scan_number(struct lexer *lx);
bool lexer_scan_duration(struct lexer *lx); /* behind the digits that lexer_scan_number has read: a unit, then more */

#endif
