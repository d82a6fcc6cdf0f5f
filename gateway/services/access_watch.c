// SPDX-License-Identifier: Apache-2.0
#include "gateway/services/access_watch.h"

#include "base/os/watched_file.h"
#include "base/telemetry/log.h"
#include "base/telemetry/stats.h"

enum { CHECK_MS = 1000, PATIENCE = 3 /* checks that fail before it is reported: files are replaced one by one */ };

#define ACCESS_STATS(X)                                                              \
    X(ACCESS_RELOADS, "sluice_http_access_reloads_total", STATS_COUNTER,             \
      "Reloads of certificates and users because a file changed")                   \
    X(ACCESS_ERRORS, "sluice_http_access_reload_errors_total", STATS_COUNTER,        \
      "Such reloads that failed; the previous certificates and users stay in use")
enum access_stat { ACCESS_STATS(STATS_ID) };
static struct stats_group access_stats = STATS_GROUP(ACCESS_STATS);

void access_watch_register_stats(void) { stats_register(&access_stats); }

struct access_watch {
    struct services *services;
    struct access_set *set;
    struct watched_file *files[ACCESS_FILES_MAX]; /* of set->files */
    struct loop_timer check;
    uint64_t failed;   /* hash of the texts of the last attempt that failed; 0: none */
    unsigned failures; /* checks since then, with the same texts */
};

static void access_watch_close_files(struct access_watch *w)
{
    for (size_t i = 0; w->set && i < w->set->n_files; i++)
        watched_file_free(w->files[i]);
}

/* The listeners refer to what they use, and files that stay are watched without a gap. */
void access_watch_use(struct access_watch *w, struct access_set *set)
{
    struct services *s = w->services;
    struct watched_file *files[ACCESS_FILES_MAX] = {0};
    for (size_t i = 0; i < s->n_listeners; i++)
        listener_set_access(&s->listeners[i], http_access_ref(set->of[i]));
    for (size_t i = 0; i < set->n_files; i++)
        files[i] = watched_file_new(set->files[i].path, WATCHED_BYTES);
    access_watch_close_files(w);
    memcpy(w->files, files, sizeof files);
    access_set_ref(set);
    access_set_unref(w->set);
    w->set = set;
    w->failed = 0;
    if (set->n_files > 0)
        loop_timer_in(s->control, &w->check, CHECK_MS);
    else
        loop_timer_stop(s->control, &w->check);
}

/* A hash of the current texts; 0: they are those in use, or one cannot be read. */
static uint64_t access_changed(const struct access_watch *w)
{
    uint64_t all = 0;
    bool changed = false;
    for (size_t i = 0; i < w->set->n_files; i++) {
        struct file_text *text = watched_file_text(w->files[i], NULL);
        if (text == NULL)
            return 0;
        uint64_t hash = access_text_hash(str_n(text->text, text->n));
        changed = changed || hash != w->set->files[i].hash;
        all = (all ^ hash) * 0x9e3779b97f4a7c15ull + 1;
        file_text_unref(text);
    }
    return changed ? all : 0;
}

/* Reads what was read before, or a file that the changed one names. */
static bool access_read_watched(void *arg, const char *path, struct buf *out, struct err *err)
{
    struct access_watch *w = arg;
    struct watched_file *file = NULL, *added = NULL;
    for (size_t i = 0; i < w->set->n_files && file == NULL; i++)
        file = strcmp(w->set->files[i].path, path) == 0 ? w->files[i] : NULL;
    if (file == NULL)
        file = added = watched_file_new(path, WATCHED_BYTES);
    struct file_text *text = watched_file_text(file, err);
    if (text)
        buf_add(out, text->text, text->n);
    file_text_unref(text);
    watched_file_free(added);
    return text != NULL;
}

static void access_reload(struct access_watch *w, uint64_t texts)
{
    struct services *s = w->services;
    struct err err;
    struct config *c = services_config(s);
    struct access_set *set = access_load(&(struct access_source){.flags = &s->flags, .tls = c ? c->tls_server : NULL,
                                                                 .tls_node = c ? c->tls_server_node : NULL,
                                                                 .read = access_read_watched, .arg = w}, &err);
    config_unref(c);
    w->failures = texts == w->failed ? w->failures + 1 : 1;
    if (set) {
        access_watch_use(w, set);
        access_set_unref(set);
        stats_add(&access_stats, ACCESS_RELOADS, 1);
        log_info("http", "certificates and users of the listeners reloaded");
        return;
    }
    w->failed = texts;
    if (w->failures != PATIENCE)
        return;
    stats_add(&access_stats, ACCESS_ERRORS, 1);
    log_error("http", "cannot reload certificates and users of the listeners; keeping the previous ones", "err", err.text);
}

static void access_watch_on_check(struct loop_timer *t)
{
    struct access_watch *w = CONTAINER(t, struct access_watch, check);
    uint64_t texts = access_changed(w);
    loop_timer_in(w->services->control, t, CHECK_MS);
    if (texts != 0 && (texts != w->failed || w->failures < PATIENCE))
        access_reload(w, texts);
}

struct access_watch *access_watch_new(struct services *s)
{
    struct access_watch *w = mem_zalloc(sizeof *w);
    w->services = s;
    w->check.run = access_watch_on_check;
    return w;
}

void access_watch_stop(struct access_watch *w) { loop_timer_stop(w->services->control, &w->check); }

void access_watch_free(struct access_watch *w)
{
    if (w == NULL)
        return;
    access_watch_stop(w);
    access_watch_close_files(w);
    access_set_unref(w->set);
    mem_free(w);
}
