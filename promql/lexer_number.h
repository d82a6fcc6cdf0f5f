/* The lexer's part for numbers and durations. Both read from lexer.pos on and leave behind what they could read, which is
 * what a message about it shows; false says that it is none. */
#ifndef PROMQL_LEXER_NUMBER_H
#define PROMQL_LEXER_NUMBER_H

#include "promql/lexer.h"

bool lexer_scan_number(struct lexer *lx);
bool lexer_scan_duration(struct lexer *lx); /* behind the digits that lexer_scan_number has read: a unit, then more */

#endif
