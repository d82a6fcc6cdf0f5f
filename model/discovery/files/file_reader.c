// SPDX-License-Identifier: Apache-2.0
/* A read works on a list of files that belongs to the reading thread, and copies it for the main thread when it ends.
 * The groups of a file are shared by both lists. */
#include "model/discovery/files/file_reader.h"

#include "base/os/file_work.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"

#include <errno.h>
#include <string.h>

struct file_reader {
    struct file_reader_env env;
    struct sd_owner owner;       /* name: owned; never changes */
    char *pattern;               /* likewise */
    struct file_work work;
    struct loop_task news;
    /* The main thread's. */
    struct sd_files files;
    bool reading, again;         /* again: another read was requested meanwhile */
    bool hangs, was_read, has_news, changed;
    unsigned awaited;            /* number of reads whose end is awaited */
    /* The reading thread's. */
    struct file_discovery found;
    bool unwatched;              /* the directory could not be watched, which was logged */
    struct mutex lock;           /* guards the fields below */
    struct dir_watch *dirs;      /* a reference; taken by the next read */
    char *at;                    /* the file that is being read, or a pattern or directory */
    struct sd_files result;
    bool ended, hung, result_changed; /* since the main thread looked */
    bool hang_told;
    bool orphan;                 /* the main thread has freed it */
};

static struct file_reader *reader_of_work(struct file_work *w) { return CONTAINER(w, struct file_reader, work); }

/* ---- the reading thread ---- */

static void reader_tell_main(struct file_reader *r) /* with the lock */
{
    if (!r->orphan)
        loop_post(r->env.main, &r->news);
}

static bool reader_set_at(void *reader, const char *path)
{
    struct file_reader *r = reader;
    mutex_lock(&r->lock);
    mem_free(r->at);
    r->at = mem_strdup(path);
    mutex_unlock(&r->lock);
    return file_work_goes_on(&r->work);
}

static void reader_watch_directory(struct file_reader *r)
{
    mutex_lock(&r->lock);
    struct dir_watch *dirs = r->dirs;
    r->dirs = NULL;
    mutex_unlock(&r->lock);
    if (dirs == NULL)
        return;
    const char *slash = strrchr(r->pattern, '/');
    char *dir = slash ? str_dup(str_n(r->pattern, (size_t)(slash - r->pattern) + 1)) : mem_strdup(".");
    bool ok = !reader_set_at(r, dir) || dir_watch_add(dirs, dir);
    if (!ok && !r->unwatched)
        log_warn("file_sd", "cannot watch directory with inotify; polling it every refresh_interval", r->owner.kind, r->owner.name.p,
                 "directory", dir, "err", strerror(errno));
    r->unwatched = !ok;
    mem_free(dir);
    dir_watch_unref(dirs);
}

static void reader_log_response(struct file_reader *r) /* with the lock */
{
    if (r->hang_told)
        log_info("file_sd", "target files respond again", r->owner.kind, r->owner.name.p, "files", r->pattern);
    r->hang_told = false;
}

static void reader_read_files(struct file_work *w)
{
    struct file_reader *r = reader_of_work(w);
    reader_watch_directory(r);
    bool changed = file_discovery_refresh(&r->found);
    mutex_lock(&r->lock);
    sd_files_free(&r->result);
    sd_files_copy(&r->result, &r->found.files);
    r->result_changed = r->result_changed || changed;
    r->ended = true;
    r->hung = false;
    reader_log_response(r);
    reader_tell_main(r);
    mutex_unlock(&r->lock);
}

static void reader_hangs(struct file_work *w) /* on another thread, with the lock of all works */
{
    struct file_reader *r = reader_of_work(w);
    mutex_lock(&r->lock);
    if (!r->hang_told && !r->orphan)
        log_warn("file_sd", "target files do not respond; keeping their previous targets, and reading them when the file "
                 "system responds", r->owner.kind, r->owner.name.p, "file", r->at ? r->at : r->pattern);
    r->hang_told = r->hung = true;
    reader_tell_main(r);
    mutex_unlock(&r->lock);
}

