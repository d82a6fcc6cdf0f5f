// SPDX-License-Identifier: Apache-2.0
/* Reads and writes the position file of a queue shard (format: position.h). */
#include "writer/queue/position.h"

#include "base/hash.h"
#include "base/telemetry/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SLOT = 24, SLOTS = 2, POSITION_BYTES = SLOTS * SLOT };

static void position_encode(uint8_t slot[SLOT], uint64_t done)
{
    memcpy(slot, "SLP1\0\0\0\0", 8);
    for (int i = 0; i < 8; i++)
        slot[8 + i] = (uint8_t)(done >> (8 * i));
    uint64_t sum = hash_bytes(slot, 16);
    for (int i = 0; i < 8; i++)
        slot[16 + i] = (uint8_t)(sum >> (8 * i));
}

static bool position_decode(const uint8_t slot[SLOT], uint64_t *done)
{
    uint8_t want[SLOT];
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)slot[8 + i] << (8 * i);
    position_encode(want, v);
    *done = v;
    return memcmp(want, slot, SLOT) == 0;
}

/* The larger one of the valid slots, 0 = none; *next: the slot to write. */
static uint64_t position_of(const uint8_t slots[POSITION_BYTES], unsigned *next)
{
    uint64_t done = 0, at;
    for (unsigned i = 0; i < SLOTS; i++)
        if (position_decode(slots + i * SLOT, &at) && at > done) {
            done = at;
            *next = 1 - i;
        }
    return done;
}

uint64_t position_read(const char *dir)
{
    char path[4096];
    uint8_t slots[POSITION_BYTES] = {0};
    unsigned next;
    snprintf(path, sizeof path, "%s/position", dir);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd >= 0 ? pread(fd, slots, sizeof slots, 0) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 ? position_of(slots, &next) : 0;
}

bool position_open(struct position *p, const char *dir, uint64_t *done, struct err *err)
{
    char path[4096];
    uint8_t slots[POSITION_BYTES] = {0};
    snprintf(path, sizeof path, "%s/position", dir);
    *done = 0;
    *p = (struct position){.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640)};
    if (p->fd < 0)
        return err_set(err, ERR_INTERNAL, "cannot open %s: %s", path, strerror(errno));
    p->file = file_identity_of(p->fd);
    ssize_t n = pread(p->fd, slots, sizeof slots, 0);
    if (n < 0) {
        err_set(err, ERR_INTERNAL, "cannot read %s: %s", path, strerror(errno));
        position_close(p);
        return false;
    }
    /* Preallocated so that a full disk cannot block the position. When the disk is full now, later writes take the
     * space. */
    if (n < POSITION_BYTES && pwrite(p->fd, slots + n, (size_t)(POSITION_BYTES - n), n) != POSITION_BYTES - n)
        log_warn("queue", "cannot preallocate queue position file; blocks may be sent twice after a restart unless "
                 "disk space is freed", "file", path, "err", strerror(errno));
    *done = position_of(slots, &p->slot);
    return true;
}

void position_close(struct position *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

bool position_write(struct position *p, uint64_t done)
{
    uint8_t slot[SLOT];
    position_encode(slot, done);
    ssize_t n = pwrite(p->fd, slot, SLOT, p->slot * SLOT);
    if (n != SLOT) {
        errno = n < 0 ? errno : ENOSPC;
        return false;
    }
    p->slot = 1 - p->slot;
    return true;
}
