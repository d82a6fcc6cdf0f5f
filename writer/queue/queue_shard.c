// SPDX-License-Identifier: Apache-2.0
/* The directory of a shard:
 *
 *   %016llx.seg   segments (segment.c) of about 16 MiB each, smaller when the queue's limit is small
 *   %016llx.vmq   chunk files of vmagent, adopted by vmagent_queue.c; read like segments
 *   position      sequence number of the first undelivered block (position.c)
 *
 * While the destination keeps up there is one small segment: when all of it is acknowledged and it exceeds 1 MiB, it is
 * truncated and reused. Sequence numbers never decrease.
 */
#include "writer/queue/queue_shard.h"

#include "writer/queue/queue_sync.h"
#include "writer/queue/vmagent_chunk.h"
#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_BYTES = SEGMENT_PATH };

void shard_segment_path(const struct queue_shard *s, const struct segment *g, char path[SEGMENT_PATH])
{
    snprintf(path, SEGMENT_PATH, "%s/%016llx.%s", s->dir, (unsigned long long)g->name, g->foreign ? "vmq" : "seg");
}

enum segment_step shard_segment_next(struct queue_shard *s, const struct segment *g, int fd, uint64_t *at,
                                     struct record *r, struct block **body, uint64_t *skipped)
{
    if (!g->foreign)
        return segment_next(fd, g->size, at, r, body, skipped);
    const struct vmagent_chunk chunk = {fd, g->name, g->size};
    return vmagent_chunk_next(&chunk, &s->packer, at, r, body, skipped);
}

void shard_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int segment_compare_names(const void *a, const void *b)
{
    uint64_t x = ((const struct segment *)a)->name, y = ((const struct segment *)b)->name;
    return x < y ? -1 : x > y;
}

static void add_segment(struct queue_shard *s, uint64_t name, bool foreign)
{
    mem_grow(&s->segments, &s->_cap, s->n + 1, sizeof *s->segments);
    s->segments[s->n++] = (struct segment){.name = name, .foreign = foreign};
}

static void note_record(struct segment *g, uint64_t seq, uint32_t n_samples, int64_t t_max)
{
    if (g->n_blocks++ == 0) {
        g->first = g->last = seq;
        g->t_max = t_max;
    } else if (seq > g->last) {
        g->last = seq;
    }
    g->n_samples += n_samples;
    if (t_max > g->t_max)
        g->t_max = t_max;
}

static void note_undelivered(struct queue_backlog *b, const struct record *r)
{
    b->blocks++;
    if (r->n_samples > 0 && (b->oldest == 0 || r->t_min < b->oldest)) /* others have no times */
        b->oldest = r->t_min;
    b->samples += r->n_samples;
    b->bytes += r->n + r->header;
}

static bool list_segments(struct queue_shard *s, struct err *err)
{
    DIR *d = dir_open(s->dir);
    if (d == NULL)
        return err_set(err, ERR_INTERNAL, "cannot read %s: %s", s->dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char seg[32], vmq[32];
        unsigned long long name = strtoull(e->d_name, NULL, 16);
        snprintf(seg, sizeof seg, "%016llx.seg", name);
        snprintf(vmq, sizeof vmq, "%016llx.vmq", name);
        if (strcmp(e->d_name, seg) == 0 || strcmp(e->d_name, vmq) == 0)
            add_segment(s, name, strcmp(e->d_name, vmq) == 0);
    }
    closedir(d);
    if (s->n > 1)
        qsort(s->segments, s->n, sizeof *s->segments, segment_compare_names);
    return true;
}

/* A FIFO, device, directory or dangling link has the name of a segment. It is renamed: otherwise creating the segment
 * that gets this name later would fail. */
