// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_UNIT_THREADS_H
#define TESTS_UNIT_THREADS_H

unsigned count_threads(void); /* of this process, now */

#endif
