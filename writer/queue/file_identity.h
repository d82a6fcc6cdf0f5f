// SPDX-License-Identifier: Apache-2.0
/* Whether a name still leads to a file that was opened before. The identity is taken once, when the file is opened, so
 * that a check is a single system call. Any thread. */
#ifndef WRITER_QUEUE_FILE_IDENTITY_H
#define WRITER_QUEUE_FILE_IDENTITY_H

#include <sys/types.h>

struct file_identity { dev_t device; ino_t inode; };
struct file_identity file_identity_of(int fd);

enum file_presence {
    FILE_PRESENT,
    FILE_ABSENT,    /* the name does not exist, or is another file's */
    FILE_UNCERTAIN, /* errno: neither is known */
};
enum file_presence file_presence(const char *path, struct file_identity id);

#endif
