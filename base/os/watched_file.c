// SPDX-License-Identifier: Apache-2.0
/* Leader and followers. All threads run the same loop: the leader sleeps until the next file is due, removes it from
 * the list, makes sure that another thread exists, and checks it without a lock. Followers sleep two periods longer, so
 * they have work only if the leader hangs; the first thread to sleep is the leader. Since all files have the same
 * period, a checked file is appended to the list, which thus is sorted by time.
 */
#include "base/os/watched_file.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"
#include "base/telemetry/stats.h"
#include "base/text/duration.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_EVERY_MS = 1000,
    FOLLOWER_PERIODS = 2,
    HUNG_PERIODS = 3,    /* a check that takes longer is an error */
    FIRST_LOOK_MS = 200, /* most that watched_file_new waits */
    REFRESH_THREADS = 16
};

#define FILE_REFRESH_STATS(X)                                                \
    X(FILE_REFRESH_ERRORS, "sluice_file_refresh_errors_total", STATS_COUNTER, \
      "Checks of files with credentials or certificates that failed or hung")
enum file_refresh_stat { FILE_REFRESH_STATS(STATS_ID) };
static struct stats_group file_refresh_stats = STATS_GROUP(FILE_REFRESH_STATS);

struct watched_file {
    char *path;
    enum watched_kind kind;
    /* Guarded by the registry's lock. */
    struct list node;
    unsigned users;      /* 0: freed after the check in progress */
    int64_t due;         /* monotonic ms of the next look, or of the beginning of the one under way */
    bool looking, looked;
    bool hang_told;      /* in the log */
    /* The looking thread's. */
    struct stat seen;
    bool failing;
    /* Guarded by `lock`. */
    struct mutex lock;
    struct file_text *now; /* NULL: nothing was read yet */
    struct err err;        /* then: why */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t due_changed = PTHREAD_COND_INITIALIZER, look_ended = PTHREAD_COND_INITIALIZER;
static struct list idle_files = {&idle_files, &idle_files}, looked_at = {&looked_at, &looked_at};
static unsigned n_files; /* that have users */
static unsigned n_threads, n_looking;
static bool leader_sleeps;

static atomic_int look_every_ms = LOOK_EVERY_MS;
static _Atomic(void (*)(const char *path)) look_hook;

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

/* ---- a look, without the registry's lock ---- */

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

static bool watched_read(struct watched_file *f, struct err *err)
{
    static const size_t most[WATCHED_KINDS] = {[WATCHED_LINE] = 64 << 10, [WATCHED_BYTES] = 1 << 20};
    struct buf all = {.max = most[f->kind]};
    bool ok = watched_read_all(f->path, &all, err);
    struct str text = f->kind == WATCHED_LINE ? str_trim(buf_str(&all)) : buf_str(&all);
    if (ok && f->kind == WATCHED_LINE
        && (str_find(text, '\n') < text.n || str_find(text, '\r') < text.n || str_find(text, 0) < text.n))
        ok = err_set(err, ERR_BAD_GATEWAY, "%s has more than one line, or a NUL byte", f->path);
    if (ok)
        watched_keep(f, file_text_new(text));
    buf_free(&all);
    return ok;
}

static bool watched_refresh(struct watched_file *f, struct err *err)
{
    struct stat st;
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
        log_info("files", "file with credentials or certificates is read again", "file", f->path);
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
                 "file", f->path, "err", err.text);
}

/* ---- the threads, with the registry's lock ---- */

static void watched_free_memory(struct watched_file *f)
{
    file_text_unref(f->now);
    mutex_free(&f->lock);
    mem_free(f->path);
    mem_free(f);
}

static struct watched_file *watched_at(const struct list *node) { return CONTAINER(node, struct watched_file, node); }

/* Files at which a thread has looked for long; the oldest look is the first. */
static void tell_hung_looks(int64_t now)
{
    for (struct list *node = looked_at.next; node != &looked_at; node = node->next) {
        struct watched_file *f = watched_at(node);
        if (now - f->due < HUNG_PERIODS * look_every_ms)
            return;
        if (f->hang_told)
            continue;
        f->hang_told = true;
        stats_add(&file_refresh_stats, FILE_REFRESH_ERRORS, 1);
        log_warn("files", "file with credentials or certificates hangs; its last content, if any, stays in use", "file",
                 f->path);
    }
}

static void refresh_thread(void *arg);

/* Makes sure that an idle thread exists, if one can be started. */
static void ensure_follower(void)
{
    if (n_threads > n_looking || n_threads == REFRESH_THREADS)
        return;
    struct thread *t = thread_start("file-refresh", refresh_thread, NULL);
    if (t == NULL) {
        log_error("files", "cannot start a thread that reads files with credentials; raise the limit of threads "
                  "(ulimit -u, pids cgroup)", "err", strerror(errno));
        return;
    }
    thread_detach(t);
    n_threads++;
}

