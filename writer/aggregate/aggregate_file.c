// SPDX-License-Identifier: Apache-2.0
#include "writer/aggregate/aggregate_file.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/os/file_call.h"
#include "base/os/file_work.h"
#include "base/os/thread.h"
#include "base/refs.h"
#include "base/telemetry/log.h"
#include "base/write_all.h"
#include "writer/aggregate/aggregate.h"
#include "writer/queue/queue_sync.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_HANGS_MS = 10000, READ_MS = 5000, FILE_FULL = 4 << 20, FILE_POLL_NS = 2000000 };
static const size_t largest_left = (size_t)4 << 30; /* of valid frames */

/* suffix NULL: the directory. */
static char *aggregate_path(const char *suffix, const char *dir, uint64_t place, unsigned lane)
{
    struct buf path = {0};
    buf_printf(&path, "%s/aggregation", dir);
    if (suffix)
        buf_printf(&path, "/%016" PRIx64 ".%u%s", place, lane, suffix);
    char *copy = str_dup(buf_str(&path));
    buf_free(&path);
    return copy;
}

/* ---- files of the previous process ------------------------------------------------------------------------------- */

struct left_file { struct buf bytes; char *path; unsigned long lane; };
struct aggregate_left { struct refs refs; struct left_file *files; size_t n, _cap; atomic_uint taken, replaced; };
struct left_call { char *dir; uint64_t place; struct aggregate_left *left; };

/* Appends the next frame, if it is one: of other bytes no more than a frame is ever in memory. */
static bool left_read_frame(FILE *f, struct buf *all, bool *last)
{
    size_t begin = all->n, size;
    char head[AGGREGATE_FRAME_HEAD];
    if (fread(head, 1, sizeof head, f) != sizeof head || (size = aggregate_frame_size(head)) == 0 ||
        !buf_try_reserve(all, sizeof head + size))
        return false;
    buf_add(all, head, sizeof head);
    all->n += fread(all->p + all->n, 1, size, f);
    return all->n - begin == sizeof head + size &&
           aggregate_frame_check(str_n(all->p + begin, all->n - begin), last);
}

/* As far as the last complete saving: one that was being appended when the process was killed is not used. */
static bool left_read_file(const char *path, struct buf *all, const char **why)
{
    FILE *f = fopen(path, "re");
    size_t complete = 0;
    for (bool last; f && left_read_frame(f, all, &last);)
        complete = last ? all->n : complete;
    all->n = complete;
    *why = f == NULL || ferror(f) ? strerror(errno) : "it is corrupted";
    bool ok = complete > 0 && !ferror(f);
    if (f)
        fclose(f);
    return ok;
}

static void aggregate_left_add(struct aggregate_left *l, const char *path, unsigned long lane)
{
    struct buf bytes = {.max = largest_left};
    const char *why;
    if (left_read_file(path, &bytes, &why)) {
        mem_grow(&l->files, &l->_cap, l->n + 1, sizeof *l->files);
        l->files[l->n++] = (struct left_file){bytes, mem_strdup(path), lane};
        return;
    }
    log_warn("stream_aggregation", "cannot read the checkpoint; aggregating without what it has", "file", path, "err",
             why);
    buf_free(&bytes);
}

static void run_left_call(void *arg)
{
    struct left_call *c = arg;
    char *dir = aggregate_path(NULL, c->dir, 0, 0), prefix[32];
    int n = snprintf(prefix, sizeof prefix, "%016" PRIx64 ".", c->place);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s", dir, e->d_name);
        if (strncmp(e->d_name, prefix, (size_t)n) == 0 && strspn(e->d_name + n, "0123456789") == strlen(e->d_name + n))
            aggregate_left_add(c->left, buf_z(&path), strtoul(e->d_name + n, NULL, 10));
        buf_free(&path);
    }
    if (d)
        closedir(d);
    mem_free(dir);
}

static void left_call_free(void *arg)
{
    struct left_call *c = arg;
    aggregate_left_unref(c->left);
    mem_free(c->dir);
    mem_free(c);
}

struct aggregate_left *aggregate_left_read(const char *dir, uint64_t place)
{
    struct left_call *c = mem_zalloc(sizeof *c);
    c->dir = mem_strdup(dir);
    c->place = place;
    c->left = mem_zalloc(sizeof *c->left);
    refs_init(&c->left->refs);
    if (!file_call(&(struct file_call){run_left_call, left_call_free, c}, READ_MS)) {
        log_error("stream_aggregation", "queue directory does not respond; aggregating without the checkpoint",
                  "dir", dir);
        return NULL;
    }
    struct aggregate_left *left = c->left->n > 0 ? aggregate_left_ref(c->left) : NULL;
    left_call_free(c);
    return left;
}