static void segment_rename_aside(const char *path)
{
    char aside[PATH_BYTES + 16];
    snprintf(aside, sizeof aside, "%s.ignored", path);
    bool moved = rename(path, aside) == 0;
    log_warn("queue", moved ? "queue segment is not a regular file; renamed it and continuing without it"
                            : "queue segment is not a regular file and cannot be renamed; continuing without it",
             "file", path, "renamed", moved ? aside : NULL);
}

/* The descriptor of a segment to scan, -1 with err, or -2 when it is not a regular file. Never blocks on a FIFO. */
static int open_segment(const char *path, struct stat *st, struct err *err)
{
    enum { NO_SEGMENT = -2 };
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
        return fd;
    int error = errno;
    bool regular = fd < 0 && error != ENOENT && error != ENXIO && error != ELOOP;
    if (fd >= 0)
        close(fd);
    if (!regular)
        return NO_SEGMENT;
    err_set(err, ERR_INTERNAL, "cannot open queue segment %s: %s", path, strerror(error));
    return -1;
}

/* Reads all record headers; logs corruption once, with the number of bytes skipped. */
static bool scan_segment(struct queue_shard *s, struct segment *g, struct err *err)
{
    char path[PATH_BYTES];
    struct stat st;
    shard_segment_path(s, g, path);
    int fd = open_segment(path, &st, err);
    if (fd < 0) {
        if (fd != -1)
            segment_rename_aside(path);
        return fd != -1;
    }
    g->size = (uint64_t)st.st_size;
    uint64_t at = 0, skipped = 0;
    struct record r;
    while (!queue_interrupted(s->queue) &&
           shard_segment_next(s, g, fd, &at, &r, NULL, &skipped) == SEGMENT_RECORD) {
        note_record(g, r.seq, r.n_samples, r.t_max);
        if (r.seq < s->acked)
            continue;
        note_undelivered(&s->backlog, &r);
        if (r.joint_lanes > 0 && r.seq >= s->joint_end)
            s->joint_end = r.seq + 1;
    }
    close(fd);
    if (queue_interrupted(s->queue))
        return err_set(err, ERR_CANCELED, "%s: interrupted while reading the queue directory", s->dir);
    g->corrupted = skipped > 0;
    if (g->foreign && g->n_blocks > 0) /* its lengths have no checksum: the reader may find a record that this has not */
        g->last = g->name + g->size - 1;
    if (g->corrupted)
        log_warn("queue", "corrupted records skipped in queue file", "file", path, LOG_U64("bytes", skipped));
    return true;
}

void shard_remove_segment(struct queue_shard *s, size_t i)
{
    char path[PATH_BYTES];
    shard_segment_path(s, &s->segments[i], path);
    if (!queue_locked_out(s->queue)) /* otherwise the name leads to a file of another process */
        unlink(path);
    if (i + 1 == s->n)
        shard_close_fd(&s->fd);
    if (s->read_fd >= 0 && s->read_name == s->segments[i].name)
        shard_close_fd(&s->read_fd); /* otherwise its bytes would still occupy the disk */
    memmove(&s->segments[i], &s->segments[i + 1], (s->n - i - 1) * sizeof *s->segments);
    s->n--;
}

bool shard_segment_done(const struct queue_shard *s, const struct segment *g)
{
    return g->n_blocks == 0 || g->last < s->acked;
}

bool shard_files_open(struct queue_shard *s, struct err *err)
{
    s->new_dir = mkdir(s->dir, 0750) == 0;
    if (!s->new_dir && errno != EEXIST)
        return err_set(err, ERR_INTERNAL, "cannot create %s: %s", s->dir, strerror(errno));
    if (!position_open(&s->position, s->dir, &s->acked, err) || !list_segments(s, err))
        return false;
    s->next = s->acked;
    for (size_t i = 0; i < s->n; i++) {
        struct segment *g = &s->segments[i];
        if (!scan_segment(s, g, err))
            return false;
        if (g->n_blocks > 0 && g->last + 1 > s->next)
            s->next = g->last + 1;
    }
    for (size_t i = s->n; i-- > 0;) /* a segment without a valid record: its name may be needed for the next one */
        if (s->segments[i].n_blocks == 0)
            shard_remove_segment(s, i);
    while (s->n > 0 && shard_segment_done(s, &s->segments[0]))
        shard_remove_segment(s, 0);
    if (s->n > 0 && s->segments[0].first > s->acked)
        s->acked = s->segments[0].first; /* older blocks were dropped for lack of space */
    return true;
}

