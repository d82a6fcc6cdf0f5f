// SPDX-License-Identifier: Apache-2.0
/* Text in double quotes, as written by Go's %q and strconv.Quote and read back by the lexer: unprintable characters
 * and invalid UTF-8 bytes are escaped. Pure; any thread. */
#ifndef PROMQL_AST_QUOTE_H
#define PROMQL_AST_QUOTE_H

#include "base/buf.h"

void quote_text(struct buf *out, struct str s);
void quote_label(struct buf *out, struct str name);  /* quoted unless it is a legacy label name */
void quote_rune(struct buf *out, int32_t rune);      /* 'x'; a negative rune counts as invalid */
void quote_code_point(struct buf *out, int32_t rune); /* U+0063 'c', as Go's %#U */

#endif
