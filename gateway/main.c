// SPDX-License-Identifier: Apache-2.0
/* The program: reads flags and file, builds the parts from below (lanes, writer, scraper, workers, listeners), and
 * takes them down in the reverse order. After that the main thread waits in its loop for signals, clients and
 * reloads.
 */
#include "base/telemetry/log.h"
#include "base/os/process.h"
#include "base/os/watched_file.h"
#include "base/text/duration.h"
#include "gateway/cli/cli_promql.h"
#include "gateway/gateway.h"
#include "gateway/greeting.h"
#include "gateway/limits.h"
#include "gateway/http/http_aside.h"
#include "gateway/metrics.h"
#include "gateway/routes.h"
#include "gateway/query/worker.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { SWEEP_MS = 60000, GRACE_MS = 5000, LISTENERS = 16, QUERIES = 20 };

static struct http_listener *listeners[LISTENERS];
static size_t n_listeners;
static struct loop_fd signals;
static struct loop_task quit_task;
static struct loop_timer sweep_timer;
static struct thread *log_thread; /* NULL: whoever logs waits for stderr */

/* Few arenas: lanes and workers free what others allocated, and each arena keeps what it once held. */
static void set_up_process(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 512 << 10);
    signal(SIGPIPE, SIG_IGN);
    limits_raise_files();
}

static void set_up_log(const struct flags *f)
{
    enum log_level level = LOG_INFO;
    if (!log_level_parse(f->log_level, &level))
        level = LOG_INFO;
    log_setup(level, str_is(f->log_format, "json") ? LOG_JSON : LOG_LOGFMT, 2);
    for (size_t i = 0; i < f->warnings.n; i++)
        log_warn("flags", f->warnings.items[i].p);
    for (size_t i = 0; i < f->tuning.n; i++)
        log_debug("flags", "flag accepted for compatibility; it changes nothing", "flag", f->tuning.items[i].p);
}

static void start_log_thread(void)
{
    if ((log_thread = thread_start("log", log_run, NULL)) == NULL)
        log_warn("main", "no thread for the log: lines are written by the threads that log, which wait for stderr",
                 "err", strerror(errno));
}

/* False: stderr takes nothing. */
static bool stop_log_thread(void)
{
    if (log_thread == NULL)
        return true;
    bool ok = log_stop();
    if (ok)
        thread_join(log_thread);
    else
        thread_detach(log_thread);
    log_thread = NULL;
    return ok;
}

/* ---- stopping: scraper, then writer, then main's loop ends ---- */

static void on_writer_stopped(void *arg UNUSED) { loop_stop(gateway.main); }
static void on_scraper_stopped(void *arg UNUSED) { writer_stop(gateway.writer, GRACE_MS, on_writer_stopped, NULL); }

static void begin_stop(void)
{
    if (atomic_exchange(&gateway.state, GATEWAY_STOPPING) == GATEWAY_STOPPING)
        return;
    log_info("main", "stopping");
    gateway_unwatch_config();
    scraper_stop(gateway.scraper, on_scraper_stopped, NULL);
}

static void on_quit(struct loop_task *task UNUSED) { begin_stop(); }
void gateway_request_quit(void) { loop_post(gateway.main, &quit_task); }

/* ---- signals ---- */

static void on_signal(struct loop_fd *w, uint32_t events UNUSED)
{
    struct signalfd_siginfo info;
    struct err err;
    while (read(w->fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGHUP)
            begin_stop();
        else if (atomic_load(&gateway.state) == GATEWAY_READY)
            (void)!gateway_reload(&err);
    }
}

/* Before any thread is started, so that all of them have these signals blocked. */
static void watch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals.run = on_signal;
    signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    loop_watch(gateway.main, &signals, EPOLLIN);
}

/* Lines that were suppressed are counted in the log also when nothing else is logged. */
static void main_on_sweep(struct loop_timer *t)
{
    log_sweep();
    loop_timer_in(gateway.main, t, SWEEP_MS);
}

/* Polled where main cannot turn its loop: a signal that ends the program has come, and on_signal has not seen it yet.
 * */
static bool stop_signal_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

/* ---- building ---- */

