// SPDX-License-Identifier: Apache-2.0
/* Opening a directory for readdir and closedir, and creating one with its parents. Any thread.
 *
 * Not opendir: ThreadSanitizer does not see that it takes a descriptor, and takes closedir for a race with whoever
 * had the number before. It sees open.
 */
#ifndef BASE_OS_DIR_H
#define BASE_OS_DIR_H

#include "base/mem.h"

#include <dirent.h>
#include <stdbool.h>

DIR *dir_open(const char *path) MUST_USE;          /* NULL and errno */
bool dir_create_with_parents(const char *path) MUST_USE; /* mode 0750; true when it exists; false with errno */

#endif