void shard_share_position(struct queue_shard *s, const struct queue_lock *lock)
{
    const char *path = lock ? queue_lock_relative(lock, s->dir) : NULL;
    if (path)
        s->shared = shared_position_begin(queue_lock_positions(lock), path, s->position.file, s->acked);
}

void shard_files_close(struct queue_shard *s)
{
    shard_close_fd(&s->fd);
    shard_close_fd(&s->read_fd);
    position_close(&s->position);
    packer_free(&s->packer);
    packer_init(&s->packer);
    mem_free(s->segments);
    s->segments = NULL;
    s->n = s->_cap = 0;
}

bool shard_files_remove(struct queue_shard *s)
{
    while (s->n > 0)
        shard_remove_segment(s, s->n - 1);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/position", s->dir);
    unlink(path);
    shard_files_close(s);
    s->dirty = false;
    return rmdir(s->dir) == 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

unsigned shard_new_names(const struct queue_shard *s)
{
    enum { LEVELS = 4 }; /* a new directory needs its parents synced too: generation, destination, queue directory */
    return !s->new_file ? 0 : s->new_dir ? LEVELS : 1;
}

/* After a failed fdatasync the kernel marks the pages clean: a retry would not write them. The failure is reported. */
bool shard_files_sync(struct queue_shard *s)
{
    int64_t begin = clock_mono_ns();
    bool ok = s->fd < 0 || fdatasync(s->fd) == 0;
    if (s->fd >= 0) {
        atomic_fetch_add(&queue_counters(s->queue)->syncs, 1);
        atomic_fetch_add(&queue_counters(s->queue)->sync_ns, (unsigned long long)(clock_mono_ns() - begin));
    }
    s->dirty = false;
    if (!ok || !queue_sync_names(s->dir, shard_new_names(s)))
        return false;
    s->new_file = s->new_dir = false;
    return true;
}

/* Opens the segment to append to: the last one, or a new one after it. */
static bool open_last(struct queue_shard *s, uint64_t seq)
{
    struct segment *g = s->n ? &s->segments[s->n - 1] : NULL;
    if (g && (g->corrupted || g->foreign || g->size >= queue_segment_bytes(s->queue))) {
        if (s->dirty && !shard_files_sync(s))
            return false;
        shard_close_fd(&s->fd);
        g = NULL;
    }
    if (s->fd >= 0)
        return true;
    char path[PATH_BYTES];
    shard_segment_path(s, g ? g : &(struct segment){.name = seq}, path);
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640); /* readable, for queue_restore.c when it is deleted */
    if (s->fd < 0)
        return false;
    s->file = file_identity_of(s->fd);
    if (g == NULL) {
        add_segment(s, seq, false);
        s->new_file = true;
    }
    return true;
}

bool shard_files_lost(const struct queue_shard *s, uint64_t seq)
{
    return seq >= s->acked && seq < s->next && (s->n == 0 || s->segments[0].n_blocks == 0 ||
                                                seq < s->segments[0].first);
}

bool shard_files_append(struct queue_shard *s, const struct block *b, uint64_t seq)
{
    if (seq < s->next)
        return true;
    if (!open_last(s, seq))
        return false;
    struct segment *g = &s->segments[s->n - 1];
    uint8_t head[RECORD_HEADER];
    record_encode(head, b, seq);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)(uintptr_t)b->bytes, b->n}};
    ssize_t want = (ssize_t)(sizeof head + b->n), n = pwritev(s->fd, parts, 2, (off_t)g->size);
    if (n != want) {
        int saved = n < 0 ? errno : ENOSPC;
        /* half a record; the next write overwrites it in any case */
        if (n > 0 && ftruncate(s->fd, (off_t)g->size) != 0)
            saved = errno;
        errno = saved;
        return false;
    }
    g->size += (uint64_t)want;
    note_record(g, seq, b->n_samples, b->t_max);
    s->next = seq + 1;
    s->dirty = true;
    return true;
}

