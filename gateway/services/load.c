// SPDX-License-Identifier: Apache-2.0
#include "gateway/services/load.h"

#include "base/list.h"
#include "base/os/file_thread.h"
#include "base/os/service_notify.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/services/group_discovery.h"
#include "gateway/services/reload_log.h"

#include <errno.h>

struct reload_request { /* by HTTP */
    struct loop_task task;
    struct list node;
    struct services *services;
    struct loop *loop;
    void (*done)(void *arg, const struct err *err);
    void *arg;
    bool ok;
    struct err err;
};

struct config_load {
    struct services *services;
    struct file_thread *thread;   /* NULL: none is under way */
    struct loop_task ended;
    struct loop_timer late, check; /* check: the next --promscrape.configCheckInterval */
    struct list requests, later;  /* of struct reload_request: of the load in progress, and of the next one */
    bool again;                   /* another load is wanted after it */
    bool instances_again;         /* of the instances only */
    bool hangs;                   /* it was reported */
    bool if_changed;              /* the load in progress first checks whether the file has changed */
    bool only_instances;          /* it uses the files as last loaded */
    struct config_reader reader;  /* of the load in progress */
    int64_t began;                /* Unix ms; likewise */
    /* The thread's until it has ended. */
    uint64_t seen;                /* hash of what was loaded last, or found at the last check */
    bool unreadable;              /* at the last check */
    bool changed;
    struct config *config;        /* NULL: not loaded, see err */
    struct conf_errors errors;
    struct err err;
};

struct config_load *config_load_new(struct services *s)
{
    struct config_load *l = mem_zalloc(sizeof *l);
    l->services = s;
    list_init(&l->requests);
    list_init(&l->later);
    return l;
}

/* ---- the thread ---- */

/* True if the files and URLs of the running configuration differ from the last load and the last check: what is invalid
 * is reported once. One that cannot be read, perhaps because it is being replaced, is no change. */
static bool load_sources_changed(struct config_load *l)
{
    struct config *c = services_config(l->services);
    uint64_t now = 0;
    struct err err;
    if (c == NULL)
        return false;
    bool ok = config_hash_now(c, &l->reader, &now, &err), changed = ok && now != l->seen;
    config_unref(c);
    if (!ok && !l->unreadable)
        log_warn("config", "cannot check the configuration for changes; keeping the running configuration", "err", err.text);
    l->unreadable = !ok;
    l->seen = ok ? now : l->seen;
    return changed;
}

static void run_config_load(void *arg, struct file_thread *self UNUSED)
{
    struct config_load *l = arg;
    l->changed = !l->if_changed || load_sources_changed(l);
    if (l->changed)
        l->config = config_load_with(&l->reader, &l->services->flags, &l->errors, &l->err);
}

static void config_load_release(void *arg UNUSED) {} /* the process exits: config_load_free returned false */

/* ---- requests ---- */

static void reload_on_result(struct loop_task *task)
{
    struct reload_request *ask = CONTAINER(task, struct reload_request, task);
    ask->done(ask->arg, ask->ok ? NULL : &ask->err);
    mem_free(ask);
}

static void on_in_force(struct loop_task *task)
{
    struct reload_request *ask = CONTAINER(task, struct reload_request, task);
    ask->task.run = reload_on_result;
    loop_post(ask->loop, &ask->task);
}

static void on_targets_read(struct loop_task *task)
{
    struct reload_request *ask = CONTAINER(task, struct reload_request, task);
    ask->task.run = on_in_force;
    group_discovery_await(ask->services->group_discovery, task);
}

static void on_lanes_switched(struct loop_task *task)
{
    struct reload_request *ask = CONTAINER(task, struct reload_request, task);
    ask->task.run = on_targets_read;
    scraper_await_files(ask->services->scraper, task);
}

static void reload_answer(struct list *requests, const struct err *err)
{
    for (struct list *node; (node = list_pop_front(requests)) != NULL;) {
        struct reload_request *ask = CONTAINER(node, struct reload_request, node);
        ask->task.run = on_lanes_switched;
        ask->ok = err == NULL;
        if (err)
            ask->err = *err;
        if (ask->ok)
            writer_await(ask->services->writer, &ask->task);
        else
            on_in_force(&ask->task);
    }
}

/* ---- one load ---- */

/* Of a load that has failed: all errors of the files, or the one that came later. */
static void load_report_failure(struct config_load *l)
{
    struct reload_report *r = reload_report_new(false, l->began);
    if (l->errors.n > 0)
        reload_report_add_lines(r, RELOAD_ERROR, buf_str(&l->errors.text));
    else
        reload_report_add(r, RELOAD_ERROR, str_of(l->err.text));
    reload_history_put(&l->services->reloads, r);
}