static void reader_release(struct file_work *w)
{
    struct file_reader *r = reader_of_work(w);
    sd_files_free(&r->files);
    sd_files_free(&r->found.files);
    sd_files_free(&r->result);
    dir_watch_unref(r->dirs);
    mutex_free(&r->lock);
    mem_free(r->at);
    mem_free((char *)r->owner.name.p);
    mem_free(r->pattern);
    mem_free(r);
}

/* ---- the main thread ---- */

static void reader_begin_read(struct file_reader *r)
{
    r->reading = true;
    file_work_in(&r->work, 0);
}

static void reader_take_result(struct file_reader *r) /* with the lock */
{
    sd_files_free(&r->files);
    r->files = r->result;
    r->result = (struct sd_files){0};
    r->changed = r->changed || r->result_changed;
    r->result_changed = r->ended = false;
    r->was_read = true;
}

static void reader_on_news(struct loop_task *task)
{
    struct file_reader *r = CONTAINER(task, struct file_reader, news);
    mutex_lock(&r->lock);
    bool ended = r->ended;
    r->hangs = r->hung;
    r->has_news = true;
    if (ended)
        reader_take_result(r);
    mutex_unlock(&r->lock);
    if (r->hangs)
        r->awaited = 0;
    if (ended) {
        r->awaited -= r->awaited > 0;
        r->reading = false;
        if (r->again)
            reader_begin_read(r);
        r->again = false;
    }
    r->env.news(r->env.arg);
}

struct file_reader *file_reader_new(const struct file_reader_env *env, struct sd_owner owner, struct str pattern)
{
    struct file_reader *r = mem_zalloc(sizeof *r);
    r->env = *env;
    r->owner = (struct sd_owner){owner.kind, str_of(str_dup(owner.name))};
    r->pattern = str_dup(pattern);
    r->news.run = reader_on_news;
    r->work = (struct file_work){.run = reader_read_files, .hangs = reader_hangs, .release = reader_release,
                                 .hang_ms = env->hang_ms > 0 ? env->hang_ms : FILE_READER_HANG_MS};
    r->found = (struct file_discovery){.owner = r->owner, .pattern = str_of(r->pattern), .reads = reader_set_at,
                                       .arg = r};
    mutex_init(&r->lock, RANK_TARGET_FILES);
    return r;
}

void file_reader_free(struct file_reader *r)
{
    mutex_lock(&r->lock);
    r->orphan = true;
    mutex_unlock(&r->lock);
    loop_unpost(r->env.main, &r->news);
    if (file_work_drop(&r->work))
        reader_release(&r->work);
}

void file_reader_read(struct file_reader *r, struct dir_watch *dirs, bool await)
{
    if (dirs) {
        mutex_lock(&r->lock);
        dir_watch_unref(r->dirs);
        r->dirs = dir_watch_ref(dirs);
        mutex_unlock(&r->lock);
    }
    if (await && !r->hangs)
        r->awaited = r->reading ? 2 : 1;
    if (r->reading)
        r->again = true;
    else
        reader_begin_read(r);
}

bool file_reader_reads(const struct file_reader *r) { return r->reading && !r->hangs; }
bool file_reader_hangs(const struct file_reader *r) { return r->hangs; }
bool file_reader_awaited(const struct file_reader *r) { return r->awaited > 0; }
bool file_reader_was_read(const struct file_reader *r) { return r->was_read; }
struct str file_reader_pattern(const struct file_reader *r) { return str_of(r->pattern); }
const struct sd_files *file_reader_files(const struct file_reader *r) { return &r->files; }

bool file_reader_has_news(const struct file_reader *r) { return r->has_news; }

bool file_reader_take_news(struct file_reader *r)
{
    bool changed = r->changed;
    r->changed = r->has_news = false;
    return changed;
}