static bool start_lanes(struct err *err)
{
    const struct flags *f = &gateway.flags;
    unsigned cores = thread_cores();
    unsigned n = f->lanes > 0 ? (unsigned)f->lanes : cores;
    unsigned workers = f->query_concurrency > 0 ? (unsigned)f->query_concurrency : QUERIES;
    size_t unpacked = (size_t)f->max_insert_size;
    limits_divide(f, n, workers, &gateway.http, &gateway.queries);
    struct listener_conf conf = {.max_push = unpacked + unpacked / 6 + 32, /* what snappy makes of random bytes */
                                 .routes = routes, .n_routes = n_routes, .prefix = f->path_prefix.p,
                                 .cors_origin = f->disable_cors ? NULL : f->cors_origin.p, .limits = &gateway.http};
    http_aside_start();
    workers_start(&(struct worker_conf){.workers = workers, .turns = f->query_evaluations > 0
                                                                            ? (unsigned)f->query_evaluations
                                                                            : cores,
                                        .memory = &gateway.queries});
    gateway.lanes = mem_zalloc(n * sizeof(struct lane *));
    for (; gateway.n_lanes < n; gateway.n_lanes++)
        if ((gateway.lanes[gateway.n_lanes] = lane_start(gateway.n_lanes, &conf, err)) == NULL)
            return false;
    return true;
}

static bool start_writer(struct loop *const *loops, struct err *err)
{
    const struct flags *f = &gateway.flags;
    struct writer_env env = {.main = gateway.main, .lanes = loops, .n_lanes = gateway.n_lanes,
                             .queue_dir = f->queue_dir, .flush_interval = f->flush_interval,
                             .show_urls = f->remote_write.show_url, .interrupted = stop_signal_pending};
    gateway.writer = writer_new(&env, err);
    return gateway.writer != NULL;
}

static void start_scraper(struct loop *const *loops, struct sink **sinks)
{
    for (unsigned i = 0; i < gateway.n_lanes; i++)
        gateway.lanes[i]->sink = sinks[i] = writer_sink(gateway.writer, i);
    struct scraper_env env = {.main = gateway.main, .lanes = loops, .n_lanes = gateway.n_lanes,
                              .sinks = (struct sink *const *)sinks};
    gateway.scraper = scraper_new(&env);
}

static bool start_listeners(struct err *err)
{
    const struct str_list *list = &gateway.flags.listen;
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].n == 0)
            continue;
        if (n_listeners == LISTENERS)
            return err_set(err, ERR_BAD_DATA, "--web.listen-address: at most %d addresses", LISTENERS);
        listeners[n_listeners] = http_listen(list->items[i], gateway.main, gateway.lanes, gateway.n_lanes,
                                             &gateway.http, err);
        if (listeners[n_listeners] == NULL)
            return false;
        n_listeners++;
    }
    return true;
}

static struct loop **lane_loops;
static struct sink **lane_sinks;

static bool main_start(struct config *c, struct err *err)
{
    if (!start_lanes(err)) {
        config_unref(c);
        return false;
    }
    lane_loops = mem_zalloc(gateway.n_lanes * sizeof *lane_loops);
    lane_sinks = mem_zalloc(gateway.n_lanes * sizeof *lane_sinks);
    for (unsigned i = 0; i < gateway.n_lanes; i++)
        lane_loops[i] = gateway.lanes[i]->loop;
    if (!start_writer(lane_loops, err) || !start_listeners(err)) {
        config_unref(c);
        return false;
    }
    start_scraper(lane_loops, lane_sinks);
    return gateway_apply(c, err);
}

static void close_listeners(void)
{
    while (n_listeners > 0)
        http_listener_close(listeners[--n_listeners]);
}

/* Also after a start that failed half way. */
static void tear_down(void)
{
    close_listeners();
    for (unsigned i = 0; i < gateway.n_lanes; i++)
        lane_cancel(gateway.lanes[i]);
    workers_stop();
    http_aside_stop();
    for (unsigned i = 0; i < gateway.n_lanes; i++)
        lane_join(gateway.lanes[i]);
    workers_free();
    http_aside_free();
    if (gateway.scraper)
        scraper_free(gateway.scraper);
    gateway_release();
    if (gateway.writer)
        writer_free(gateway.writer);
    loop_turn(gateway.main, 0);
    for (unsigned i = 0; i < gateway.n_lanes; i++)
        lane_free(gateway.lanes[i]);
    http_limits_free(&gateway.http);
    mem_free(gateway.lanes);
    mem_free(lane_loops);
    mem_free(lane_sinks);
}

/* ---- running ---- */

static void log_ready(const struct config *c, const char *address)
{
    char jobs[24], destinations[24], groups[24];
    snprintf(jobs, sizeof jobs, "%zu", c->n_jobs);
    snprintf(destinations, sizeof destinations, "%zu", c->n_destinations);
    snprintf(groups, sizeof groups, "%zu", c->n_groups);
    log_info("main", "ready", "version", VERSION, "address", address, "jobs", jobs, "destinations", destinations,
             "server_groups", groups, "recent", c->recent ? "true" : "false");
}

