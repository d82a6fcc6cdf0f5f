// SPDX-License-Identifier: Apache-2.0
/* The last error of a destination. Lanes set it, one at a time (under the destination's lock); pages read it without a
 * lock, so that no lane waits for a reader that has lost its CPU. A reader that meets a writer reads again.
 */
#ifndef WRITER_SEND_LAST_ERROR_H
#define WRITER_SEND_LAST_ERROR_H

#include <stdatomic.h>
#include <stdint.h>

enum { LAST_ERROR_MAX = 256 /* bytes, with the NUL */ };
struct last_error { /* zeroed: none yet */
    atomic_uint version;   /* odd while it is being set */
    atomic_llong at;       /* Unix ms */
    atomic_ullong words[LAST_ERROR_MAX / sizeof(uint64_t)];
};
void last_error_set(struct last_error *e, int64_t now, const char *text); /* a longer text is cut */
/* Any thread: Unix ms, 0 = none. */
int64_t last_error_get(const struct last_error *e, char text[LAST_ERROR_MAX]);

#endif
