// SPDX-License-Identifier: Apache-2.0
/* Positions in shared memory (position_table.h). */
#include "writer/queue/position_table.h"

#include "base/refs.h"
#include "base/telemetry/log.h"
#include "writer/queue/position.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { TABLE_SLOTS = 512, TABLE_HEADER = 64, TABLE_PATH = 4096 };
enum { TABLE_BYTES = TABLE_HEADER + TABLE_SLOTS * (int)sizeof(struct position_slot) };
_Static_assert(sizeof(struct position_slot) == 320, "the format of the table");
static const char table_magic[8] = "SLPT0001";

struct position_table {
    struct refs refs;  /* the lock's, and one for each place that is taken */
    uint64_t id;
    char *path;
    int fd;
    uint8_t *bytes;
};

static struct position_slot *table_slot(const struct position_table *t, size_t i)
{
    return (struct position_slot *)(void *)(t->bytes + TABLE_HEADER) + i;
}

/* The i-th directory that may have a table; false: there are no more. */
static bool table_dir(size_t i, char dir[TABLE_PATH])
{
    const char *runtime = getenv("RUNTIME_DIRECTORY"); /* a list separated by colons */
    if (i == 0)
        snprintf(dir, TABLE_PATH, "%.*s", runtime ? (int)strcspn(runtime, ":") : 0, runtime ? runtime : "");
    else
        snprintf(dir, TABLE_PATH, "/dev/shm");
    return i < 2;
}

static void table_path(char path[TABLE_PATH], const char *dir, uint64_t id)
{
    snprintf(path, TABLE_PATH, "%.*s/sluice-%016llx", TABLE_PATH / 2, dir, (unsigned long long)id);
}

static bool is_memory_file_system(const char *dir)
{
    enum { TMPFS = 0x01021994, RAMFS = (int)0x858458f6 };
    struct statfs fs;
    return *dir && statfs(dir, &fs) == 0 && ((int)fs.f_type == TMPFS || (int)fs.f_type == RAMFS);
}

/* Its memory is reserved now: a store to memory that a full file system cannot provide would end the process. */
static uint8_t *table_map(int fd)
{
    int error = posix_fallocate(fd, 0, TABLE_BYTES);
    void *p = error == 0 ? mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    return p == MAP_FAILED ? NULL : p;
}

static bool table_create(struct position_table *t, const char *dir)
{
    char path[TABLE_PATH];
    table_path(path, dir, t->id);
    t->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (t->fd < 0)
        return false;
    t->path = mem_strdup(path);
    t->bytes = table_map(t->fd);
    if (t->bytes) {
        memcpy(t->bytes, table_magic, sizeof table_magic);
        memcpy(t->bytes + sizeof table_magic, &t->id, sizeof t->id);
    }
    return t->bytes != NULL;
}

static void table_drop(struct position_table *t)
{
    if (!refs_drop(&t->refs))
        return;
    if (t->bytes)
        munmap(t->bytes, TABLE_BYTES);
    if (t->fd >= 0)
        close(t->fd);
    mem_free(t->path);
    mem_free(t);
}

struct position_table *position_table_new(void)
{
    struct position_table *t = mem_zalloc(sizeof *t);
    char dir[TABLE_PATH];
    bool created = false;
    refs_init(&t->refs);
    t->fd = -1;
    if (getrandom(&t->id, sizeof t->id, GRND_NONBLOCK) == sizeof t->id)
        for (size_t i = 0; table_dir(i, dir) && t->fd < 0; i++)
            created = is_memory_file_system(dir) && table_create(t, dir);
    if (created)
        return t;
    log_debug("queue", "no shared memory for the positions of queues; each request waits until the one before is recorded on "
              "disk", "dir", dir);
    position_table_delete(t);
    return NULL;
}

uint64_t position_table_id(const struct position_table *t) { return t->id; }

void position_table_delete(struct position_table *t)
{
    if (t == NULL)
        return;
    if (t->path)
        unlink(t->path);
    table_drop(t);
}

/* --- places ------------------------------------------------------------------------------------------------------- */

struct shared_position shared_position_begin(struct position_table *t, const char *path, struct file_identity file,
                                             uint64_t done)
{
    struct shared_position none = {0};
    if (t == NULL || strlen(path) >= sizeof ((struct position_slot *)NULL)->path)
        return none;
    for (size_t i = 0; i < TABLE_SLOTS; i++) {
        struct position_slot *s = table_slot(t, i);
        if (atomic_exchange(&s->used, 1) != 0)
            continue;
        s->device = file.device;
        s->inode = file.inode;
        snprintf(s->path, sizeof s->path, "%s", path);
        atomic_store(&s->done, done);
        refs_take(&t->refs);
        return (struct shared_position){t, s};
    }
    return none;
}

void shared_position_end(struct shared_position *p)
{
    if (p->slot == NULL)
        return;
    atomic_store(&p->slot->done, 0);
    atomic_store(&p->slot->used, 0);
    table_drop(p->table);
    *p = (struct shared_position){0};
}

void shared_position_moved(struct shared_position *p, struct file_identity file)
{
    if (p->slot == NULL)
        return;
    p->slot->device = file.device;
    p->slot->inode = file.inode;
}

/* --- after a crash ------------------------------------------------------------------------------------------------ */

/* A file of this name that is not ours, as other users may create in /dev/shm, is none. */
static bool table_is_ours(int fd, uint64_t id)
{
    uint8_t head[sizeof table_magic + sizeof id];
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0 &&
           pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, table_magic, sizeof table_magic) == 0 &&
           memcmp(head + sizeof table_magic, &id, sizeof id) == 0;
}

/* True if the shard's position file is the one that the slot was for, and was behind it. */
static bool slot_restore(const char *dir, const struct position_slot *s)
{
    char path[TABLE_PATH], file[TABLE_PATH + 16];
    struct position p;
    struct err err;
    uint64_t recorded, done = atomic_load(&s->done);
    struct file_identity known = {(dev_t)s->device, (ino_t)s->inode};
    if (atomic_load(&s->used) == 0 || done == 0 || memchr(s->path, 0, sizeof s->path) == NULL)
        return false;
    snprintf(path, sizeof path, "%.*s/%s", TABLE_PATH / 2, dir, s->path);
    snprintf(file, sizeof file, "%s/position", path);
    if (file_presence(file, known) != FILE_PRESENT || !position_open(&p, path, &recorded, &err))
        return false;
    bool ok = done > recorded && position_write(&p, done);
    if (done > recorded && !ok)
        log_warn("queue", "cannot write queue position; the last blocks are sent again", "dir", path, "err", strerror(errno));
    position_close(&p);
    return ok;
}

static void table_apply(int fd, const char *dir)
{
    uint64_t shards = 0;
    struct position_slot s;
    for (off_t at = TABLE_HEADER; pread(fd, &s, sizeof s, at) == sizeof s; at += (off_t)sizeof s)
        shards += slot_restore(dir, &s);
    if (shards > 0)
        log_info("queue", "the last positions of the previous run were in shared memory only; recorded them", "dir", dir,
                 LOG_U64("shards", shards));
}

void position_table_restore(const char *dir, uint64_t id)
{
    char in[TABLE_PATH], path[TABLE_PATH];
    for (size_t i = 0; table_dir(i, in); i++) {
        table_path(path, in, id);
        int fd = *in ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
        if (fd >= 0 && table_is_ours(fd, id)) {
            table_apply(fd, dir);
            unlink(path);
        }
        if (fd >= 0)
            close(fd);
    }
}
