// SPDX-License-Identifier: Apache-2.0
/* The directory of one destination's queue:
 *
 *   DIR/gNNNN-sSS/        one generation: its number and its number of shards. Changing the number of shards starts a
 *                         new generation, which is sent when the older ones are drained: a series never overtakes
 *                         itself.
 *   DIR/gNNNN-sSS/KK/     one shard (queue_shard.c)
 */
#include "writer/queue/queue_dir.h"

#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "base/os/thread.h"
#include "base/text/duration.h"
#include "writer/queue/queue_intake.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void generation_path(const struct queue_dir *f, const struct queue_generation *g, struct buf *path)
{
    buf_clear(path);
    buf_printf(path, "%s/g%04u-s%02u", f->dir, g->number, g->n_shards);
}

static struct queue_shard *queue_shard_new(struct queue_dir *f, const char *dir)
{
    struct queue_shard *s = mem_zalloc(sizeof *s);
    s->queue = f->queue;
    s->dir = mem_strdup(dir);
    s->fd = s->position.fd = s->read_fd = -1;
    packer_init(&s->packer);
    unwritten_init(&s->unwritten);
    intake_shard_init(&s->intake, 0);
    return s;
}

/* All shards exist afterwards, opened or not, so that the generation can be closed. */
static bool open_generation(struct queue_dir *f, uint32_t number, unsigned n_shards, struct err *err)
{
    mem_grow(&f->generations, &f->_cap, f->n + 1, sizeof *f->generations);
    struct queue_generation *g = &f->generations[f->n++];
    *g = (struct queue_generation){number, n_shards, mem_zalloc(n_shards * sizeof *g->shards)};
    struct buf path = {0};
    generation_path(f, g, &path);
    bool ok = mkdir(buf_z(&path), 0750) == 0 || errno == EEXIST;
    if (!ok)
        err_set(err, ERR_INTERNAL, "cannot create %s: %s", buf_z(&path), strerror(errno));
    for (unsigned i = 0; i < n_shards; i++) {
        generation_path(f, g, &path);
        buf_printf(&path, "/%02u", i);
        g->shards[i] = queue_shard_new(f, buf_z(&path));
        ok = ok && shard_files_open(g->shards[i], err);
        intake_shard_init(&g->shards[i]->intake, g->shards[i]->next);
        if (ok)
            shard_share_position(g->shards[i], queue_lock_of(f->queue));
    }
    buf_free(&path);
    return ok;
}

static bool generation_empty(const struct queue_generation *g)
{
    for (unsigned i = 0; i < g->n_shards; i++)
        if (g->shards[i]->acked < g->shards[i]->next)
            return false;
    return true;
}

static void close_generation(struct queue_generation *g)
{
    for (unsigned i = 0; i < g->n_shards; i++) {
        shard_files_close(g->shards[i]);
        shared_position_end(&g->shards[i]->shared);
        mem_free(g->shards[i]->dir);
        mem_free(g->shards[i]);
    }
    mem_free(g->shards);
}

static void remove_files(const struct queue_dir *f, size_t at)
{
    const struct queue_generation *g = &f->generations[at];
    struct buf path = {0};
    for (unsigned i = 0; i < g->n_shards; i++)
        shard_files_remove(g->shards[i]);
    generation_path(f, g, &path);
    rmdir(buf_z(&path));
    buf_free(&path);
}

static void remove_generation(struct queue_dir *f, size_t at)
{
    struct queue_generation *g = &f->generations[at];
    remove_files(f, at);
    close_generation(g);
    memmove(g, g + 1, (f->n - at - 1) * sizeof *g);
    f->n--;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct found_generation *)a)->number, y = ((const struct found_generation *)b)->number;
    return x < y ? -1 : x > y;
}

bool queue_generation_name(const char *name, struct found_generation *it)
{
    enum { MAX_SHARDS = 1024, MAX_NUMBER = 1000000000 };
    char exact[32];
    if (sscanf(name, "g%u-s%u", &it->number, &it->shards) != 2)
        return false;
    snprintf(exact, sizeof exact, "g%04u-s%02u", it->number, it->shards);
    return strcmp(name, exact) == 0 && it->shards > 0 && it->shards <= MAX_SHARDS && it->number < MAX_NUMBER;
}