/* Prose is for people: a daemon's output may be parsed line by line. */
static void greet(void)
{
    if (n_listeners == 0)
        return;
    struct config *c = gateway_config();
    if (isatty(STDOUT_FILENO) && !str_is(gateway.flags.log_format, "json")) {
        struct buf text = {0};
        greeting_print(&text, c, http_listener_url_host(listeners[0]), gateway.flags.path_prefix.p);
        fwrite(text.p, 1, text.n, stdout);
        fflush(stdout);
        buf_free(&text);
    }
    for (size_t i = 0; i < n_listeners; i++)
        log_ready(c, http_listener_address(listeners[i]));
    config_unref(c);
}

/* Until they take what is pushed. False: it was told to stop meanwhile. */
static bool wait_for_lanes(void)
{
    int starting = GATEWAY_STARTING;
    while (!writer_ready(gateway.writer) && atomic_load(&gateway.state) == GATEWAY_STARTING)
        loop_turn(gateway.main, -1);
    return atomic_compare_exchange_strong(&gateway.state, &starting, GATEWAY_READY);
}

static bool main_run(struct config *c, struct err *err)
{
    if ((gateway.main = loop_new()) == NULL) {
        config_unref(c);
        return err_set(err, ERR_UNAVAILABLE,
                       "cannot create an event loop: %s; raise the limit of open files (ulimit -n)", strerror(errno));
    }
    gateway.started = clock_wall_ms();
    mutex_init(&gateway._mutex, RANK_SERVICES);
    quit_task.run = on_quit;
    watch_signals();
    start_log_thread();
    metrics_start();
    sweep_timer.run = main_on_sweep;
    loop_timer_in(gateway.main, &sweep_timer, SWEEP_MS);
    bool ok = main_start(c, err);
    bool interrupted = !ok && err->kind == ERR_CANCELED;
    if (ok) {
        if (wait_for_lanes()) {
            gateway_watch_config();
            greet();
        }
        loop_run(gateway.main);
    } else if (gateway.scraper) {
        close_listeners(); /* there is no configuration that a client could be answered from */
        begin_stop();
        loop_run(gateway.main);
    }
    if (gateway.writer && writer_abandoned(gateway.writer)) {
        (void)!stop_log_thread();
        _exit(1); /* threads that hang in a disk may still use what tear_down frees */
    }
    tear_down();
    loop_timer_stop(gateway.main, &sweep_timer);
    loop_unwatch(gateway.main, &signals);
    close(signals.fd);
    loop_free(gateway.main);
    mutex_free(&gateway._mutex);
    watched_file_await_threads();
    if (!stop_log_thread())
        err->text[0] = 0; /* nobody would read it, and who writes it would wait */
    return ok || interrupted;
}

static bool check_only(struct config *c)
{
    for (size_t i = 0; i < c->warnings.n; i++)
        printf("warning: %s\n", c->warnings.items[i].p);
    struct str file = gateway.flags.config_file.n > 0 ? gateway.flags.config_file : STR("the command line");
    printf("%.*s is valid: %zu scrape jobs, %zu destinations, %zu server groups\n", STR_ARG(file), c->n_jobs,
           c->n_destinations, c->n_groups);
    config_unref(c);
    return true;
}

static void print(void (*document)(struct buf *out))
{
    struct buf out = {0};
    document(&out);
    fwrite(out.p, 1, out.n, stdout);
    buf_free(&out);
}

/* docs/configuration.md is checked against this. */
static bool wants_help(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "--print-docs") != 0)
        return false;
    print(flags_document);
    print(config_document);
    return true;
}

/* All errors, a line each; then err is empty, as everything is said. */
static void print_errors(const struct conf_errors *errors, struct err *err)
{
    struct str rest = errors->n > 0 ? buf_str(&errors->text) : str_of(err->text), line;
    while (rest.n > 0) {
        str_cut(&rest, '\n', &line);
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(line));
    }
    err->text[0] = 0;
}

static bool run_flags(struct err *err)
{
    const struct flags *f = &gateway.flags;
    if (f->help) {
        print(flags_help);
        return true;
    }
    if (f->version) {
        puts("sluice " VERSION);
        return true;
    }
    set_up_log(f);
    struct conf_errors errors = {0};
    struct config *c = config_load(f, &errors, err);
    if (c == NULL)
        print_errors(&errors, err);
    buf_free(&errors.text);
    if (c == NULL)
        return false;
    return f->dry_run ? check_only(c) : main_run(c, err);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    set_up_process();
    if (wants_help(argc, argv))
        return 0;
    if (argc > 1 && strcmp(argv[1], "promql") == 0)
        return cli_promql(argc - 1, argv + 1);
    bool ok = flags_parse(argc, argv, &gateway.flags, &err) && run_flags(&err);
    if (!ok)
        print_errors(&gateway.flags.errors, &err);
    flags_free(&gateway.flags);
    return ok ? 0 : 1;
}
