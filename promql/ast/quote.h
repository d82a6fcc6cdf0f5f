// SPDX-License-Identifier: Apache-2.0
/* Text in double quotes, as Go's %q and strconv.Quote write it and the lexer reads it back: what is not printable, and
 * every byte that is not UTF-8, becomes an escape. Pure; any thread.
 */
#ifndef PROMQL_AST_QUOTE_H
#define PROMQL_AST_QUOTE_H

#include "base/buf.h"

void quote_text(struct buf *out, struct str s);
void quote_label(struct buf *out, struct str name);  /* quoted only when it is no legacy label name */
void quote_rune(struct buf *out, int32_t rune);      /* 'x'; a negative one counts as invalid */
void quote_code_point(struct buf *out, int32_t rune); /* U+0063 'c', as Go's %#U */

#endif
