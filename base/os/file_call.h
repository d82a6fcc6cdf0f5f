// SPDX-License-Identifier: Apache-2.0
/* Calls a function that uses files, and waits for it, but not for a file system that hangs: it runs on a thread for
 * files (base/os/file_work.h), to which it is left when the time is up. */
#ifndef BASE_OS_FILE_CALL_H
#define BASE_OS_FILE_CALL_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

struct file_call {
    void (*run)(void *arg);
    void (*release)(void *arg); /* frees arg after the run, if the caller did not wait for its end */
    void *arg;
};
/* Any thread that may wait. True: it has run, and arg is the caller's again. False: it did not end within `ms`, or no
 * thread can be started; arg must not be used any more. */
bool file_call(const struct file_call *c, int64_t ms) MUST_USE;

#endif