static void look_at_first(int64_t now)
{
    struct watched_file *f = watched_at(list_pop_front(&idle_files));
    list_push_back(&looked_at, &f->node);
    f->due = now;
    f->looking = true;
    n_looking++;
    ensure_follower();
    pthread_mutex_unlock(&registry_lock);
    watched_look(f);
    pthread_mutex_lock(&registry_lock);
    n_looking--;
    f->looking = f->hang_told = false;
    f->looked = true;
    list_remove(&f->node);
    if (f->users == 0)
        watched_free_memory(f);
    else {
        f->due = clock_mono_ms() + look_every_ms;
        list_push_back(&idle_files, &f->node);
    }
    pthread_cond_broadcast(&look_ended);
}

static void wait_for_change(pthread_cond_t *cond, int64_t until)
{
    struct timespec t = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    pthread_cond_clockwait(cond, &registry_lock, CLOCK_MONOTONIC, &t);
}

static void sleep_until_due(int64_t now)
{
    int64_t due = list_empty(&idle_files) ? now + look_every_ms : watched_at(idle_files.next)->due;
    if (leader_sleeps) {
        wait_for_change(&due_changed, due + FOLLOWER_PERIODS * look_every_ms);
        return;
    }
    leader_sleeps = true;
    wait_for_change(&due_changed, due);
    leader_sleeps = false;
}

/* One leader and one follower are enough, and none when there are no files. */
static bool thread_is_needed(void)
{
    return n_files > 0 && n_threads - n_looking <= 2;
}

static void refresh_thread(void *arg UNUSED)
{
    pthread_mutex_lock(&registry_lock);
    while (thread_is_needed()) {
        int64_t now = clock_mono_ms();
        tell_hung_looks(now);
        if (!list_empty(&idle_files) && watched_at(idle_files.next)->due <= now)
            look_at_first(now);
        else
            sleep_until_due(now);
    }
    n_threads--;
    pthread_cond_broadcast(&look_ended);
    pthread_mutex_unlock(&registry_lock);
}

/* ---- users ---- */

static struct watched_file *watched_find(const struct list *files, const char *path, enum watched_kind kind)
{
    for (struct list *node = files->next; node != files; node = node->next) {
        struct watched_file *f = watched_at(node);
        if (f->kind == kind && f->users > 0 && strcmp(f->path, path) == 0)
            return f;
    }
    return NULL;
}

static struct watched_file *watched_add(const char *path, enum watched_kind kind)
{
    struct watched_file *f = mem_zalloc(sizeof *f);
    f->path = mem_strdup(path);
    f->kind = kind;
    mutex_init(&f->lock, RANK_LEAF);
    err_set(&f->err, ERR_BAD_GATEWAY, "%s is not read yet; if that stays, its file system does not respond", path);
    list_push_front(&idle_files, &f->node);
    n_files++;
    ensure_follower();
    pthread_cond_broadcast(&due_changed);
    return f;
}

static bool some_look_hangs(int64_t now)
{
    return !list_empty(&looked_at) && now - watched_at(looked_at.next)->due >= FIRST_LOOK_MS;
}

struct watched_file *watched_file_new(const char *path, enum watched_kind kind)
{
    pthread_mutex_lock(&registry_lock);
    struct watched_file *f = watched_find(&idle_files, path, kind);
    if (f == NULL)
        f = watched_find(&looked_at, path, kind);
    if (f == NULL)
        f = watched_add(path, kind);
    f->users++;
    int64_t now = clock_mono_ms(), until = now + FIRST_LOOK_MS;
    for (; !f->looked && now < until && n_threads > 0 && !some_look_hangs(now); now = clock_mono_ms())
        wait_for_change(&look_ended, until);
    pthread_mutex_unlock(&registry_lock);
    return f;
}

void watched_file_free(struct watched_file *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&registry_lock);
    if (--f->users == 0) {
        if (--n_files == 0)
            pthread_cond_broadcast(&due_changed);
        if (!f->looking) {
            list_remove(&f->node);
            watched_free_memory(f);
        }
    }
    pthread_mutex_unlock(&registry_lock);
}

void watched_file_await_threads(void)
{
    pthread_mutex_lock(&registry_lock);
    for (int64_t now = clock_mono_ms(), until = now + FIRST_LOOK_MS; n_threads > n_looking && now < until;
         now = clock_mono_ms())
        wait_for_change(&look_ended, until);
    pthread_mutex_unlock(&registry_lock);
}
