// SPDX-License-Identifier: Apache-2.0
/* Reading a shard's segments. The reader keeps its current file open and its offset in it.
 *
 *   corrupted record     skipped, counted
 *   read error           retried once a second by the lane; after MAX_READ_ERRORS in a row the rest of the segment is
 *                        dropped and counted
 *   segment disappeared  queue_restore.c saves the segments that are still open and counts the rest as lost
 */
#include "writer/queue/queue_shard.h"

#include "base/telemetry/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { MAX_READ_ERRORS = 60 };

/* The segment that holds `from`, or the first one after it. NULL: none. */
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
    shard_close_fd(&s->read_fd);
    if (queue_locked_out(s->queue)) { /* the name may lead to a file of another process */
        errno = EBUSY;
        return false;
    }
    char path[SEGMENT_PATH];
    shard_segment_path(s, g, path);
    s->read_fd = open(path, O_RDONLY | O_CLOEXEC);
    s->read_name = g->name;
    s->read_at = 0;
    s->read_errors = 0;
    return s->read_fd >= 0;
}

/* The file has disappeared. False: it may still be restored later. */
static bool reader_restore(struct queue_shard *s, uint64_t name, uint64_t last, struct queue_read *r)
{
    struct restored lost = {0};
    if (!shard_files_restore(s, &lost))
        return false;
    const struct segment *g = segment_of(s, r->next);
    if (g == NULL || g->name != name)
        r->next = last + 1;
    if (lost.lost_blocks > 0)
        atomic_fetch_add(&queue_counters(s->queue)->bad_records, 1);
    shard_log_restored(s->dir, &lost);
    return true;
}

static bool read_error(struct queue_shard *s, const struct segment *g, struct queue_read *r)
{
    if (++s->read_errors < MAX_READ_ERRORS)
        return false;
    uint64_t blocks = g->last + 1 - r->next, samples = g->n_samples * blocks / g->n_blocks;
    log_error("queue", "cannot read queue segment; dropping the rest of it after 60 attempts", "dir", s->dir,
              LOG_U64("blocks", blocks), LOG_U64("samples", samples), "err", strerror(errno));
    shard_count_lost(s, blocks, samples, g->size - s->read_at);
    r->next = g->last + 1;
    return true;
}

/* Reads one record, or finishes one segment. False: the file cannot be opened or read now. */
static bool read_step(struct queue_shard *s, const struct segment *g, struct queue_read *r, size_t *bytes)
{
    struct record rec;
    struct block *b = NULL;
    uint64_t skipped = 0;
    if (!reader_open(s, g))
        return errno == ENOENT && reader_restore(s, g->name, g->last, r);
    enum segment_step step = shard_segment_next(s, g, s->read_fd, &s->read_at, &rec, &b, &skipped);
    if (skipped > 0)
        atomic_fetch_add(&queue_counters(s->queue)->bad_records, 1);
    if (step == SEGMENT_ERROR)
        return read_error(s, g, r);
    s->read_errors = 0;
    if (step == SEGMENT_END) {
        r->next = g->last + 1; /* the rest of the segment is corrupted */
    } else if (rec.seq < r->next) {
        block_unref(b);
    } else {
        r->items[r->n].block = b;
        r->items[r->n++].seq = rec.seq;
        r->next = rec.seq + 1;
        *bytes += b->n;
    }
    return true;
}

bool shard_files_read(struct queue_shard *s, struct queue_read *r)
{
    size_t bytes = 0;
    const struct segment *g;
    r->n = 0;
    r->next = r->from;
    r->failed = false;
    if (s->read_next != r->from) /* not the reader's position: start at the segment's beginning */
        shard_close_fd(&s->read_fd);
    while (!r->failed && r->n < LEN(r->items) && bytes < r->max_bytes && (g = segment_of(s, r->next)) != NULL)
        r->failed = !read_step(s, g, r, &bytes);
    if (r->failed)
        log_error("queue", "cannot read queue segment; retrying every 1s", "dir", s->dir, "err", strerror(errno));
    s->read_next = r->next;
    atomic_fetch_add(&queue_counters(s->queue)->bytes_read, bytes);
    return !r->failed && r->n < LEN(r->items) && bytes < r->max_bytes;
}

static bool walk_segment(struct queue_shard *s, const struct segment *g, queue_visit *visit, void *arg, unsigned index)
{
    char path[SEGMENT_PATH];
    shard_segment_path(s, g, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t at = 0, skipped = 0;
    struct record r;
    struct block *b;
    bool wanted = true;
    while (fd >= 0 && wanted && shard_segment_next(s, g, fd, &at, &r, &b, &skipped) == SEGMENT_RECORD) {
        wanted = visit(arg, index, b, r.seq);
        block_unref(b);
    }
    if (fd >= 0)
        close(fd);
    return wanted;
}

bool shard_files_walk(struct queue_shard *s, uint64_t max_bytes, queue_visit *visit, void *arg, unsigned index)
{
    size_t first = s->n;
    for (uint64_t bytes = 0; first > 0 && (bytes += s->segments[first - 1].size) <= max_bytes;)
        first--;
    bool wanted = true;
    for (size_t i = first; i < s->n && wanted; i++)
        wanted = walk_segment(s, &s->segments[i], visit, arg, index);
    return wanted;
}
