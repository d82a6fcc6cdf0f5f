// SPDX-License-Identifier: Apache-2.0
/* A shard's folder:
 *
 *   %016llx.seg   segments (segment.c), about 16 MiB each, less where the queue may hold little
 *   position      how far it is delivered (position.c)
 *
 * While the destination keeps up there is one small segment: as soon as everything in it is acknowledged and it has
 * grown past 1 MiB it is truncated and used again. Sequence numbers never go back.
 */
#include "writer/queue_shard.h"

#include "base/dir.h"
#include "base/log.h"
#include "base/num.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REUSE_BYTES = 1 << 20, PATH_BYTES = 4096 };

static void segment_path(const struct queue_shard *s, uint64_t name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%016llx.seg", s->dir, (unsigned long long)name);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    uint64_t x = ((const struct segment *)a)->name, y = ((const struct segment *)b)->name;
    return x < y ? -1 : x > y;
}

static struct segment *add_segment(struct queue_shard *s, uint64_t name)
{
    mem_grow(&s->segments, &s->_cap, s->n + 1, sizeof *s->segments);
    struct segment *g = &s->segments[s->n++];
    *g = (struct segment){.name = name};
    return g;
}

static void note_record(struct segment *g, uint64_t seq)
{
    if (g->n_blocks++ == 0)
        g->first = g->last = seq;
    else if (seq > g->last)
        g->last = seq;
}

static bool list_segments(struct queue_shard *s, struct err *err)
{
    DIR *d = dir_open(s->dir);
    if (d == NULL)
        return err_set(err, ERR_INTERNAL, "%s: cannot be read: %s", s->dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char exact[32];
        unsigned long long name = strtoull(e->d_name, NULL, 16);
        snprintf(exact, sizeof exact, "%016llx.seg", name);
        if (strcmp(e->d_name, exact) == 0)
            add_segment(s, name);
    }
    closedir(d);
    if (s->n > 1)
        qsort(s->segments, s->n, sizeof *s->segments, by_name);
    return true;
}

/* Something else has the name of a segment: a FIFO, a device, a directory, a dangling link. It is moved aside, or the
 * segment that gets this name later could not be created. */
static void set_aside(const char *path)
{
    char aside[PATH_BYTES + 16];
    snprintf(aside, sizeof aside, "%s.ignored", path);
    bool moved = rename(path, aside) == 0;
    log_warn("queue", moved ? "queue segment is not a regular file; renamed it and continuing without it"
                            : "queue segment is not a regular file and cannot be renamed; continuing without it",
             "file", path, "renamed", moved ? aside : NULL);
}

/* The descriptor of a segment to scan, -1 with err, or -2 when it is no regular file. Never waits for a FIFO's writer. */
static int open_segment(const char *path, struct stat *st, struct err *err)
{
    enum { NO_SEGMENT = -2 };
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
        return fd;
    int why = errno;
    bool regular = fd < 0 && why != ENOENT && why != ENXIO && why != ELOOP;
    if (fd >= 0)
        close(fd);
    if (!regular)
        return NO_SEGMENT;
    err_set(err, ERR_INTERNAL, "%s: cannot open queue segment: %s", path, strerror(why));
    return -1;
}

/* Walks the headers and reports corruption once, with the bytes that it cost. */
static bool scan_segment(struct queue_shard *s, struct segment *g, struct err *err)
{
    char path[PATH_BYTES];
    struct stat st;
    segment_path(s, g->name, path);
    int fd = open_segment(path, &st, err);
    if (fd < 0) {
        if (fd != -1)
            set_aside(path);
        return fd != -1;
    }
    g->size = (uint64_t)st.st_size;
    uint64_t at = 0, skipped = 0;
    struct record r;
    while (segment_next(fd, g->size, &at, &r, NULL, &skipped))
        note_record(g, r.seq);
    close(fd);
    g->damaged = skipped > 0;
    if (g->damaged) {
        char text[32];
        text[num_format_u64(text, skipped)] = 0;
        log_warn("queue", "corrupted records skipped in queue file", "file", path, "bytes", text);
    }
    return true;
}

static void remove_segment(struct queue_shard *s, size_t i)
{
    char path[PATH_BYTES];
    segment_path(s, s->segments[i].name, path);
    unlink(path);
    if (s->read_fd >= 0 && s->read_name == s->segments[i].name)
        close_fd(&s->read_fd); /* or its bytes would stay on the disk */
    memmove(&s->segments[i], &s->segments[i + 1], (s->n - i - 1) * sizeof *s->segments);
    s->n--;
}

