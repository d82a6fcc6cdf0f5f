// SPDX-License-Identifier: Apache-2.0
/* A configuration comes into force all or nothing: what may fail is done first and beside the old one (the servers to
 * ask, the writer's new queues), then the scraper gets its jobs or refuses them, and what is left cannot fail. Whoever
 * keeps pointers into a configuration keeps a reference to it.
 */
#include "gateway/gateway.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <stdio.h>
#include <sys/stat.h>

struct gateway gateway;

struct config *gateway_config(void)
{
    mutex_lock(&gateway._mutex);
    struct config *c = config_ref(gateway._config);
    mutex_unlock(&gateway._mutex);
    return c;
}

struct upstream *gateway_upstream(void)
{
    mutex_lock(&gateway._mutex);
    struct upstream *u = upstream_ref(gateway._upstream);
    mutex_unlock(&gateway._mutex);
    return u;
}

static void reload_release_config(void *arg) { config_unref(arg); }

/* ---- the steps ---- */

static struct source *recent_get(void *arg) { return writer_recent(arg); }

static struct upstream *build_upstream(const struct config *c, struct err *err)
{
    struct upstream_env env = {.recent_alone = c->n_groups == 0};
    if (c->recent) {
        env.recent_get = recent_get;
        env.recent_put = writer_recent_unref;
        env.recent_from = writer_recent_from;
        env.recent_arg = gateway.writer;
        env.recent_like = c->recent->like;
    }
    return upstream_new(c->groups, c->n_groups, &env, err);
}

static struct writer_change *prepare_writer(const struct config *c, struct err *err)
{
    struct writer_plan plan = {.destinations = c->destinations, .n = c->n_destinations, .recent = c->recent,
                               .external_labels = c->global.external_labels};
    return writer_prepare(gateway.writer, &plan, err);
}

static bool apply_scraper(struct config *c, struct err *err)
{
    if (scraper_apply(gateway.scraper, c->jobs, c->n_jobs, &c->scrape, reload_release_config, config_ref(c), err))
        return true;
    config_unref(c);
    return false;
}

static void reload_swap_config(struct config *c, struct upstream *u)
{
    if (u && gateway._upstream)
        upstream_adopt(u, gateway._upstream);
    mutex_lock(&gateway._mutex);
    struct config *old = gateway._config;
    struct upstream *old_upstream = gateway._upstream;
    gateway._config = c;
    gateway._upstream = u;
    mutex_unlock(&gateway._mutex);
    if (old_upstream)
        upstream_unref(old_upstream);
    config_unref(old);
}

static bool reload_apply_config(struct config *c, struct upstream *u, struct err *err)
{
    struct writer_change *change = prepare_writer(c, err);
    if (change == NULL)
        return false;
    if (!apply_scraper(c, err)) {
        writer_cancel(change);
        return false;
    }
    writer_commit(change, reload_release_config, config_ref(c));
    reload_swap_config(c, u);
    return true;
}

static void note_success(const struct config *c)
{
    atomic_store(&gateway.reloaded_at, clock_wall_ms());
    for (size_t i = 0; i < c->warnings.n; i++)
        log_warn("config", c->warnings.items[i].p);
}

bool gateway_apply(struct config *c, struct err *err)
{
    struct upstream *u = build_upstream(c, err);
    bool ok = u != NULL && reload_apply_config(c, u, err);
    if (ok)
        note_success(c);
    else {
        if (u)
            upstream_unref(u);
        config_unref(c);
    }
    atomic_store(&gateway.reload_ok, ok);
    return ok;
}

/* A file that says nothing is fine at the start. Where it said something before, it is more likely being written just
 * now, and would stop everything. */
static struct config *load_again(struct err *err)
{
    struct conf_errors errors = {0};
    struct config *c = config_load(&gateway.flags, &errors, err);
    for (struct str rest = buf_str(&errors.text), line; errors.n > 1 && rest.n > 0;) {
        str_cut(&rest, '\n', &line);
        char *z = str_dup(line);
        log_error("config", "error in the configuration", "err", z);
        mem_free(z);
    }
    buf_free(&errors.text);
    if (c == NULL || !c->empty || gateway._config == NULL || gateway._config->empty)
        return c;
    err_set(err, ERR_BAD_DATA, "%.*s: the file is empty: if that is meant, write {} into it",
            STR_ARG(gateway.flags.config_file));
    config_unref(c);
    return NULL;
}

bool gateway_reload(struct err *err)
{
    if (atomic_load(&gateway.state) == GATEWAY_STOPPING) /* asked for a moment before */
        return err_set(err, ERR_UNAVAILABLE, "the program is stopping");
    struct config *c = load_again(err);
    bool ok = c != NULL && gateway_apply(c, err);
    atomic_store(&gateway.reload_ok, ok);
    if (ok)
        log_info("config", "reloaded");
    else
        log_error("config", "reload failed; keeping the running configuration", "err", err->text);
    mem_trim();
    return ok;
}

void gateway_release(void) { reload_swap_config(NULL, NULL); }

/* ---- asked for by HTTP ---- */

struct reload_request {
    struct loop_task task;
    struct lane *lane;
    void (*done)(void *arg, const struct err *err);
    void *arg;
    bool ok;
    struct err err;
};

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
    loop_post(ask->lane->loop, &ask->task);
}

static void reload_on_request(struct loop_task *task)
{
    struct reload_request *ask = CONTAINER(task, struct reload_request, task);
    ask->ok = gateway_reload(&ask->err);
    ask->task.run = on_in_force;
    if (ask->ok)
        writer_await(gateway.writer, &ask->task);
    else
        on_in_force(&ask->task);
}

void gateway_request_reload(struct lane *lane, void (*done)(void *arg, const struct err *err), void *arg)
{
    struct reload_request *ask = mem_zalloc(sizeof *ask);
    *ask = (struct reload_request){.task.run = reload_on_request, .lane = lane, .done = done, .arg = arg};
    loop_post(gateway.main, &ask->task);
}

/* ---- looking at the file ---- */

static struct loop_timer watch_timer;
static struct timespec seen_time;
static off_t seen_size;

/* True when it is not as it was at the last look. */
static bool file_changed(void)
{
    struct stat now;
    if (stat(gateway.flags.config_file.p, &now) < 0)
        return false;
    bool changed = now.st_size != seen_size || now.st_mtim.tv_sec != seen_time.tv_sec
                   || now.st_mtim.tv_nsec != seen_time.tv_nsec;
    seen_size = now.st_size;
    seen_time = now.st_mtim;
    return changed;
}

static void on_watch(struct loop_timer *t)
{
    struct err err;
    if (file_changed())
        (void)!gateway_reload(&err);
    loop_timer_in(gateway.main, t, gateway.flags.config_check_interval);
}

void gateway_watch_config(void)
{
    if (gateway.flags.config_check_interval == 0 || gateway.flags.config_file.n == 0)
        return;
    file_changed();
    watch_timer.run = on_watch;
    loop_timer_in(gateway.main, &watch_timer, gateway.flags.config_check_interval);
}

void gateway_unwatch_config(void) { loop_timer_stop(gateway.main, &watch_timer); }
