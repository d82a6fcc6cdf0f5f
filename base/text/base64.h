// SPDX-License-Identifier: Apache-2.0
/* Base64 with padding (RFC 4648 4). Pure; any thread. */
#ifndef BASE_TEXT_BASE64_H
#define BASE_TEXT_BASE64_H

#include "base/buf.h"

void base64_add(struct buf *out, struct str in); /* appends */

#endif