static bool segment_done(const struct queue_shard *s, const struct segment *g)
{
    return g->n_blocks == 0 || g->last < s->acked;
}

bool shard_files_open(struct queue_shard *s, struct err *err)
{
    s->new_folder = mkdir(s->dir, 0750) == 0;
    if (!s->new_folder && errno != EEXIST)
        return err_set(err, ERR_INTERNAL, "%s: cannot be made: %s", s->dir, strerror(errno));
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
    for (size_t i = s->n; i-- > 0;) /* without a good record: its name may be the next one's */
        if (s->segments[i].n_blocks == 0)
            remove_segment(s, i);
    while (s->n > 0 && segment_done(s, &s->segments[0]))
        remove_segment(s, 0);
    if (s->n > 0 && s->segments[0].first > s->acked)
        s->acked = s->segments[0].first; /* older ones were dropped for room */
    return true;
}

void shard_files_close(struct queue_shard *s)
{
    close_fd(&s->fd);
    close_fd(&s->read_fd);
    position_close(&s->position);
    mem_free(s->segments);
    s->segments = NULL;
    s->n = s->_cap = 0;
}

bool shard_files_remove(struct queue_shard *s)
{
    while (s->n > 0)
        remove_segment(s, s->n - 1);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/position", s->dir);
    unlink(path);
    shard_files_close(s);
    s->dirty = false;
    return rmdir(s->dir) == 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* A file's name reaches the disk with its folder, and that one's with those above it: generation, destination, all
 * queues. */
static bool sync_names(struct queue_shard *s)
{
    enum { LEVELS = 4 };
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s", s->dir);
    for (int i = 0; i < (s->new_folder ? LEVELS : 1); i++) {
        if (!sync_dir(path))
            return false;
        n += snprintf(path + n, sizeof path - (size_t)n, "/..");
    }
    s->new_file = s->new_folder = false;
    return true;
}

/* After a failed fdatasync the pages count as clean: what they held is not tried again, but whoever asked is told. */
bool shard_files_sync(struct queue_shard *s)
{
    bool ok = s->fd < 0 || fdatasync(s->fd) == 0;
    s->dirty = false;
    return ok && (!s->new_file || sync_names(s));
}

/* The segment to append to: the last one, or a new one behind it. */
static bool open_last(struct queue_shard *s, uint64_t seq)
{
    struct segment *g = s->n ? &s->segments[s->n - 1] : NULL;
    if (g && (g->damaged || g->size >= queue_segment_bytes(s->queue))) {
        if (s->dirty && !shard_files_sync(s))
            return false;
        close_fd(&s->fd);
        g = NULL;
    }
    if (s->fd >= 0)
        return true;
    char path[PATH_BYTES];
    segment_path(s, g ? g->name : seq, path);
    s->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (s->fd < 0)
        return false;
    if (g == NULL) {
        add_segment(s, seq);
        s->new_file = true;
    }
    return true;
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
        if (n > 0 && ftruncate(s->fd, (off_t)g->size) != 0) /* half a record: the next write goes over it anyway */
            saved = errno;
        errno = saved;
        return false;
    }
    g->size += (uint64_t)want;
    note_record(g, seq);
    s->next = seq + 1;
    s->dirty = true;
    return true;
}

static void reuse_last(struct queue_shard *s)
{
    struct segment *g = &s->segments[0];
    if (s->n != 1 || g->size < REUSE_BYTES || !segment_done(s, g) || s->fd < 0 || ftruncate(s->fd, 0) != 0)
        return;
    g->size = 0;
    g->n_blocks = 0;
    s->dirty = false;
    close_fd(&s->read_fd);
}

void shard_files_ack(struct queue_shard *s, uint64_t next)
{
    if (next <= s->acked)
        return;
    s->acked = next;
    if (!position_write(&s->position, next))
        log_warn("queue", "the position of a queue could not be written; blocks may be sent twice after a restart",
                 "dir", s->dir, "err", strerror(errno));
    while (s->n > 1 && segment_done(s, &s->segments[0]))
        remove_segment(s, 0);
    if (s->n == 1)
        reuse_last(s);
}

