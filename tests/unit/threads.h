// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_UNIT_THREADS_H
#define TESTS_UNIT_THREADS_H

/* Threads of this process, now; one that ends may still be counted. A sanitizer starts one along with the first. */
unsigned count_threads(void);
/* Those with this name, which one that has just started may not have yet. */
unsigned count_threads_named(const char *name);

#endif