struct aggregate_left *aggregate_left_ref(struct aggregate_left *l)
{
    refs_take(&l->refs);
    return l;
}

void aggregate_left_unref(struct aggregate_left *l)
{
    if (l == NULL || !refs_drop(&l->refs))
        return;
    for (size_t i = 0; i < l->n; i++) {
        buf_free(&l->files[i].bytes);
        mem_free(l->files[i].path);
    }
    mem_free(l->files);
    mem_free(l);
}

void aggregate_left_taken(struct aggregate_left *l, unsigned n_lanes)
{
    if (atomic_fetch_add(&l->taken, 1) + 1 == n_lanes)
        for (size_t i = 0; i < l->n; i++)
            buf_free(&l->files[i].bytes);
}

/* On a thread for files: a lane's new file is complete. */
static void aggregate_left_replaced(struct aggregate_left *l, unsigned n_lanes)
{
    if (atomic_fetch_add(&l->replaced, 1) + 1 == n_lanes)
        for (size_t i = 0; i < l->n; i++)
            if (l->files[i].lane >= n_lanes)
                (void)!unlink(l->files[i].path);
}

size_t aggregate_left_files(const struct aggregate_left *l) { return l->n; }

struct str aggregate_left_bytes(const struct aggregate_left *l, unsigned lane, size_t file)
{
    size_t own = 0;
    while (own < l->n && l->files[own].lane != lane)
        own++;
    if (own < l->n)
        file = file == 0 ? own : file <= own ? file - 1 : file;
    return buf_str(&l->files[file].bytes);
}

/* ---- on a thread for files --------------------------------------------------------------------------------------- */

struct file_frames { struct file_frames *next; struct buf bytes; bool first, last, whole; };
struct aggregate_file {
    struct file_work work;
    char *dir, *path, *next_path;
    unsigned n_lanes;
    struct aggregate_left *left;              /* NULL once it is replaced */
    struct mutex lock;                        /* guards the next line */
    struct file_frames *frames, **frames_end; bool remove;
    atomic_size_t queued;                     /* bytes */
    atomic_bool busy, lost;
    bool leaving;                             /* the lane has released it */
    int fd; bool broken, failing;             /* the work's */
};

static void aggregate_file_fail(struct aggregate_file *f)
{
    if (!f->failing)
        log_warn("stream_aggregation", "cannot write the checkpoint; after a crash, aggregates continue from an older "
                 "one; retrying", "file", f->path, "err", strerror(errno));
    f->failing = f->broken = true;
    atomic_store(&f->lost, true);
}