static void load_forget_errors(struct config_load *l)
{
    buf_free(&l->errors.text);
    l->errors = (struct conf_errors){0};
}

static void load_log_errors(struct config_load *l)
{
    for (struct str rest = buf_str(&l->errors.text), line; l->errors.n > 1 && rest.n > 0;) {
        str_cut(&rest, '\n', &line);
        log_error("config", "invalid configuration", LOG_STR("err", line));
    }
}

/* An empty file is valid at the start. If the running configuration is not empty, the file is probably being written at
 * the moment, and applying it would stop everything: it is refused. */
static void load_refuse_empty(struct config_load *l, const struct config *before)
{
    if (l->config == NULL || !l->config->empty || before == NULL || before->empty)
        return;
    err_set(&l->err, ERR_BAD_DATA, "%.*s: the file is empty; write {} into it if that is intended",
            STR_ARG(l->services->flags.config_file));
    config_unref(l->config);
    l->config = NULL;
}

static bool load_apply(struct config_load *l)
{
    struct services *s = l->services;
    struct config *before = services_config(s);
    bool files_ok = atomic_load(&s->reload_ok);
    load_refuse_empty(l, before);
    struct config *c = l->config;
    l->config = NULL;
    bool ok = c != NULL && services_apply(s, c, &l->err);
    services_note_load(s, ok);
    if (ok && l->only_instances) /* whether the files could be loaded has not changed */
        atomic_store(&s->reload_ok, files_ok);
    if (ok) { /* the running configuration has a reference */
        struct reload_report *r = reload_report_new(false, l->began);
        r->ok = true;
        r->hash = config_hash(c);
        l->seen = l->only_instances ? l->seen : r->hash;
        reload_report_add_warnings(r, &s->flags, c);
        reload_log(s, before, c, r);
        reload_history_put(&s->reloads, r);
    } else {
        log_error("config", "reload failed; keeping the running configuration", "err", l->err.text);
        load_report_failure(l);
    }
    config_unref(before);
    mem_trim();
    return ok;
}

enum load_kind { LOAD_ALL, LOAD_IF_CHANGED, LOAD_INSTANCES };
static void load_begin(struct config_load *l, enum load_kind kind);

static void load_on_ended(struct loop_task *task)
{
    struct config_load *l = CONTAINER(task, struct config_load, ended);
    bool stale = l->hangs, stopping = atomic_load(&l->services->state) == SERVICES_STOPPING;
    (void)!file_thread_end(l->thread, INT64_MAX);
    l->thread = NULL;
    config_reader_free(&l->reader);
    l->hangs = false;
    loop_timer_stop(l->services->control, &l->late);
    load_log_errors(l);
    if (!stopping && !l->if_changed && !l->only_instances)
        service_notify("READY=1");
    if (stopping)
        err_set(&l->err, ERR_UNAVAILABLE, "the program is stopping");
    bool ok = !stale && !stopping && l->changed && load_apply(l);
    load_forget_errors(l);
    config_unref(l->config); /* of a load that came too late */
    l->config = NULL;
    reload_answer(&l->requests, ok ? NULL : &l->err);
    if (stopping || (!stale && !l->again && !l->instances_again))
        return;
    bool all = l->again || (stale && !l->only_instances);
    while (!list_empty(&l->later))
        list_push_back(&l->requests, list_pop_front(&l->later));
    l->again = false;
    l->instances_again = all && l->instances_again; /* the files may be invalid */
    load_begin(l, all ? LOAD_ALL : LOAD_INSTANCES);
}

/* Requests that arrive while the load hangs are answered at once. */
static void load_answer_hanging(struct config_load *l)
{
    struct err err;
    char *at = config_reader_at(&l->reader);
    err_set(&err, ERR_UNAVAILABLE, "%s does not respond; the running configuration is kept", at);
    reload_answer(&l->requests, &err);
    reload_answer(&l->later, &err);
    mem_free(at);
}

static void load_on_late(struct loop_timer *t)
{
    struct config_load *l = CONTAINER(t, struct config_load, late);
    char *at = config_reader_at(&l->reader);
    l->hangs = true;
    services_note_load(l->services, false);
    log_error("config", "cannot read the configuration: a file does not respond; keeping the running configuration, and "
              "loading it again when the file system responds", "file", at);
    struct reload_report *r = reload_report_new(false, l->began);
    struct buf line = {0};
    buf_printf(&line, "%s does not respond; it is loaded when it does", at);
    reload_report_add(r, RELOAD_ERROR, buf_str(&line));
    reload_history_put(&l->services->reloads, r);
    buf_free(&line);
    load_answer_hanging(l);
    mem_free(at);
}

