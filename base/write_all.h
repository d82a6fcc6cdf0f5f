// SPDX-License-Identifier: Apache-2.0
/* Writes to files and pipes. Any thread. */
#ifndef BASE_WRITE_ALL_H
#define BASE_WRITE_ALL_H

#include "base/str.h"

/* Writes the whole text. Waits for the descriptor without a limit, even if another process made it non-blocking. False:
 * errno says why; a part of it may have been written. */
bool write_all(int fd, struct str text) MUST_USE;

#endif
