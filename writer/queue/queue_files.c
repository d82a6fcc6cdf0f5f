// SPDX-License-Identifier: Apache-2.0
/* Walks a queue's directories and reads its records, for `sluice queue`. */
#include "writer/queue/queue_files.h"

#include "base/os/dir.h"
#include "writer/queue/position.h"
#include "writer/queue/queue_dir.h"
#include "writer/queue/vmagent_chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

struct files_walk {
    bool (*visit)(void *arg, const struct queue_file_record *r);
    void *arg;
    struct queue_files *out;
    struct packer packer;
    struct err *err;
    uint64_t position;  /* of the shard being read */
    bool contents, ended;
};
/* One file of a shard, by the number in its name. */
struct queue_file { uint64_t number; bool foreign; char name[32]; };
struct file_list { struct queue_file *items; size_t n, _cap; };

static int file_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct queue_file *)a)->number, y = ((const struct queue_file *)b)->number;
    return x < y ? -1 : x > y;
}

/* The number in a name %016x.seg, %016x.vmq or %016X. */
static bool file_of_name(const char *name, struct queue_file *f)
{
    char exact[300];
    if (strlen(name) >= sizeof f->name)
        return false;
    if (vmagent_chunk_name(name, &f->number)) {
        f->foreign = true;
    } else {
        const char *dot = strrchr(name, '.');
        snprintf(exact, sizeof exact, "%016llx%s", (unsigned long long)f->number, dot ? dot : "");
        f->foreign = dot && strcmp(dot, ".vmq") == 0;
        if (strcmp(name, exact) != 0 || (!f->foreign && strcmp(dot, ".seg") != 0))
            return false;
    }
    memcpy(f->name, name, strlen(name) + 1);
    return true;
}

static bool list_files(struct files_walk *w, const char *dir, struct file_list *list)
{
    DIR *d = dir_open(dir);
    if (d == NULL)
        return err_set(w->err, ERR_INTERNAL, "cannot read %s: %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct queue_file f;
        if (!file_of_name(e->d_name, &f))
            continue;
        mem_grow(&list->items, &list->_cap, list->n + 1, sizeof *list->items);
        list->items[list->n++] = f;
    }
    closedir(d);
    if (list->n > 1)
        qsort(list->items, list->n, sizeof *list->items, file_compare);
    return true;
}

static enum segment_step file_next(struct files_walk *w, const struct queue_file *f, int fd, uint64_t size, uint64_t *at,
                                   struct record *r, struct block **block)
{
    struct block **body = w->contents ? block : NULL;
    if (!f->foreign)
        return segment_next(fd, size, at, r, body, &w->out->corrupted_bytes);
    const struct vmagent_chunk chunk = {fd, f->number, size};
    return vmagent_chunk_next(&chunk, &w->packer, at, r, body, &w->out->corrupted_bytes);
}

static bool visit_records(struct files_walk *w, const struct queue_file *f, const char *path, int fd, uint64_t size)
{
    struct record r;
    struct block *block = NULL;
    uint64_t at = 0;
    while (!w->ended) {
        enum segment_step step = file_next(w, f, fd, size, &at, &r, &block);
        if (step == SEGMENT_ERROR)
            return err_set(w->err, ERR_INTERNAL, "cannot read %s: %s", path, strerror(errno));
        if (step == SEGMENT_END)
            break;
        struct queue_file_record seen = {path, at - r.header - r.n, &r, block, r.seq < w->position};
        w->ended = !w->visit(w->arg, &seen);
        block_unref(block);
        block = NULL;
    }
    return true;
}

/* A file that was deleted since it was listed was delivered. */
static bool visit_file(struct files_walk *w, const char *dir, const struct queue_file *f)
{
    char path[PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, f->name);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || err_set(w->err, ERR_INTERNAL, "cannot open %s: %s", path, strerror(errno));
    bool ok = true;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        w->out->files++;
        ok = visit_records(w, f, path, fd, (uint64_t)st.st_size);
    }
    close(fd);
    return ok;
}

static bool visit_shard(struct files_walk *w, const char *dir, uint64_t position)
{
    struct file_list list = {0};
    w->position = position;
    bool ok = list_files(w, dir, &list);
    for (size_t i = 0; i < list.n && ok && !w->ended; i++)
        ok = visit_file(w, dir, &list.items[i]);
    mem_free(list.items);
    return ok;
}

static bool visit_generation(struct files_walk *w, const char *dir, const struct found_generation *g)
{
    char path[PATH_BYTES];
    bool ok = true;
    w->out->generations++;
    w->out->shards = g->shards;
    for (unsigned i = 0; i < g->shards && ok && !w->ended; i++) {
        snprintf(path, sizeof path, "%s/g%04u-s%02u/%02u", dir, g->number, g->shards, i);
        if (access(path, F_OK) == 0) /* a generation that is being created or deleted lacks some */
            ok = visit_shard(w, path, position_read(path));
    }
    return ok;
}

static int generation_compare(const void *a, const void *b)
{
    uint32_t x = ((const struct found_generation *)a)->number, y = ((const struct found_generation *)b)->number;
    return x < y ? -1 : x > y;
}

static bool visit_generations(struct files_walk *w, const char *dir)
{
    struct found_generation *found = NULL, g;
    size_t n = 0, cap = 0;
    bool ok = true;
    DIR *d = dir_open(dir);
    if (d == NULL)
        return err_set(w->err, ERR_INTERNAL, "cannot read %s: %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (queue_generation_name(e->d_name, &g)) {
            mem_grow(&found, &cap, n + 1, sizeof *found);
            found[n++] = g;
        }
    closedir(d);
    if (n > 1)
        qsort(found, n, sizeof *found, generation_compare);
    for (size_t i = 0; i < n && ok && !w->ended; i++)
        ok = visit_generation(w, dir, &found[i]);
    mem_free(found);
    return ok;
}

static bool is_vmagent_dir(const char *dir)
{
    uint64_t hash;
    const char *slash = strrchr(dir, '/');
    return vmagent_queue_name(slash ? slash + 1 : dir, &hash);
}

bool queue_files_is_queue(const char *dir)
{
    struct found_generation g;
    DIR *d = dir_open(dir);
    bool found = d && is_vmagent_dir(dir);
    for (struct dirent *e; d && !found && (e = readdir(d)) != NULL;)
        found = queue_generation_name(e->d_name, &g);
    if (d)
        closedir(d);
    return found;
}

bool queue_files_visit(const char *dir, bool contents, bool (*visit)(void *arg, const struct queue_file_record *r),
                       void *arg, struct queue_files *out, struct err *err)
{
    struct files_walk w = {.visit = visit, .arg = arg, .out = out, .err = err, .contents = contents};
    struct err unknown;
    uint64_t offset;
    *out = (struct queue_files){0};
    packer_init(&w.packer);
    bool ok = visit_generations(&w, dir);
    if (ok && !w.ended && is_vmagent_dir(dir)) {
        out->foreign = true;
        (void)!vmagent_reader_offset(dir, &offset, &unknown);
        ok = visit_shard(&w, dir, offset);
    }
    packer_free(&w.packer);
    return ok;
}
