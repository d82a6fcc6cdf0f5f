// SPDX-License-Identifier: Apache-2.0
/* Device and inode of open files, and of names. */
#include "writer/queue/file_identity.h"

#include <errno.h>
#include <sys/stat.h>

/* All zero, which no file has, if the descriptor's file cannot be examined. */
struct file_identity file_identity_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (struct file_identity){st.st_dev, st.st_ino} : (struct file_identity){0};
}

enum file_presence file_presence(const char *path, struct file_identity id)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR ? FILE_ABSENT : FILE_UNCERTAIN;
    if (id.inode == 0) {
        errno = EIO;
        return FILE_UNCERTAIN;
    }
    return st.st_dev == id.device && st.st_ino == id.inode ? FILE_PRESENT : FILE_ABSENT;
}
