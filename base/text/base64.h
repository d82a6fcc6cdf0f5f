// SPDX-License-Identifier: Apache-2.0
/* Base64 with padding (RFC 4648 4). Pure; any thread. */
#ifndef BASE_TEXT_BASE64_H
#define BASE_TEXT_BASE64_H

#include "base/buf.h"

void base64_add(struct buf *out, struct str in); /* appends */
void base64_add_url(struct buf *out, struct str in); /* for URLs (RFC 4648 5), without padding */
/* Appends the decoded bytes; false: not base64 with padding, or bits that a decoder would lose are set. */
bool base64_read(struct buf *out, struct str in) MUST_USE;

#endif