static void aggregate_file_close(struct aggregate_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static void aggregate_file_begin(struct aggregate_file *f, bool whole)
{
    aggregate_file_close(f);
    f->broken = !whole && atomic_load(&f->lost); /* what it would be appended to is incomplete */
    if (f->broken)
        return;
    (void)!mkdir(f->dir, 0750);
    if (whole)
        atomic_store(&f->lost, false);
    f->fd = whole ? open(f->next_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)
                  : open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (f->fd < 0)
        aggregate_file_fail(f);
}

static void aggregate_file_complete(struct aggregate_file *f, bool whole)
{
    if (fdatasync(f->fd) != 0 ||
        (whole && (rename(f->next_path, f->path) != 0 || !queue_sync_names(f->dir, 1)))) {
        aggregate_file_fail(f);
        return;
    }
    f->failing = false;
    if (f->left)
        aggregate_left_replaced(f->left, f->n_lanes);
    aggregate_left_unref(f->left);
    f->left = NULL;
}

static void aggregate_file_write(struct aggregate_file *f, const struct file_frames *frames)
{
    if (frames->first)
        aggregate_file_begin(f, frames->whole);
    if (!f->broken && !write_all(f->fd, buf_str(&frames->bytes)))
        aggregate_file_fail(f);
    if (!f->broken && frames->last)
        aggregate_file_complete(f, frames->whole);
    if (frames->last)
        aggregate_file_close(f);
}

static struct file_frames *aggregate_file_take(struct aggregate_file *f)
{
    mutex_lock(&f->lock);
    struct file_frames *all = f->frames;
    f->frames = NULL;
    f->frames_end = &f->frames;
    mutex_unlock(&f->lock);
    return all;
}

static void aggregate_file_free_frames(struct aggregate_file *f, struct file_frames *frames)
{
    atomic_fetch_sub(&f->queued, frames->bytes.n);
    buf_free(&frames->bytes);
    mem_free(frames);
}

/* After the frames that were queued before. */
static void aggregate_file_delete(struct aggregate_file *f)
{
    mutex_lock(&f->lock);
    bool remove = f->remove;
    f->remove = false;
    mutex_unlock(&f->lock);
    if (!remove)
        return;
    aggregate_file_close(f);
    f->broken = true; /* until the next saving begins */
    atomic_store(&f->lost, true);
    (void)!unlink(f->next_path);
    (void)!unlink(f->path);
}

static void aggregate_file_write_all(struct aggregate_file *f)
{
    for (struct file_frames *frames = aggregate_file_take(f), *next; frames; frames = next) {
        next = frames->next;
        aggregate_file_write(f, frames);
        if (frames->last)
            atomic_store(&f->busy, false);
        aggregate_file_free_frames(f, frames);
        if (next == NULL)
            next = aggregate_file_take(f);
    }
    aggregate_file_delete(f);
}

static void run_aggregate_file(struct file_work *w)
{
    struct aggregate_file *f = CONTAINER(w, struct aggregate_file, work);
    aggregate_file_write_all(f);
    if (f->leaving)
        (void)!file_work_drop(w); /* it is running: it is released */
}

static void aggregate_file_hangs(struct file_work *w)
{
    struct aggregate_file *f = CONTAINER(w, struct aggregate_file, work);
    log_error("stream_aggregation", "checkpoint file does not respond; after a crash, aggregates continue "
              "from an older one", "file", f->path);
}

static void aggregate_file_end(struct aggregate_file *f)
{
    aggregate_file_close(f);
    aggregate_left_unref(f->left);
    mutex_free(&f->lock);
    mem_free(f->dir);
    mem_free(f->path);
    mem_free(f->next_path);
    mem_free(f);
}

static void release_aggregate_file(struct file_work *w)
{
    struct aggregate_file *f = CONTAINER(w, struct aggregate_file, work);
    aggregate_file_write_all(f); /* what was handed over at the end of the run */
    aggregate_file_end(f);
}

/* ---- on the lane ------------------------------------------------------------------------------------------------- */

struct aggregate_file *aggregate_file_new(const char *dir, uint64_t place, unsigned lane, unsigned n_lanes,
                                          struct aggregate_left *left)
{
    struct aggregate_file *f = mem_zalloc(sizeof *f);
    f->work = (struct file_work){.run = run_aggregate_file, .hangs = aggregate_file_hangs,
                                 .release = release_aggregate_file, .hang_ms = FILE_HANGS_MS};
    f->dir = aggregate_path(NULL, dir, 0, 0);
    f->path = aggregate_path("", dir, place, lane);
    f->next_path = aggregate_path(".new", dir, place, lane);
    f->n_lanes = n_lanes;
    f->left = left ? aggregate_left_ref(left) : NULL;
    f->fd = -1;
    f->frames_end = &f->frames;
    mutex_init(&f->lock, RANK_LEAF);
    return f;
}

void aggregate_file_free(struct aggregate_file *f)
{
    if (f == NULL || !file_work_drop(&f->work))
        return;
    f->leaving = true;
    if (f->frames || f->remove)
        (void)!file_work_in(&f->work, 0);
    else
        aggregate_file_end(f);
}

bool aggregate_file_busy(struct aggregate_file *f)
{
    bool busy = atomic_load(&f->busy);
    if (busy) /* it is queued, unless no thread could be started */
        (void)!file_work_in(&f->work, 0);
    return busy;
}

bool aggregate_file_lost(struct aggregate_file *f) { return atomic_load(&f->lost); }
bool aggregate_file_full(struct aggregate_file *f) { return atomic_load(&f->queued) > FILE_FULL; }

void aggregate_file_add(struct aggregate_file *f, struct buf *bytes, unsigned which)
{
    struct file_frames *frames = mem_zalloc(sizeof *frames);
    *frames = (struct file_frames){.bytes = *bytes, .first = which & AGGREGATE_FILE_FIRST,
                                   .last = which & AGGREGATE_FILE_LAST, .whole = which & AGGREGATE_FILE_WHOLE};
    *bytes = (struct buf){0};
    atomic_fetch_add(&f->queued, frames->bytes.n);
    if (frames->last)
        atomic_store(&f->busy, true);
    mutex_lock(&f->lock);
    *f->frames_end = frames;
    f->frames_end = &frames->next;
    mutex_unlock(&f->lock);
    (void)!file_work_in(&f->work, 0);
}

void aggregate_file_remove(struct aggregate_file *f)
{
    mutex_lock(&f->lock);
    f->remove = true;
    mutex_unlock(&f->lock);
    (void)!file_work_in(&f->work, 0);
}

void aggregate_file_wait(void)
{
    const struct timespec some = {.tv_nsec = FILE_POLL_NS};
    nanosleep(&some, NULL);
}