static void load_begin(struct config_load *l, enum load_kind kind)
{
    l->if_changed = kind == LOAD_IF_CHANGED;
    l->only_instances = kind == LOAD_INSTANCES;
    l->began = clock_wall_ms();
    l->ended.run = load_on_ended;
    l->late.run = load_on_late;
    l->err = (struct err){0};
    config_reader_init(&l->reader, false, &l->services->flags);
    l->reader.instances = services_instances(l->services);
    l->reader.kept = l->only_instances ? services_config(l->services) : NULL;
    l->thread = file_thread_start(&(struct file_thread_conf){.name = "config-load", .run = run_config_load,
                                                             .release = config_load_release, .arg = l});
    if (l->thread == NULL) {
        err_set(&l->err, ERR_UNAVAILABLE, "cannot start a thread that loads the configuration: %s; raise the limit of "
                "threads (ulimit -u, pids cgroup)", strerror(errno));
        log_error("config", "reload failed; keeping the running configuration", "err", l->err.text);
        services_note_load(l->services, false);
        load_report_failure(l);
        reload_answer(&l->requests, &l->err);
        config_reader_free(&l->reader);
        return;
    }
    if (kind == LOAD_ALL)
        service_notify_reloading();
    loop_timer_in(l->services->control, &l->late, LOAD_HANG_MS);
    file_thread_notify(l->thread, FILE_ENDED, l->services->control, &l->ended);
}

void services_report_start(struct services *s, const struct config *c)
{
    struct reload_report *r = reload_report_new(true, s->started);
    r->ok = true;
    r->hash = config_hash(c);
    reload_report_add_warnings(r, &s->flags, c);
    reload_history_put(&s->reloads, r);
}

void services_reload(struct services *s)
{
    struct config_load *l = s->_load;
    if (atomic_load(&s->state) == SERVICES_STOPPING)
        return;
    if (l->thread)
        l->again = true;
    else
        load_begin(l, LOAD_ALL);
}

void services_reload_instances(struct services *s)
{
    struct config_load *l = s->_load;
    if (atomic_load(&s->state) == SERVICES_STOPPING)
        return;
    if (l->thread)
        l->instances_again = true;
    else
        load_begin(l, LOAD_INSTANCES);
}

static void reload_on_request(struct loop_task *task)
{
    struct reload_request *ask = CONTAINER(task, struct reload_request, task);
    struct config_load *l = ask->services->_load;
    if (atomic_load(&ask->services->state) == SERVICES_STOPPING) { /* l may be freed */
        err_set(&ask->err, ERR_UNAVAILABLE, "the program is stopping");
        on_in_force(&ask->task);
        return;
    }
    list_push_back(l->thread ? &l->later : &l->requests, &ask->node);
    if (l->hangs)
        load_answer_hanging(l);
    else
        services_reload(ask->services);
}

void services_request_reload(struct services *s, struct loop *loop, void (*done)(void *arg, const struct err *err),
                             void *arg)
{
    struct reload_request *ask = mem_zalloc(sizeof *ask);
    *ask = (struct reload_request){.task.run = reload_on_request, .services = s, .loop = loop, .done = done,
                                   .arg = arg};
    loop_post(s->control, &ask->task);
}

/* ---- watching the files ---- */

static void on_watch(struct loop_timer *t)
{
    struct config_load *l = CONTAINER(t, struct config_load, check);
    if (l->thread == NULL)
        load_begin(l, LOAD_IF_CHANGED);
    loop_timer_in(l->services->control, t, l->services->flags.config_check_interval);
}

void services_watch_config(struct services *s)
{
    if (s->flags.config_check_interval == 0)
        return;
    struct config *c = services_config(s);
    s->_load->seen = config_hash(c);
    config_unref(c);
    s->_load->check.run = on_watch;
    on_watch(&s->_load->check);
}

void services_stop_reloads(struct services *s)
{
    struct config_load *l = s->_load;
    struct err err;
    loop_timer_stop(s->control, &l->check);
    loop_timer_stop(s->control, &l->late);
    err_set(&err, ERR_UNAVAILABLE, "the program is stopping");
    reload_answer(&l->requests, &err);
    reload_answer(&l->later, &err);
}

bool config_load_free(struct config_load *l)
{
    services_stop_reloads(l->services);
    if (l->thread && !file_thread_end(l->thread, clock_mono_ms() + 100))
        return false;
    if (l->thread)
        config_reader_free(&l->reader);
    loop_unpost(l->services->control, &l->ended);
    config_unref(l->config);
    buf_free(&l->errors.text);
    mem_free(l);
    return true;
}
