// SPDX-License-Identifier: Apache-2.0
/* Opening a directory for readdir and closedir, and creating one with its parents. Any thread.
 *
 * opendir is not used: ThreadSanitizer does not see that it allocates a descriptor, and reports closedir as a race
 * with the descriptor's previous user. It does see open.
 */
#ifndef BASE_OS_DIR_H
#define BASE_OS_DIR_H

#include "base/mem.h"

#include <dirent.h>
#include <stdbool.h>

DIR *dir_open(const char *path) MUST_USE;          /* NULL with errno */
bool dir_create_with_parents(const char *path) MUST_USE; /* mode 0750; true when it exists; false with errno */
/* Whether that would succeed, and files can be created in it; creates nothing; false with errno. */
bool dir_can_be_used(const char *path) MUST_USE;

#endif
