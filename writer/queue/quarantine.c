// SPDX-License-Identifier: Apache-2.0
#include "writer/queue/quarantine.h"

#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "writer/queue/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { QUARANTINE_SEGMENTS = 4 /* the limit is this many segments */, QUARANTINE_PENDING_MAX = 8 << 20,
       QUARANTINE_PATH = 4096 };
#define QUARANTINE_SHARD "g0001-s01/00"

/* ---- what there is ---- */

struct quarantine_segment { uint64_t first, size; };
struct quarantine_list { struct quarantine_segment *items; size_t n, _cap; uint64_t bytes; };

static int quarantine_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct quarantine_segment *)a)->first, y = ((const struct quarantine_segment *)b)->first;
    return x < y ? -1 : x > y;
}

static void quarantine_path(const struct quarantine *z, uint64_t first, char path[QUARANTINE_PATH])
{
    snprintf(path, QUARANTINE_PATH, "%s/" QUARANTINE_SHARD "/%016llx.seg", z->dir, (unsigned long long)first);
}

static void quarantine_list_segments(const struct quarantine *z, struct quarantine_list *list)
{
    char path[QUARANTINE_PATH];
    struct stat st;
    snprintf(path, sizeof path, "%s/" QUARANTINE_SHARD, z->dir);
    DIR *d = dir_open(path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char exact[32], *end;
        unsigned long long first = strtoull(e->d_name, &end, 16);
        snprintf(exact, sizeof exact, "%016llx.seg", first);
        if (strcmp(e->d_name, exact) != 0 || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        mem_grow(&list->items, &list->_cap, list->n + 1, sizeof *list->items);
        list->items[list->n++] = (struct quarantine_segment){first, (uint64_t)st.st_size};
        list->bytes += (uint64_t)st.st_size;
    }
    if (d)
        closedir(d);
    if (list->n > 1)
        qsort(list->items, list->n, sizeof *list->items, quarantine_compare);
}

/* Counts the records of a segment; next: after the last one. */
struct quarantine_count { uint64_t blocks, samples, next, skipped; };
static void quarantine_count_segment(const struct quarantine *z, const struct quarantine_segment *s,
                                     struct quarantine_count *count)
{
    char path[QUARANTINE_PATH];
    struct record r;
    uint64_t at = 0;
    quarantine_path(z, s->first, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && segment_next(fd, s->size, &at, &r, NULL, &count->skipped) == SEGMENT_RECORD) {
        count->blocks++;
        count->samples += r.n_samples;
        count->next = r.seq + 1;
    }
    if (fd >= 0)
        close(fd);
}

void quarantine_open(struct quarantine *z)
{
    struct quarantine_list list = {0};
    struct quarantine_count count = {0};
    quarantine_list_segments(z, &list);
    for (size_t i = 0; i < list.n; i++)
        quarantine_count_segment(z, &list.items[i], &count);
    atomic_store(&z->bytes, list.bytes);
    if (count.blocks > 0)
        log_warn("queue", "quarantine has rejected samples; send or delete them with sluice queue", "dir", z->dir,
                 LOG_U64("blocks", count.blocks), LOG_U64("samples", count.samples), LOG_U64("bytes", list.bytes));
    mem_free(list.items);
}

void quarantine_check(struct quarantine *z)
{
    struct quarantine_list list = {0};
    if (atomic_load(&z->bytes) == 0)
        return;
    quarantine_list_segments(z, &list);
    atomic_store(&z->bytes, list.bytes);
    mem_free(list.items);
}

/* ---- writing, on the io thread ---- */

static void quarantine_delete_oldest(struct quarantine *z, struct quarantine_list *list)
{
    char path[QUARANTINE_PATH];
    struct quarantine_count count = {0};
    quarantine_count_segment(z, &list->items[0], &count);
    quarantine_path(z, list->items[0].first, path);
    if (unlink(path) == 0)
        atomic_fetch_add(&z->samples_lost, count.samples);
    list->bytes -= list->items[0].size;
    memmove(list->items, list->items + 1, --list->n * sizeof *list->items);
}

/* Appends a record to the file, or leaves it as it was. False with errno. */
static bool quarantine_append(const char *path, uint64_t size, const struct block *b, uint64_t seq)
{
    uint8_t head[RECORD_HEADER];
    record_encode(head, b, seq);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return false;
    struct iovec parts[2] = {{head, sizeof head}, {(void *)(uintptr_t)b->bytes, b->n}};
    ssize_t n = writev(fd, parts, 2);
    bool ok = n == (ssize_t)(sizeof head + b->n) && fdatasync(fd) == 0;
    int why = n >= 0 && !ok ? ENOSPC : errno;
    if (!ok && ftruncate(fd, (off_t)size) != 0)
        why = errno; /* what follows the torn record is found by its magic */
    close(fd);
    errno = why;
    return ok;
}

static bool quarantine_write(struct quarantine *z, const struct block *b, struct quarantine_list *list)
{
    char path[QUARANTINE_PATH];
    uint64_t max = atomic_load(&z->max_bytes), need = RECORD_HEADER + b->n;
    struct quarantine_count last = {.next = 1};
    if (need > max)
        return errno = EFBIG, false;
    if (list->n > 0)
        quarantine_count_segment(z, &list->items[list->n - 1], &last);
    while (list->n > 0 && list->bytes + need > max)
        quarantine_delete_oldest(z, list);
    snprintf(path, sizeof path, "%s/" QUARANTINE_SHARD, z->dir);
    if (!dir_create_with_parents(path))
        return false;
    const struct quarantine_segment *open_segment = list->n > 0 ? &list->items[list->n - 1] : NULL;
    bool fits = open_segment && last.skipped == 0 && open_segment->size + need <= max / QUARANTINE_SEGMENTS;
    quarantine_path(z, fits ? open_segment->first : last.next, path);
    if (!quarantine_append(path, fits ? open_segment->size : 0, b, last.next))
        return false;
    list->bytes += need;
    return true;
}

struct quarantine_job { struct loop_task task; struct quarantine *quarantine; struct block *block; };

static void quarantine_run(struct loop_task *task)
{
    struct quarantine_job *j = CONTAINER(task, struct quarantine_job, task);
    struct quarantine *z = j->quarantine;
    struct quarantine_list list = {0};
    quarantine_list_segments(z, &list);
    if (quarantine_write(z, j->block, &list)) {
        atomic_fetch_add(&z->blocks_kept, 1);
        atomic_fetch_add(&z->samples_kept, j->block->n_samples);
    } else {
        atomic_fetch_add(&z->samples_lost, j->block->n_samples);
        log_error("queue", "cannot write rejected samples to the quarantine; they are lost", "dir", z->dir,
                  LOG_U64("samples", j->block->n_samples), "err", strerror(errno));
    }
    atomic_store(&z->bytes, list.bytes);
    atomic_fetch_sub(&z->pending, j->block->n);
    block_unref(j->block);
    mem_free(list.items);
    mem_free(j);
}

bool quarantine_add(struct quarantine *z, struct block *b)
{
    if (atomic_load(&z->max_bytes) == 0)
        return false;
    if (atomic_fetch_add(&z->pending, b->n) + b->n > QUARANTINE_PENDING_MAX) { /* the disk does not respond */
        atomic_fetch_sub(&z->pending, b->n);
        atomic_fetch_add(&z->samples_lost, b->n_samples);
        return false;
    }
    struct quarantine_job *j = mem_alloc(sizeof *j);
    *j = (struct quarantine_job){{.run = quarantine_run}, z, block_ref(b)};
    loop_post(z->io, &j->task);
    return true;
}

/* ---- life ---- */

void quarantine_init(struct quarantine *z, const char *queue_dir, struct loop *io)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s" QUARANTINE_SUFFIX, queue_dir);
    z->dir = mem_strdup(buf_z(&dir));
    z->io = io;
    buf_free(&dir);
}

void quarantine_free(struct quarantine *z) { mem_free(z->dir); }
