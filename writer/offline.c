// SPDX-License-Identifier: Apache-2.0
/* Queues on disk without a writer: summaries, samples, deletion. */
#include "writer/writer.h"

#include "base/os/dir.h"
#include "model/remote_write.h"
#include "writer/queue/queue_files.h"
#include "writer/queue/quarantine.h"
#include "writer/queue/queue_lock.h"
#include "writer/queue/vmagent_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- names -------------------------------------------------------------------------------------------------------- */

struct queue_names { char **items; size_t n, _cap; };

static void free_queue_names(struct queue_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
}

static int queue_names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those in dir/below ("" or vmagent's directory); names are relative to dir. False with errno. */
static bool find_queue_names(const char *dir, const char *below, struct queue_names *names)
{
    struct buf path = {0};
    buf_printf(&path, "%s%s%s", dir, *below ? "/" : "", below);
    size_t base = strlen(dir) + 1, at = path.n;
    DIR *d = dir_open(buf_z(&path));
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        path.n = at;
        buf_printf(&path, "/%s", e->d_name);
        if (e->d_name[0] == '.' || !queue_files_is_queue(buf_z(&path)))
            continue;
        mem_grow(&names->items, &names->_cap, names->n + 1, sizeof *names->items);
        names->items[names->n++] = mem_strdup(buf_z(&path) + base);
    }
    if (d)
        closedir(d);
    buf_free(&path);
    return d != NULL;
}

static bool list_queue_names(const char *dir, struct queue_names *names, struct err *err)
{
    if (!find_queue_names(dir, "", names))
        return err_set(err, ERR_BAD_DATA, "cannot read queue directory %s: %s", dir, strerror(errno));
    (void)find_queue_names(dir, VMAGENT_QUEUES, names);
    if (names->n > 1)
        qsort(names->items, names->n, sizeof *names->items, queue_names_compare);
    return true;
}

/* The path of a queue, which must exist: a name cannot lead out of the directory. */
static bool queue_path(const char *dir, const char *name, struct buf *path, struct err *err)
{
    struct queue_names names = {0};
    bool found = false, ok = list_queue_names(dir, &names, err);
    for (size_t i = 0; i < names.n; i++)
        found = found || strcmp(names.items[i], name) == 0;
    free_queue_names(&names);
    if (ok && !found)
        return err_set(err, ERR_BAD_DATA, "there is no queue \"%s\" in %s; sluice queue ls lists them", name, dir);
    buf_printf(path, "%s/%s", dir, name);
    return ok;
}

/* --- summaries ---------------------------------------------------------------------------------------------------- */

static bool add_to_report(void *arg, const struct queue_file_record *r)
{
    struct queue_report *sum = arg;
    const struct record *head = r->record;
    if (r->delivered) {
        sum->delivered_blocks++;
        return true;
    }
    sum->blocks++;
    sum->samples += head->n_samples;
    sum->bytes += head->header + head->n;
    if (head->n_samples == 0)
        return true;
    sum->oldest = sum->oldest == 0 || head->t_min < sum->oldest ? head->t_min : sum->oldest;
    sum->newest = head->t_max > sum->newest ? head->t_max : sum->newest;
    return true;
}

static bool read_queue_report(const char *path, bool contents, struct queue_report *r, struct err *err)
{
    struct queue_files files;
    bool ok = queue_files_visit(path, contents, add_to_report, r, &files, err);
    r->foreign = files.foreign;
    r->generations = files.generations;
    r->shards = files.shards;
    r->files = files.files;
    r->corrupted_bytes = files.corrupted_bytes;
    return ok;
}