/* False for a file of that name. Its number is not used again: creating the next generation would fail. */
static bool generation_is_dir(struct queue_dir *f, const struct found_generation *it)
{
    struct stat st;
    struct buf path = {0};
    generation_path(f, &(struct queue_generation){.number = it->number, .n_shards = it->shards}, &path);
    bool is_dir = stat(buf_z(&path), &st) == 0 && S_ISDIR(st.st_mode);
    if (!is_dir)
        log_warn("queue", "ignoring queue generation that is not a directory", "path", buf_z(&path));
    if (!is_dir && it->number > f->last_taken)
        f->last_taken = it->number;
    buf_free(&path);
    return is_dir;
}

static bool find_generations(struct queue_dir *f, struct err *err)
{
    DIR *d = dir_open(f->dir);
    if (d == NULL)
        return err_set(err, ERR_INTERNAL, "cannot read %s: %s", f->dir, strerror(errno));
    struct found_generation *found = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct found_generation it;
        if (e->d_name[0] == '.')
            continue;
        if (!queue_generation_name(e->d_name, &it)) {
            log_warn("queue", "ignoring unknown name in queue directory", "dir", f->dir, "name", e->d_name);
            continue;
        }
        if (!generation_is_dir(f, &it))
            continue;
        mem_grow(&found, &cap, n + 1, sizeof *found);
        found[n++] = it;
    }
    closedir(d);
    if (n > 1)
        qsort(found, n, sizeof *found, by_number);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = open_generation(f, found[i].number, found[i].shards, err);
    mem_free(found);
    return ok;
}

static uint32_t next_number(const struct queue_dir *f)
{
    uint32_t newest = f->n > 0 ? queue_dir_newest(f)->number : 0;
    return (newest > f->last_taken ? newest : f->last_taken) + 1;
}

static bool add_generation(struct queue_dir *f, unsigned shards, struct err *err)
{
    if (open_generation(f, next_number(f), shards, err))
        return true;
    remove_generation(f, f->n - 1);
    return false;
}

/* vmagent does not keep the order of series: one shard sends its blocks in their order. *adopted false: the files stay
 * where they are, or what is left of them, until the next start. */
static bool adopt_vmagent_queue(struct queue_dir *f, const char *from, bool *adopted, struct err *err)
{
    struct queue_generation g = {.number = next_number(f), .n_shards = 1};
    struct buf path = {0};
    struct err why;
    generation_path(f, &g, &path);
    buf_add_z(&path, "/00");
    *adopted = (dir_create_with_parents(buf_z(&path)) ||
                err_set(&why, ERR_INTERNAL, "cannot create %s: %s", buf_z(&path), strerror(errno))) &&
               vmagent_queue_adopt(from, buf_z(&path), &why);
    if (!*adopted)
        log_error("queue", "cannot take over a persistent queue of vmagent; its samples are not sent, retrying at the "
                  "next start", "from", from, "err", why.text);
    buf_free(&path);
    return open_generation(f, g.number, g.n_shards, err);
}

static bool adopt_vmagent_queues(struct queue_dir *f, const struct vmagent_queues *vmagent, struct err *err)
{
    bool adopted = true, ok = true;
    for (char *from; ok && adopted && (from = vmagent_queue_find(vmagent)) != NULL; mem_free(from))
        ok = adopt_vmagent_queue(f, from, &adopted, err);
    return ok;
}

bool queue_dir_open(struct queue_dir *f, unsigned shards, const struct vmagent_queues *vmagent, struct err *err)
{
    if (mkdir(f->dir, 0750) != 0 && errno != EEXIST)
        return err_set(err, ERR_INTERNAL, "cannot create %s: %s", f->dir, strerror(errno));
    if (!find_generations(f, err) || !adopt_vmagent_queues(f, vmagent, err))
        return false;
    if ((f->n == 0 || queue_dir_newest(f)->n_shards != shards) && !add_generation(f, shards, err))
        return false;
    for (size_t g = f->n - 1; g-- > 0;)
        if (generation_empty(&f->generations[g]))
            remove_generation(f, g);
    return true;
}

void queue_dir_close(struct queue_dir *f)
{
    for (size_t g = 0; g < f->n; g++)
        close_generation(&f->generations[g]);
    mem_free(f->generations);
    mem_free(f->dir);
}

void queue_dir_each(const struct queue_dir *f, void (*visit)(struct queue_shard *s, void *arg), void *arg)
{
    for (size_t g = 0; g < f->n; g++)
        for (unsigned i = 0; i < f->generations[g].n_shards; i++)
            visit(f->generations[g].shards[i], arg);
}

static void queue_dir_sum_bytes(struct queue_shard *s, void *total) { *(uint64_t *)total += shard_files_bytes(s); }