/* Truncates the only segment when all of it is delivered and it has at least min_bytes. A segment that was not written
 * to since the start is not open: it is deleted. */
static void reuse_last(struct queue_shard *s, uint64_t min_bytes)
{
    struct segment *g = &s->segments[0];
    if (s->n != 1 || g->size == 0 || g->size < min_bytes || !shard_segment_done(s, g))
        return;
    if (s->fd < 0) {
        shard_remove_segment(s, 0);
        return;
    }
    if (ftruncate(s->fd, 0) != 0)
        return;
    *g = (struct segment){.name = g->name};
    s->dirty = false;
    shard_close_fd(&s->read_fd);
}

void shard_files_free_delivered(struct queue_shard *s, uint64_t min_bytes)
{
    while (s->n > 1 && shard_segment_done(s, &s->segments[0]))
        shard_remove_segment(s, 0);
    if (s->n == 1)
        reuse_last(s, min_bytes);
}

bool shard_files_write_position(struct queue_shard *s)
{
    if (!s->position_stale)
        return true;
    s->position_stale = s->position.fd >= 0 && !position_write(&s->position, s->acked);
    return !s->position_stale;
}

void shard_files_ack(struct queue_shard *s, uint64_t next)
{
    if (next <= s->acked)
        return;
    s->position_stale |= s->acked < s->next || s->acked == 0; /* others were never written */
    s->acked = next;
    if (!shard_files_write_position(s))
        log_warn("queue", "cannot write queue position; retrying every 1s, and delivered blocks are sent again after a "
                 "restart until then", "dir", s->dir, "err", strerror(errno));
    shard_files_free_delivered(s, queue_reuse_bytes(s->queue)); /* also when the position could not be written */
}

uint64_t shard_files_bytes(const struct queue_shard *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!shard_segment_done(s, &s->segments[i]))
            n += s->segments[i].size;
    return n;
}

void shard_count_lost(struct queue_shard *s, uint64_t blocks, uint64_t samples, uint64_t bytes)
{
    struct queue_stats *stats = queue_counters(s->queue);
    atomic_fetch_add(&stats->blocks_dropped, blocks);
    atomic_fetch_add(&stats->samples_dropped, samples);
    atomic_fetch_add(&stats->bytes_dropped, bytes);
}

void shard_files_drop_oldest(struct queue_shard *s)
{
    char path[PATH_BYTES];
    shard_segment_path(s, &s->segments[0], path);
    const struct segment *g = &s->segments[0];
    uint64_t at = 0, skipped = 0, blocks = 0, samples = 0, bytes = 0;
    uint64_t held = atomic_load(&s->held);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct block *contents = NULL; /* of a foreign segment, whose headers do not say how many samples there are */
    struct record r;
    if (fd < 0) { /* deleted, or too many files are open: counted from memory */
        struct restored lost = {0};
        shard_forget_segment(s, 0, &lost);
        shard_log_restored(s->dir, &lost);
        return;
    }
    while (shard_segment_next(s, g, fd, &at, &r, g->foreign ? &contents : NULL, &skipped) == SEGMENT_RECORD) {
        block_unref(contents);
        if (r.seq < s->acked || r.seq < held) /* earlier ones are in the lane's memory */
            continue;
        blocks++;
        samples += r.n_samples;
        bytes += r.n;
    }
    close(fd);
    shard_count_lost(s, blocks, samples, bytes);
    shard_remove_segment(s, 0);
}
