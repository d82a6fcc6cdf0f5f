// SPDX-License-Identifier: Apache-2.0
/* Restores a queue directory that was deleted while in use.
 *
 * Deleted files keep their contents while they are open: the segment being written, and the one being read. So
 * 1. the directories are created again,
 * 2. each open segment is copied to a new file,
 * 3. blocks in other segments are counted as lost, unless they are in the lane's memory,
 * 4. the position is created last: while it is missing, the next check runs all steps again.
 */
#include "writer/queue/queue_unwritten.h"

#include "base/os/dir.h"
#include "base/telemetry/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Once a second for each shard. */
bool shard_files_missing(const struct queue_shard *s)
{
    char path[SEGMENT_PATH];
    snprintf(path, sizeof path, "%s/position", s->dir);
    if (s->position.fd < 0)
        return false;
    if (file_presence(path, s->position.file) == FILE_ABSENT)
        return true;
    if (s->fd < 0 || s->n == 0)
        return false;
    shard_segment_path(s, &s->segments[s->n - 1], path);
    return file_presence(path, s->file) == FILE_ABSENT;
}

static bool copy_bytes(int from, int to, uint64_t size)
{
    enum { CHUNK = 64 << 10 };
    uint8_t *chunk = mem_alloc(CHUNK);
    bool ok = true;
    for (uint64_t at = 0; at < size && ok;) {
        ssize_t n = pread(from, chunk, size - at < CHUNK ? size - at : CHUNK, (off_t)at);
        ok = n > 0 && pwrite(to, chunk, (size_t)n, (off_t)at) == n;
        if (!ok && n >= 0)
            errno = n == 0 ? EIO : ENOSPC;
        at += ok ? (uint64_t)n : 0;
    }
    mem_free(chunk);
    return ok;
}

/* Copies a deleted segment from its descriptor, which is then replaced by the copy's. */
static bool restore_segment(struct queue_shard *s, const struct segment *g, int *fd, struct restored *r)
{
    char path[SEGMENT_PATH];
    shard_segment_path(s, g, path);
    int copy = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (copy < 0 || !copy_bytes(*fd, copy, g->size)) {
        int error = errno;
        if (copy >= 0)
            close(copy);
        unlink(path);
        errno = error;
        return false;
    }
    if (fd == &s->fd && s->read_name == g->name)
        shard_close_fd(&s->read_fd); /* the deleted file does not grow any more */
    close(*fd);
    *fd = copy;
    if (fd == &s->fd)
        s->file = file_identity_of(copy);
    r->kept_bytes += g->size;
    s->dirty = s->new_file = s->new_dir = true;
    return true;
}

/* The blocks of a segment from `from` on, estimated without reading it. */
static struct block_sum segment_rest(const struct segment *g, uint64_t from)
{
    if (g->n_blocks == 0 || g->last < from)
        return (struct block_sum){0};
    uint64_t all = g->last - g->first + 1, rest = from > g->first ? g->last - from + 1 : all;
    return (struct block_sum){g->n_blocks * rest / all, g->n_samples * rest / all, g->size * rest / all};
}

void shard_files_add_undelivered(const struct queue_shard *s, struct block_sum *sum)
{
    for (size_t i = 0; i < s->n; i++) {
        struct block_sum rest = segment_rest(&s->segments[i], s->acked);
        sum->blocks += rest.blocks;
        sum->samples += rest.samples;
        sum->bytes += rest.bytes;
    }
}

/* Blocks before `held` are in the lane's memory and not lost. */
void shard_forget_segment(struct queue_shard *s, size_t i, struct restored *r)
{
    uint64_t held = atomic_load(&s->held);
    struct block_sum lost = segment_rest(&s->segments[i], held > s->acked ? held : s->acked);
    shard_count_lost(s, lost.blocks, lost.samples, lost.bytes);
    r->lost_blocks += lost.blocks;
    r->lost_samples += lost.samples;
    shard_remove_segment(s, i);
}

static bool restore_segments(struct queue_shard *s, struct restored *r)
{
    for (size_t i = s->n; i-- > 0;) {
        struct segment *g = &s->segments[i];
        int *fd = i + 1 == s->n && s->fd >= 0 ? &s->fd : s->read_fd >= 0 && s->read_name == g->name ? &s->read_fd
            : NULL;
        char path[SEGMENT_PATH];
        struct stat st;
        enum file_presence open_one = FILE_PRESENT;
        shard_segment_path(s, g, path);
        bool exists = fd == NULL && stat(path, &st) == 0;
        if (fd)
            open_one = file_presence(path, file_identity_of(*fd));
        if (open_one == FILE_UNCERTAIN || (fd == NULL && !exists && errno != ENOENT && errno != ENOTDIR))
            return false;
        if (open_one == FILE_ABSENT && !restore_segment(s, g, fd, r))
            return false;
        if (fd == NULL && !exists)
            shard_forget_segment(s, i, r);
    }
    return true;
}

bool shard_files_restore(struct queue_shard *s, struct restored *r)
{
    char path[SEGMENT_PATH];
    if (!queue_dir_usable(s->queue) || !dir_create_with_parents(s->dir) || !restore_segments(s, r))
        return false;
    snprintf(path, sizeof path, "%s/position", s->dir);
    if (s->position.fd < 0 || file_presence(path, s->position.file) != FILE_ABSENT)
        return true;
    struct position created;
    struct err err;
    uint64_t done;
    unlink(path); /* a file that another program put exists may be ahead */
    if (!position_open(&created, s->dir, &done, &err))
        return false;
    position_close(&s->position);
    s->position = created;
    shared_position_moved(&s->shared, created.file);
    s->position_stale = true;
    r->shards++;
    return shard_files_write_position(s);
}

void shard_log_restored(const char *dir, const struct restored *r)
{
    if (r->shards > 0 || r->kept_bytes > 0 || r->lost_blocks > 0)
        log_error("queue", "queue files were deleted while in use; created them again from open files, and dropped "
                  "the blocks of the other files", "dir", dir, LOG_U64("kept_bytes", r->kept_bytes),
                  LOG_U64("dropped_blocks", r->lost_blocks), LOG_U64("dropped_samples", r->lost_samples));
}