uint64_t shard_files_bytes(const struct queue_shard *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!segment_done(s, &s->segments[i]))
            n += s->segments[i].size;
    return n;
}

uint64_t shard_files_drop_oldest(struct queue_shard *s)
{
    if (s->n < 2)
        return 0;
    char path[PATH_BYTES];
    segment_path(s, s->segments[0].name, path);
    uint64_t bytes = s->segments[0].size, at = 0, skipped = 0, blocks = 0, samples = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct record r;
    while (fd >= 0 && segment_next(fd, bytes, &at, &r, NULL, &skipped))
        if (r.seq >= s->acked && r.seq >= s->read_next) {
            blocks++;
            samples += r.n_samples;
        }
    if (fd >= 0)
        close(fd);
    struct queue_stats *stats = queue_counters(s->queue);
    atomic_fetch_add(&stats->blocks_dropped, blocks);
    atomic_fetch_add(&stats->samples_dropped, samples);
    remove_segment(s, 0);
    return bytes;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The segment in which `from` is, or the first one behind it. NULL: nothing there. */
static struct segment *segment_of(struct queue_shard *s, uint64_t from)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->segments[i].n_blocks > 0 && s->segments[i].last >= from)
            return &s->segments[i];
    return NULL;
}

static bool reader_open(struct queue_shard *s, const struct segment *g)
{
    if (s->read_fd >= 0 && s->read_name == g->name)
        return true;
    close_fd(&s->read_fd);
    char path[PATH_BYTES];
    segment_path(s, g->name, path);
    s->read_fd = open(path, O_RDONLY | O_CLOEXEC);
    s->read_name = g->name;
    s->read_at = 0;
    return s->read_fd >= 0;
}

/* One record more, or one segment less. False: the file cannot be opened just now. */
static bool read_step(struct queue_shard *s, const struct segment *g, struct queue_read *r, size_t *bytes)
{
    struct record rec;
    struct block *b = NULL;
    uint64_t skipped = 0;
    if (!reader_open(s, g)) {
        if (errno != ENOENT)
            return false;
        skipped = g->size; /* somebody removed it */
        r->next = g->last + 1;
    } else if (!segment_next(s->read_fd, g->size, &s->read_at, &rec, &b, &skipped)) {
        r->next = g->last + 1; /* the rest of this segment is damaged */
    } else if (rec.seq < r->next) {
        block_unref(b);
    } else {
        r->items[r->n].block = b;
        r->items[r->n++].seq = rec.seq;
        r->next = rec.seq + 1;
        *bytes += b->n;
    }
    if (skipped > 0)
        atomic_fetch_add(&queue_counters(s->queue)->bad_records, 1);
    return true;
}

void shard_files_read(struct queue_shard *s, struct queue_read *r)
{
    size_t bytes = 0;
    const struct segment *g;
    r->n = 0;
    r->next = r->from;
    r->failed = false;
    if (s->read_next != r->from) /* not where the reader stands: from the segment's beginning */
        close_fd(&s->read_fd);
    while (!r->failed && r->n < LEN(r->items) && bytes < r->max_bytes && (g = segment_of(s, r->next)) != NULL)
        r->failed = !read_step(s, g, r, &bytes);
    if (r->failed)
        log_error("queue", "a queue file cannot be opened; it is tried again", "dir", s->dir, "err", strerror(errno));
    s->read_next = r->next;
    atomic_fetch_add(&queue_counters(s->queue)->bytes_read, bytes);
}

static void walk_segment(struct queue_shard *s, const struct segment *g, queue_visit *visit, void *arg, unsigned index)
{
    char path[PATH_BYTES];
    segment_path(s, g->name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t at = 0, skipped = 0;
    struct record r;
    struct block *b;
    while (fd >= 0 && segment_next(fd, g->size, &at, &r, &b, &skipped)) {
        visit(arg, index, b);
        block_unref(b);
    }
    if (fd >= 0)
        close(fd);
}

void shard_files_walk(struct queue_shard *s, uint64_t max_bytes, queue_visit *visit, void *arg, unsigned index)
{
    size_t first = s->n;
    for (uint64_t bytes = 0; first > 0 && (bytes += s->segments[first - 1].size) <= max_bytes;)
        first--;
    for (size_t i = first; i < s->n; i++)
        walk_segment(s, &s->segments[i], visit, arg, index);
}