bool writer_queues_read(struct str dir, const char *name, bool contents,
                        void (*visit)(void *arg, const struct queue_report *r), void *arg, struct err *err)
{
    struct queue_names names = {0};
    struct buf path = {0};
    char *dir_z = str_dup(dir);
    bool ok = name ? queue_path(dir_z, name, &path, err) : list_queue_names(dir_z, &names, err);
    size_t n = name ? 1 : names.n;
    for (size_t i = 0; i < n && ok; i++) {
        struct queue_report r = {.name = name ? name : names.items[i]};
        buf_clear(&path);
        buf_printf(&path, "%s/%s", dir_z, r.name);
        ok = read_queue_report(buf_z(&path), contents, &r, err);
        if (ok)
            visit(arg, &r);
    }
    free_queue_names(&names);
    buf_free(&path);
    mem_free(dir_z);
    return ok;
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

struct queue_dump {
    void (*visit)(void *arg, const struct queue_series *s);
    void *arg;
    bool delivered;
    struct packer packer;
    struct rw_walk walk;
};

static bool dump_block(void *arg, const struct queue_file_record *r)
{
    struct queue_dump *d = arg;
    struct str raw;
    struct err err;
    if ((r->delivered && !d->delivered) || !block_contents(&d->packer, r->block, &raw, &err))
        return true;
    rw_walk_start(&d->walk, raw);
    for (enum rw_item item; (item = rw_walk_next(&d->walk)) != RW_END && item != RW_ERROR;)
        if (item == RW_SERIES)
            d->visit(d->arg, &(struct queue_series){d->walk.labels, d->walk.samples, d->walk.n_samples, d->walk.hists,
                                                    d->walk.n_hists});
    return true;
}

bool writer_queue_dump(struct str dir, const char *name, bool delivered,
                       void (*visit)(void *arg, const struct queue_series *s), void *arg, struct err *err)
{
    struct queue_dump d = {.visit = visit, .arg = arg, .delivered = delivered};
    struct queue_files files;
    struct buf path = {0};
    char *dir_z = str_dup(dir);
    packer_init(&d.packer);
    rw_walk_init(&d.walk);
    bool ok = queue_path(dir_z, name, &path, err) &&
              queue_files_visit(buf_z(&path), true, dump_block, &d, &files, err);
    rw_walk_free(&d.walk);
    packer_free(&d.packer);
    buf_free(&path);
    mem_free(dir_z);
    return ok;
}

/* --- deletion ----------------------------------------------------------------------------------------------------- */

static bool remove_tree(const char *path, struct err *err)
{
    struct stat st;
    bool ok = lstat(path, &st) == 0;
    DIR *d = ok && S_ISDIR(st.st_mode) ? dir_open(path) : NULL;
    for (struct dirent *e; d && ok && (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        struct buf below = {0};
        buf_printf(&below, "%s/%s", path, e->d_name);
        ok = remove_tree(buf_z(&below), err);
        buf_free(&below);
    }
    if (d)
        closedir(d);
    return ok && (remove(path) == 0 || err_set(err, ERR_INTERNAL, "cannot delete %s: %s", path, strerror(errno)));
}

bool writer_queue_drop(struct str dir, const char *name, struct err *err)
{
    struct buf path = {0}, aside = {0};
    char *dir_z = str_dup(dir);
    struct queue_lock *lock = NULL;
    bool ok = queue_path(dir_z, name, &path, err) && writer_queue_take_aside(dir, name, &aside, err);
    if (ok && aside.n > 0)
        ok = remove_tree(buf_z(&aside), err);
    else if (ok)
        ok = (lock = queue_lock_new(dir_z, err)) != NULL && remove_tree(buf_z(&path), err);
    queue_lock_free(lock);
    buf_free(&path);
    buf_free(&aside);
    mem_free(dir_z);
    return ok;
}

/* --- queues beside a running sluice --------------------------------------------------------------------------------- */

#define ASIDE_SUFFIX ".aside"

/* The quarantine of a queue in use is opened for each write only. */
static bool queue_is_quarantine(const char *name)
{
    size_t n = strlen(name), suffix = sizeof QUARANTINE_SUFFIX - 1;
    return n > suffix && strcmp(name + n - suffix, QUARANTINE_SUFFIX) == 0;
}

static void queue_aside_path(struct buf *aside, struct str dir, const char *name)
{
    const char *slash = strrchr(name, '/');
    buf_printf(aside, "%.*s/%s" ASIDE_SUFFIX, STR_ARG(dir), slash ? slash + 1 : name);
}

/* From QUEUEDIR/NAME to QUEUEDIR/NAME.aside/NAME; NAME may have a directory, too. */
static bool queue_move_aside(const char *from, const char *aside, const char *name, struct err *err)
{
    struct buf to = {0};
    buf_printf(&to, "%s/%s", aside, name);
    size_t parent = (size_t)(strrchr(buf_z(&to), '/') - to.p);
    char *parent_z = str_dup(str_first(buf_str(&to), parent));
    bool ok = (dir_create_with_parents(parent_z) && rename(from, buf_z(&to)) == 0) ||
              err_set(err, ERR_INTERNAL, "cannot move %s to %s: %s", from, buf_z(&to), strerror(errno));
    mem_free(parent_z);
    buf_free(&to);
    return ok;
}

/* A process registers a queue before it opens its directory. If it did so after the registrations were read, it has
 * either found the directory, which is moved back, or created another one, and does not use the one that is aside.
 * True: it was moved back. */
static bool queue_yield(const char *path, const char *dir, const char *aside, const char *name)
{
    const char *slash = strrchr(name, '/');
    struct buf moved = {0};
    struct err ignored;
    buf_printf(&moved, "%s/%s", aside, name);
    bool back = !queue_is_quarantine(name) && queue_lock_use_of(dir, slash ? slash + 1 : name) == QUEUE_USED &&
                renameat2(AT_FDCWD, buf_z(&moved), AT_FDCWD, path, RENAME_NOREPLACE) == 0;
    if (back)
        (void)!remove_tree(aside, &ignored);
    buf_free(&moved);
    return back;
}

bool writer_queue_take_aside(struct str dir, const char *name, struct buf *aside, struct err *err)
{
    const char *slash = strrchr(name, '/');
    struct buf path = {0};
    char *dir_z = str_dup(dir);
    enum queue_use use = queue_lock_use_of(dir_z, slash ? slash + 1 : name);
    if (use == QUEUE_USED && queue_is_quarantine(name))
        use = QUEUE_UNUSED;
    buf_printf(&path, "%s/%s", dir_z, name);
    bool ok = true;
    if (use == QUEUE_UNUSED) {
        queue_aside_path(aside, dir, name);
        ok = queue_move_aside(buf_z(&path), buf_z(aside), name, err);
        if (ok && queue_yield(buf_z(&path), dir_z, buf_z(aside), name)) {
            use = QUEUE_USED;
            buf_clear(aside);
        }
    }
    if (use == QUEUE_USED)
        ok = err_set(err, ERR_UNAVAILABLE, "queue \"%s\" is in use by another process: it is that of a configured "
                     "destination; stop the process or remove the destination first", name);
    buf_free(&path);
    mem_free(dir_z);
    return ok;
}

bool writer_queue_recover(struct str dir, const char *name, struct err *err)
{
    struct buf aside = {0};
    struct stat st;
    queue_aside_path(&aside, dir, name);
    bool ok = lstat(buf_z(&aside), &st) < 0 || queue_lock_use_of(buf_z(&aside), name) != QUEUE_DIR_UNUSED ||
              writer_queue_put_back(dir, name, buf_z(&aside), err);
    buf_free(&aside);
    return ok;
}

/* What is not a queue (the lock file, empty directories) is deleted. */
bool writer_queue_put_back(struct str dir, const char *name, const char *aside, struct err *err)
{
    struct buf from = {0}, to = {0};
    buf_printf(&from, "%s/%s", aside, name);
    buf_printf(&to, "%.*s/%s", STR_ARG(dir), name);
    bool ok = rename(buf_z(&from), buf_z(&to)) == 0 || errno == ENOENT ||
              err_set(err, ERR_INTERNAL, "cannot move %s back to %s: %s", buf_z(&from), buf_z(&to), strerror(errno));
    ok = ok && remove_tree(aside, err);
    buf_free(&from);
    buf_free(&to);
    return ok;
}
