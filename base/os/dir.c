// SPDX-License-Identifier: Apache-2.0
/* Opens directories through open(2), and creates directory paths. */
#include "base/os/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

DIR *dir_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL && fd >= 0) {
        int why = errno;
        close(fd);
        errno = why;
    }
    return dir;
}

bool dir_create_with_parents(const char *path)
{
    char *copy = mem_strdup(path);
    bool ok = true;
    for (char *p = copy + 1; ok && *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        ok = mkdir(copy, 0750) == 0 || errno == EEXIST;
        *p = '/';
    }
    ok = ok && (mkdir(copy, 0750) == 0 || errno == EEXIST);
    int why = errno;
    mem_free(copy);
    errno = why;
    return ok;
}

bool dir_can_be_used(const char *path)
{
    char *at = mem_strdup(path);
    struct stat st;
    bool found;
    /* the first parent that exists */
    while (!(found = stat(*at ? at : "/", &st) == 0) && errno == ENOENT && strcmp(at, ".") != 0) {
        char *slash = strrchr(at, '/');
        if (slash == NULL)
            strcpy(at, "."); /* it has a byte at least */
        else
            *slash = 0;
    }
    if (found && !S_ISDIR(st.st_mode)) {
        found = false;
        errno = ENOTDIR;
    }
    bool ok = found && access(*at ? at : "/", W_OK | X_OK) == 0;
    int why = errno;
    mem_free(at);
    errno = why;
    return ok;
}
