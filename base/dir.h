// SPDX-License-Identifier: Apache-2.0
/* Opening a folder for readdir and closedir. Any thread.
 *
 * Not opendir: ThreadSanitizer does not see that it takes a descriptor, and takes closedir for a race with whoever
 * had the number before. It sees open.
 */
#ifndef BASE_DIR_H
#define BASE_DIR_H

#include "base/mem.h"

#include <dirent.h>

DIR *dir_open(const char *path) MUST_USE; /* NULL and errno */

#endif
