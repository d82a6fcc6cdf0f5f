// SPDX-License-Identifier: Apache-2.0
/* Reads a file at once, on a thread that may wait for its disk. */
#ifndef BASE_OS_FILE_READ_H
#define BASE_OS_FILE_READ_H

#include "base/buf.h"
#include "base/err.h"

/* Appends it to `out`, which from now on has the limit max: bytes, 0 = none. False: "PATH: why" as bad data. */
bool file_read(const char *path, size_t max, struct buf *out, struct err *err) MUST_USE;

#endif
