// SPDX-License-Identifier: Apache-2.0
/* Each file is a work on files (base/os/file_work.h) that queues itself again after each check. The last user of a file
 * that is being checked leaves it to that check, which then frees it. */
#include "base/os/watched_file.h"

#include "base/list.h"
#include "base/os/file_work.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"
#include "base/telemetry/stats.h"
#include "base/text/duration.h"
#include "base/text/url.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_EVERY_MS = 1000,
    HUNG_PERIODS = 3,   /* a check that takes longer is an error */
    URL_HANG_MS = 15000, /* likewise */
    FIRST_LOOK_MS = 200 /* most that watched_file_new waits */
};

#define FILE_REFRESH_STATS(X)                                                \
    X(FILE_REFRESH_ERRORS, "sluice_file_refresh_errors_total", STATS_COUNTER, \
      "Checks of files with credentials or certificates that failed or hung")
enum file_refresh_stat { FILE_REFRESH_STATS(STATS_ID) };
static struct stats_group file_refresh_stats = STATS_GROUP(FILE_REFRESH_STATS);

struct watched_file {
    char *path, *shown; /* shown: without the secrets of a URL */
    bool is_url;
    enum watched_kind kind;
    struct file_work work;
    /* Guarded by the registry's lock. */
    struct list node;      /* in watched_files */
    unsigned users;
    int64_t looking_since; /* clock_mono_ms; 0: no thread looks at it */
    bool looked;
    /* The looking thread's. */
    struct stat seen;
    bool failing;
    /* Guarded by `lock`. */
    struct mutex lock;
    struct file_text *now; /* NULL: nothing was read yet */
    struct err err;        /* then: why */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t look_ended = PTHREAD_COND_INITIALIZER;
static struct list watched_files = {&watched_files, &watched_files};

static atomic_int look_every_ms = LOOK_EVERY_MS;
static _Atomic(void (*)(const char *path)) look_hook;
typedef bool fetch_function(const char *url, size_t max, struct buf *out, struct err *err);
static fetch_function *watched_fetch; /* NULL: none */

void watched_file_set_fetch(fetch_function *fetch) { watched_fetch = fetch; }
void watched_file_set_period(int ms) { atomic_store(&look_every_ms, ms); }
void watched_file_set_look_hook(void (*hook)(const char *path)) { atomic_store(&look_hook, hook); }
void watched_file_register_stats(void) { stats_register(&file_refresh_stats); }

/* ---- content ---- */

static struct file_text *file_text_new(struct str s)
{
    struct file_text *t = mem_alloc(sizeof *t + s.n + 1);
    refs_init(&t->_refs);
    t->n = s.n;
    if (s.n > 0)
        memcpy(t->text, s.p, s.n);
    t->text[s.n] = 0;
    return t;
}

void file_text_unref(struct file_text *t)
{
    if (t && refs_drop(&t->_refs))
        mem_free(t);
}

struct file_text *watched_file_text(struct watched_file *f, struct err *err)
{
    mutex_lock(&f->lock);
    struct file_text *t = f->now;
    if (t)
        refs_take(&t->_refs);
    else if (err)
        *err = f->err;
    mutex_unlock(&f->lock);
    return t;
}

static void watched_keep(struct watched_file *f, struct file_text *text)
{
    mutex_lock(&f->lock);
    struct file_text *old = f->now;
    f->now = text;
    mutex_unlock(&f->lock);
    file_text_unref(old);
}

/* ---- a look ---- */

static bool watched_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
           && a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool watched_read_all(const char *path, struct buf *all, struct err *err)
{
    char bytes[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: %s", path, strerror(errno));
    while ((n = read(fd, bytes, sizeof bytes)) > 0 && !all->over)
        buf_add(all, bytes, (size_t)n);
    int why = errno;
    close(fd);
    if (n < 0)
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: %s", path, strerror(why));
    return !all->over || err_set(err, ERR_BAD_GATEWAY, "%s is over %zu KiB", path, all->max >> 10);
}

static bool watched_fetch_all(struct watched_file *f, struct buf *all, struct err *err)
{
    if (watched_fetch == NULL)
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: it is a URL", f->shown);
    return watched_fetch(f->path, all->max, all, err) || err_wrap(err, "cannot read");
}

static void watched_keep_changed(struct watched_file *f, struct str text)
{
    if (f->now == NULL || !str_eq(str_n(f->now->text, f->now->n), text)) /* f->now is changed by this thread only */
        watched_keep(f, file_text_new(text));
}

static bool watched_read(struct watched_file *f, struct err *err)
{
    static const size_t most[WATCHED_KINDS] = {[WATCHED_LINE] = 64 << 10, [WATCHED_BYTES] = 1 << 20};
    struct buf all = {.max = most[f->kind]};
    bool ok = f->is_url ? watched_fetch_all(f, &all, err) : watched_read_all(f->path, &all, err);
    struct str text = f->kind == WATCHED_LINE ? str_trim(buf_str(&all)) : buf_str(&all);
    if (ok && f->kind == WATCHED_LINE
        && (str_find(text, '\n') < text.n || str_find(text, '\r') < text.n || str_find(text, 0) < text.n))
        ok = err_set(err, ERR_BAD_GATEWAY, "%s has more than one line, or a NUL byte", f->shown);
    if (ok)
        watched_keep_changed(f, text);
    buf_free(&all);
    return ok;
}

static bool watched_refresh(struct watched_file *f, struct err *err)
{
    struct stat st;
    if (f->is_url)
        return watched_read(f, err);
    if (stat(f->path, &st) < 0)
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: it is not a plain file", f->path);
    if (!f->failing && f->now && watched_same_file(&st, &f->seen)) /* f->now is changed by this thread only */
        return true;
    if (!watched_read(f, err))
        return false;
    f->seen = st;
    return true;
}

static void watched_look(struct watched_file *f)
{
    void (*hook)(const char *path) = atomic_load(&look_hook);
    struct err err = {0};
    if (hook)
        hook(f->path);
    bool ok = watched_refresh(f, &err), began = !ok && !f->failing, kept = f->now != NULL;
    if (ok && f->failing)
        log_info("files", "file with credentials or certificates is read again", "file", f->shown);
    f->failing = !ok;
    if (ok)
        return;
    stats_add(&file_refresh_stats, FILE_REFRESH_ERRORS, 1);
    mutex_lock(&f->lock);
    f->err = err;
    mutex_unlock(&f->lock);
    if (began)
        log_warn("files", kept ? "cannot read file with credentials or certificates; its last content stays in use"
                               : "cannot read file with credentials or certificates; requests that need it fail",
                 "file", f->shown, "err", err.text);
}

static struct watched_file *watched_of_work(struct file_work *w) { return CONTAINER(w, struct watched_file, work); }

static void watched_set_looking(struct watched_file *f, bool looking)
{
    pthread_mutex_lock(&registry_lock);
    f->looking_since = looking ? clock_mono_ms() : 0;
    f->looked = f->looked || !looking;
    pthread_cond_broadcast(&look_ended);
    pthread_mutex_unlock(&registry_lock);
}

static void watched_run(struct file_work *w)
{
    struct watched_file *f = watched_of_work(w);
    watched_set_looking(f, true);
    watched_look(f);
    watched_set_looking(f, false);
    file_work_in(w, f->is_url ? WATCHED_URL_MS * look_every_ms / LOOK_EVERY_MS : look_every_ms);
}

static void watched_hangs(struct file_work *w)
{
    stats_add(&file_refresh_stats, FILE_REFRESH_ERRORS, 1);
    log_warn("files", "file with credentials or certificates hangs; its last content, if any, stays in use", "file",
             watched_of_work(w)->shown);
}

static void watched_release(struct file_work *w)
{
    struct watched_file *f = watched_of_work(w);
    file_text_unref(f->now);
    mutex_free(&f->lock);
    mem_free(f->path);
    mem_free(f->shown);
    mem_free(f);
}

/* ---- users ---- */

static struct watched_file *watched_at(const struct list *node) { return CONTAINER(node, struct watched_file, node); }

static struct watched_file *watched_find(const char *path, enum watched_kind kind)
{
    for (struct list *node = watched_files.next; node != &watched_files; node = node->next)
        if (watched_at(node)->kind == kind && strcmp(watched_at(node)->path, path) == 0)
            return watched_at(node);
    return NULL;
}

static struct watched_file *watched_add(const char *path, enum watched_kind kind)
{
    struct watched_file *f = mem_zalloc(sizeof *f);
    struct buf shown = {0};
    url_redact_path(&shown, str_of(path));
    f->path = mem_strdup(path);
    f->shown = str_dup(buf_str(&shown));
    buf_free(&shown);
    f->is_url = url_is_http(str_of(path));
    f->work = (struct file_work){.run = watched_run, .hangs = watched_hangs, .release = watched_release,
                                 .hang_ms = f->is_url ? URL_HANG_MS : HUNG_PERIODS * look_every_ms};
    f->kind = kind;
    mutex_init(&f->lock, RANK_LEAF);
    err_set(&f->err, ERR_BAD_GATEWAY, "%s is not read yet; if that stays, its %s does not respond", f->shown,
            f->is_url ? "server" : "file system");
    list_push_back(&watched_files, &f->node);
    return f;
}

static bool some_look_hangs(int64_t now)
{
    for (struct list *node = watched_files.next; node != &watched_files; node = node->next)
        if (watched_at(node)->looking_since > 0 && now - watched_at(node)->looking_since >= FIRST_LOOK_MS)
            return true;
    return false;
}

/* With the lock. */
static void await_first_look(struct watched_file *f)
{
    struct timespec until = clock_mono_after(FIRST_LOOK_MS);
    while (!f->looked && !some_look_hangs(clock_mono_ms())
           && pthread_cond_clockwait(&look_ended, &registry_lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT) {
    }
}

struct watched_file *watched_file_new(const char *path, enum watched_kind kind)
{
    pthread_mutex_lock(&registry_lock);
    struct watched_file *f = watched_find(path, kind);
    bool added = f == NULL;
    if (added)
        f = watched_add(path, kind);
    f->users++;
    if (!added || file_work_in(&f->work, 0))
        await_first_look(f);
    pthread_mutex_unlock(&registry_lock);
    return f;
}

void watched_file_free(struct watched_file *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&registry_lock);
    bool last = --f->users == 0;
    if (last)
        list_remove(&f->node);
    pthread_mutex_unlock(&registry_lock);
    if (last && file_work_drop(&f->work))
        watched_release(&f->work);
}