uint64_t queue_dir_bytes(const struct queue_dir *f)
{
    uint64_t bytes = 0;
    queue_dir_each(f, queue_dir_sum_bytes, &bytes);
    return bytes;
}

struct queue_shard *queue_dir_oldest(const struct queue_dir *f)
{
    struct queue_shard *oldest = NULL;
    for (size_t g = 0; g < f->n && oldest == NULL; g++)
        for (unsigned i = 0; i < f->generations[g].n_shards; i++) {
            struct queue_shard *s = f->generations[g].shards[i];
            if (s->n > 0 && s->segments[0].n_blocks > 0 &&
                (oldest == NULL || s->segments[0].t_max < oldest->segments[0].t_max))
                oldest = s;
        }
    return oldest;
}

/* --- requests of other threads ------------------------------------------------------------------------------------ */

/* Main waits for the io thread. If the disk does not respond in time, main abandons the job: the io thread then removes
 * the generation it has added and frees the job. */
struct queue_dir_job {
    struct loop_task task;
    struct queue_dir *queue_dir;
    unsigned shards;   /* of the generation to add; 0 = remove the newest */
    struct mutex lock; /* guards the fields below */
    struct cond finished;
    struct err err;
    bool ok, done, abandoned;
};

static void queue_dir_job_free(struct queue_dir_job *j)
{
    cond_free(&j->finished);
    mutex_free(&j->lock);
    mem_free(j);
}

static bool generation_add_or_remove(struct queue_dir *f, unsigned shards, struct err *err)
{
    if (shards > 0)
        return add_generation(f, shards, err);
    remove_generation(f, f->n - 1);
    return true;
}

static void queue_dir_job_run(struct loop_task *task)
{
    struct queue_dir_job *j = CONTAINER(task, struct queue_dir_job, task);
    struct err err = {0};
    bool ok = generation_add_or_remove(j->queue_dir, j->shards, &err);
    mutex_lock(&j->lock);
    bool abandoned = j->abandoned;
    j->err = err;
    j->ok = ok;
    j->done = true;
    cond_signal(&j->finished);
    mutex_unlock(&j->lock);
    if (!abandoned)
        return;
    if (ok && j->shards > 0)
        remove_generation(j->queue_dir, j->queue_dir->n - 1);
    queue_dir_job_free(j);
}

static bool queue_dir_request(struct queue_dir *f, struct loop *io, unsigned shards, struct err *err)
{
    enum { LIMIT_MS = 5000 };
    int64_t limit = clock_mono_ms() + LIMIT_MS;
    struct queue_dir_job *j = mem_zalloc(sizeof *j);
    j->task.run = queue_dir_job_run;
    j->queue_dir = f;
    j->shards = shards;
    mutex_init(&j->lock, RANK_QUEUE_DIR);
    cond_init(&j->finished);
    loop_post(io, &j->task);
    mutex_lock(&j->lock);
    while (!j->done && clock_mono_ms() < limit)
        cond_wait_ms(&j->finished, &j->lock, limit - clock_mono_ms());
    bool done = j->done, ok = j->ok;
    j->abandoned = !done;
    if (!ok)
        *err = j->err;
    mutex_unlock(&j->lock);
    if (done)
        queue_dir_job_free(j);
    else
        err_set(err, ERR_UNAVAILABLE, "%s: cannot change the number of shards: the disk does not respond; reload again "
                "later", f->dir);
    return ok;
}

bool queue_dir_request_add(struct queue_dir *f, struct loop *io, unsigned shards, struct err *err)
{
    return queue_dir_request(f, io, shards, err);
}

void queue_dir_request_remove(struct queue_dir *f, struct loop *io)
{
    struct err err;
    (void)!queue_dir_request(f, io, 0, &err);
}

struct retire_job { struct loop_task task; struct queue_dir *queue_dir; size_t at; };

static void run_retire(struct loop_task *task)
{
    struct retire_job *j = CONTAINER(task, struct retire_job, task);
    const struct queue_generation *g = &j->queue_dir->generations[j->at];
    remove_files(j->queue_dir, j->at);
    for (unsigned i = 0; i < g->n_shards; i++)
        shared_position_end(&g->shards[i]->shared);
    mem_free(j);
}

void queue_dir_request_retire(struct queue_dir *f, struct loop *io, size_t at)
{
    struct retire_job *j = mem_alloc(sizeof *j);
    *j = (struct retire_job){{.run = run_retire}, f, at};
    loop_post(io, &j->task);
}
