// SPDX-License-Identifier: Apache-2.0
/* The program:
 *
 * 1. Parses flags and configuration.
 * 2. Starts lanes, workers, acceptor, writer and scraper, in this order, and applies the configuration.
 * 3. Runs the control loop on the main thread: reloads, and what scraper and writer do outside of lanes. Signals and
 *    connections are received by the acceptor (acceptor.h).
 * 4. On a stop, ends scraper and writer, then joins and frees everything in reverse order.
 */
#include "base/http/fetch.h"
#include "base/os/file_thread.h"
#include "base/os/file_work.h"
#include "base/os/service_notify.h"
#include "base/telemetry/log.h"
#include "gateway/acceptor.h"
#include "gateway/agent/instance_store.h"
#include "gateway/background/breaker_checks.h"
#include "gateway/background/coverage_reader.h"
#include "gateway/background/audits.h"
#include "gateway/background/filter_sync.h"
#include "gateway/background/push_checks.h"
#include "gateway/check_config.h"
#include "gateway/cli/cli_audit.h"
#include "gateway/cli/cli_config.h"
#include "gateway/cli/cli_config_sync.h"
#include "gateway/cli/cli_output.h"
#include "gateway/cli/cli_promql.h"
#include "gateway/cli/cli_queue.h"
#include "gateway/dispatch.h"
#include "gateway/drain.h"
#include "gateway/greeting.h"
#include "gateway/ingest/ingest_rate.h"
#include "gateway/ingest/lines/lines.h"
#include "gateway/ingest/otlp/otlp_delta.h"
#include "gateway/lane.h"
#include "gateway/listeners.h"
#include "gateway/http/http_auth.h"
#include "gateway/limits.h"
#include "gateway/metrics.h"
#include "gateway/query/worker.h"
#include "gateway/routes.h"
#include "gateway/services/access_watch.h"
#include "gateway/services/services.h"
#include "gateway/upstream/probe.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SWEEP_MS = 60000,
    GRACE_MS = 5000,    /* for sending what is pending at a stop */
    CONTROL_MS = 20000, /* for the control thread to notice a stop */
    FILES_MS = 200,     /* for threads that read files to end */
    FIRST_LOAD_MS = 5000, /* twice for one file: it hangs */
    QUERIES = 20,       /* query workers by default */
    PAGES = 2,          /* workers for pages, /metrics and reports */
    BACKGROUND = 2,     /* workers that read what servers have, for coverage */
    LANES_PER_PUSH_WORKER = 8,
};

static atomic_bool stop_requested; /* read by writer_env.interrupted, which has no argument */

struct program {
    struct services services;
    struct lane **lanes;
    struct http_server **servers;
    struct loop **lane_loops;
    struct sink **lane_sinks;
    struct acceptor *acceptor;
    struct http_auth *auth;
    struct listener listeners[LISTENERS_MAX]; size_t n_listeners;
    struct loop_task quit, hangup;
    struct drain drain;
    atomic_bool stopping; /* the control thread is stopping */
    struct loop_timer sweep;
    struct thread *log; /* NULL: each thread writes its own lines, and waits for stderr */
};

/* Two malloc arenas only: lanes and workers free memory that other threads allocated, and an arena keeps its peak. */
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
        log_warn("flags", "warning about a flag", LOG_STR("warning", f->warnings.items[i]));
    for (size_t i = 0; i < f->tuning.n; i++)
        log_debug("flags", "flag accepted for compatibility; ignored", "flag", f->tuning.items[i].p);
}

static void start_log_thread(struct program *p)
{
    if ((p->log = thread_start("log", log_run, NULL)) == NULL)
        log_warn("main", "cannot start the log thread; lanes and workers write their log lines themselves and wait for "
                 "stderr; raise the limit of threads (ulimit -u, pids cgroup)", "err", strerror(errno));
}

/* False: lines are left, because stderr is blocked. */
static bool stop_log_thread(struct program *p)
{
    if (p->log == NULL)
        return true;
    bool ok = log_stop();
    if (ok)
        thread_join(p->log);
    else
        thread_detach(p->log);
    p->log = NULL;
    return ok;
}

/* ---- stopping: the scraper, then the writer, then the control loop ---- */

static void on_drained(struct services *s) { loop_stop(s->control); }

static void on_cluster_ended(void *arg)
{
    struct services *s = arg;
    drain_requests(&CONTAINER(s, struct program, services)->drain);
}

static void on_writer_stopped(void *arg) { services_end_cluster(arg, on_cluster_ended); }
static void on_lines_drained(struct services *s) { writer_stop(s->writer, GRACE_MS, on_writer_stopped, s); }
static void on_scraper_stopped(void *arg) { lines_drain(arg, on_lines_drained); }

static void on_cluster_left(void *arg) { scraper_stop(((struct services *)arg)->scraper, on_scraper_stopped, arg); }

static void begin_stop(struct program *p)
{
    struct services *s = &p->services;
    if (s->scraper == NULL || atomic_exchange(&p->stopping, true))
        return;
    drain_note_stop(&p->drain);
    services_stop_reloads(s);
    services_stop_discovery(s);
    access_watch_stop(s->access_watch);
    server_probe_stop(s->prober);
    breaker_checks_stop(s->breaker_checks);
    coverage_reader_stop(s->coverage_reader);
    filter_sync_stop(s->filter_sync);
    audits_stop(s->audits);
    push_checks_stop(s->push_checks);
    instance_store_stop(s->instances);
    services_leave_cluster(s, on_cluster_left);
}

static void on_quit(struct loop_task *task) { begin_stop(CONTAINER(task, struct program, quit)); }

/* Any thread. Readiness and new requests get 503 at once, even if the control thread is busy. */
static void request_stop(struct services *s)
{
    struct program *p = CONTAINER(s, struct program, services);
    if (atomic_exchange(&s->state, SERVICES_STOPPING) == SERVICES_STOPPING)
        return;
    atomic_store(&stop_requested, true);
    log_info("main", "stopping");
    service_notify("STOPPING=1");
    loop_post(s->control, &p->quit);
}

static void request_quit(struct services *s) { drain_request(&CONTAINER(s, struct program, services)->drain); }

/* ---- signals, on the acceptor's thread ---- */

static void on_control_late(void *arg)
{
    struct program *p = arg;
    if (atomic_load(&p->stopping))
        return;
    log_error("main", "cannot stop in order: the control thread does not respond, probably because a file system "
                      "hangs; exiting, samples that are neither sent nor on disk are lost");
    (void)!log_stop();
    _exit(1);
}

static void on_sighup(struct loop_task *task)
{
    struct services *s = &CONTAINER(task, struct program, hangup)->services;
    if (services_ready(s))
        services_reload(s);
}

static void on_signal(struct acceptor *a, void *arg, int signal)
{
    struct program *p = arg;
    if (signal == SIGHUP) {
        loop_post(p->services.control, &p->hangup);
    } else {
        int64_t delay = drain_delay(&p->drain);
        request_quit(&p->services);
        acceptor_alarm(a, delay + CONTROL_MS, on_control_late);
    }
}

/* Reports suppressed lines even if nothing else is logged. */
static void main_on_sweep(struct loop_timer *t)
{
    log_sweep();
    loop_timer_in(CONTAINER(t, struct program, sweep)->services.control, t, SWEEP_MS);
}

/* Polled by the writer where it keeps the control thread from its loop. */
static bool stop_is_requested(void) { return atomic_load(&stop_requested); }

/* ---- building ---- */

static bool start_lanes(struct program *p, struct err *err)
{
    struct services *s = &p->services;
    const struct flags *f = &s->flags;
    unsigned cores = thread_cores();
    unsigned n = f->lanes > 0 ? (unsigned)f->lanes : cores;
    unsigned queries = f->query_concurrency > 0 ? (unsigned)f->query_concurrency : QUERIES;
    size_t max_insert = (size_t)f->max_insert_size;
    if ((p->auth = http_auth_new()) == NULL)
        return err_set(err, ERR_UNAVAILABLE, "cannot draw a key for logins: the system has no random numbers");
    limits_divide(f, n, queries + PAGES + BACKGROUND, &s->http, &s->queries, &s->reports);
    struct http_server_conf conf = {.services = s, .hooks = dispatch_hooks,
                                 .max_push = max_insert + max_insert / 6 + 32, /* snappy's maximum compressed length */
                                 .routes = routes, .n_routes = n_routes, .prefix = f->path_prefix.p,
                                 .no_keep_alive = f->disable_keep_alive, .no_compression = f->disable_compression,
                                 .cors_origin = f->disable_cors ? NULL : f->cors_origin.p, .limits = &s->http, .auth = p->auth};
    s->workers = workers_new(&(struct worker_conf){
        .workers = {[WORKER_QUERY] = queries, [WORKER_ADMIN] = PAGES,
                    [WORKER_BACKGROUND] = BACKGROUND, [WORKER_PUSH] = n / LANES_PER_PUSH_WORKER + 1},
        .max_fd = limits_worker_fd(&s->http), .memory = &s->queries,
        .turns = f->query_evaluations > 0 ? (unsigned)f->query_evaluations : cores});
    p->lanes = mem_zalloc(n * sizeof *p->lanes);
    p->servers = mem_zalloc(n * sizeof *p->servers);
    p->lane_loops = mem_zalloc(n * sizeof *p->lane_loops);
    p->lane_sinks = mem_zalloc(n * sizeof *p->lane_sinks);
    s->lanes = mem_zalloc(n * sizeof *s->lanes);
    for (; s->n_lanes < n; s->n_lanes++) {
        struct lane *l = lane_start(s->n_lanes, s, &conf, err);
        if (l == NULL)
            return false;
        p->lanes[s->n_lanes] = l;
        p->servers[s->n_lanes] = l->http;
        p->lane_loops[s->n_lanes] = l->loop;
    }
    return true;
}

static void start_writer(struct program *p)
{
    struct services *s = &p->services;
    const struct flags *f = &s->flags;
    struct writer_env env = {.main = s->control, .lanes = p->lane_loops, .n_lanes = s->n_lanes,
                             .queue_dir = f->queue_dir, .flush_interval = f->flush_interval,
                             .show_urls = f->remote_write.show_url, .id = s->id, .interrupted = stop_is_requested,
                             .apply_again = services_reopen, .apply_again_arg = s};
    s->writer = writer_new(&env);
}

static void start_scraper(struct program *p)
{
    struct services *s = &p->services;
    if (s->flags.ingest.max_rate > 0)
        s->ingest_rate = ingest_rate_new(s->flags.ingest.max_rate, s->n_lanes);
    for (unsigned i = 0; i < s->n_lanes; i++)
        s->lanes[i].sink = p->lane_sinks[i] = ingest_rate_sink(s->ingest_rate, i, writer_sink(s->writer, i));
    struct scraper_env env = {.main = s->control, .kube = s->kube_watches, .lanes = p->lane_loops, .n_lanes = s->n_lanes,
                              .sinks = p->lane_sinks, .moves = services_expect_target, .moves_arg = s};
    s->scraper = scraper_new(&env);
}

/* Runs before queues are opened, which may take long: health checks and signals are served meanwhile. */
static bool start_acceptor(struct program *p, struct err *err)
{
    struct services *s = &p->services;
    p->acceptor = acceptor_start(&(struct acceptor_conf){.listeners = p->listeners,
                                                         .n_listeners = p->n_listeners,
                                                         .servers = p->servers, .n_servers = s->n_lanes,
                                                         .limits = &s->http,
                                                         .on_signal = on_signal, .arg = p}, err);
    return p->acceptor != NULL;
}

static bool main_start(struct program *p, struct config *c, struct err *err)
{
    if (!listeners_make(&p->services, c, p->listeners, &p->n_listeners, err) || !start_lanes(p, err) ||
        !start_acceptor(p, err) || !lines_open_datagrams(&p->services, p->listeners, p->n_listeners, err)) {
        config_unref(c);
        return false;
    }
    start_writer(p);
    start_scraper(p);
    return services_apply(&p->services, c, err);
}

/* Also after a start that failed halfway. */
static void tear_down(struct program *p)
{
    struct services *s = &p->services;
    acceptor_stop(p->acceptor);
    atomic_store(&p->stopping, true); /* disarms the tasks that the acceptor has posted */
    atomic_store(&s->state, SERVICES_STOPPING);
    for (unsigned i = 0; i < s->n_lanes; i++)
        lane_cancel(p->lanes[i]);
    workers_stop(s->workers);
    http_auth_stop(p->auth);
    for (unsigned i = 0; i < s->n_lanes; i++)
        lane_join(p->lanes[i]);
    workers_free(s->workers);
    if (s->scraper)
        scraper_free(s->scraper);
    services_free(s);
    if (s->writer)
        writer_free(s->writer);
    loop_turn(s->control, 0);
    for (unsigned i = 0; i < s->n_lanes; i++)
        lane_free(p->lanes[i]);
    otlp_deltas_free(s->otlp_deltas);
    ingest_rate_free(s->ingest_rate);
    http_auth_free(p->auth);
    for (size_t i = 0; i < p->n_listeners; i++)
        listener_free(&p->listeners[i]);
    auth_keys_close(&s->flags.auth_keys);
    http_limits_free(&s->http);
    mem_free(s->lanes);
    mem_free(p->lanes);
    mem_free(p->servers);
    mem_free(p->lane_loops);
    mem_free(p->lane_sinks);
}

/* ---- running ---- */

static void log_ready(const struct services *s, const struct config *c, const char *address)
{
    log_info("main", "ready", "version", VERSION, "address", address, LOG_U64("jobs", c->n_jobs),
             LOG_U64("targets", scraper_target_count(s->scraper)), LOG_U64("destinations", c->n_destinations),
             LOG_U64("server_groups", c->n_groups), LOG_BOOL("recent", c->recent != NULL));
}

/* The greeting is printed on a terminal only: the output of a daemon may be parsed line by line. */
static void main_greet(struct program *p)
{
    struct services *s = &p->services;
    size_t n = s->n_listeners, shown = 0; /* the acceptor's further ones are no pages' */
    struct config *c = services_config(s);
    while (shown < n && http_listener_url_host(acceptor_listener(p->acceptor, shown))[0] == 0)
        shown++;
    if (shown < n && isatty(STDOUT_FILENO) && !str_is(s->flags.log_format, "json")) {
        struct buf text = {0}, url = {0};
        const struct http_access *access = c->access->of[shown];
        buf_printf(&url, "http%s://%s", access && access->tls ? "s" : "",
                   http_listener_url_host(acceptor_listener(p->acceptor, shown)));
        greeting_print(&text, c, buf_z(&url), s->flags.path_prefix.p);
        buf_free(&url);
        cli_output(&text);
        fflush(stdout);
        buf_free(&text);
    }
    for (size_t i = 0; i < n; i++)
        log_ready(s, c, http_listener_address(acceptor_listener(p->acceptor, i)));
    config_unref(c);
}

/* Waits until all lanes have the first configuration and accept pushes, and the target files were read or are known to
 * hang. False: a stop was requested. */
static bool wait_until_ready(struct services *s)
{
    int starting = SERVICES_STARTING;
    while (!(writer_ready(s->writer) && services_discovery_ready(s)) && atomic_load(&s->state) == SERVICES_STARTING)
        loop_turn(s->control, -1);
    return atomic_compare_exchange_strong(&s->state, &starting, SERVICES_READY);
}

/* Applies the first configuration and runs until the program stops. */
static bool main_serve(struct program *p, struct config *c, struct err *err)
{
    struct services *s = &p->services;
    if (!main_start(p, c, err)) {
        atomic_store(&s->state, SERVICES_STOPPING);
        if (s->scraper) {
            begin_stop(p);
            loop_run(s->control);
        }
        return err->kind == ERR_CANCELED;
    }
    bool incomplete = c->incomplete; /* the running configuration has a reference */
    services_report_start(s, c);
    if (wait_until_ready(s)) {
        services_watch_config(s);
        service_notify("READY=1");
        main_greet(p);
        if (incomplete)
            services_reload(s);
    } else {
        begin_stop(p);
    }
    loop_run(s->control);
    return true;
}

static bool main_run(struct program *p, struct config *c, struct err *err)
{
    struct services *s = &p->services;
    if ((s->control = loop_new()) == NULL) {
        config_unref(c);
        return err_set(err, ERR_UNAVAILABLE,
                       "cannot create an event loop: %s; raise the limit of open files (ulimit -n)", strerror(errno));
    }
    services_init(s);
    if (str_list_has(&s->flags.enable_features, "otlp-deltatocumulative"))
        s->otlp_deltas = otlp_deltas_new();
    s->request_quit = request_quit;
    drain_init(&p->drain, s, request_stop, on_drained);
    p->quit.run = on_quit;
    p->hangup.run = on_sighup;
    acceptor_block_signals();
    start_log_thread(p);
    metrics_start(s);
    auth_keys_open(&s->flags.auth_keys); /* threads read them */
    p->sweep.run = main_on_sweep;
    loop_timer_in(s->control, &p->sweep, SWEEP_MS);
    bool ok = main_serve(p, c, err);
    if (s->writer && writer_abandoned(s->writer)) {
        (void)!stop_log_thread(p);
        _exit(1); /* threads blocked by a disk may still use what tear_down frees */
    }
    if (!services_end_reloads(s) || (s->scraper && scraper_abandoned(s->scraper))) {
        log_info("main", "stopped");
        (void)!stop_log_thread(p);
        _exit(!ok);
    }
    tear_down(p);
    log_info("main", "stopped");
    loop_timer_stop(s->control, &p->sweep);
    drain_free(&p->drain);
    loop_free(s->control);
    file_work_await_threads(FILES_MS);
    if (!stop_log_thread(p))
        err->text[0] = 0; /* stderr is blocked: printing the error would hang */
    return ok;
}

static void print_document(void (*document)(struct buf *out))
{
    struct buf out = {0};
    document(&out);
    cli_output(&out);
    buf_free(&out);
}

/* Hidden: docs/configuration.md and docs/http-api.md are checked against this output. */
static bool print_docs(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--print-docs") == 0) {
        print_document(flags_document);
        print_document(config_document);
        return true;
    }
    if (argc == 2 && strcmp(argv[1], "--print-routes") == 0) {
        print_document(routes_document);
        return true;
    }
    return false;
}

/* Prints all errors, a line each, and clears err. */
static void print_errors(const struct conf_errors *errors, struct err *err)
{
    struct str rest = errors->n > 0 ? buf_str(&errors->text) : str_of(err->text), line;
    while (rest.n > 0) {
        str_cut(&rest, '\n', &line);
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(line));
    }
    err->text[0] = 0;
}

/* ---- the first load ---- */

struct first_load {
    const struct flags *flags;
    struct config_reader reader;
    struct config *config;
    struct conf_errors errors;
    struct err err;
};

static void run_first_load(void *arg, struct file_thread *self UNUSED)
{
    struct first_load *l = arg;
    l->config = config_load_with(&l->reader, l->flags, &l->errors, &l->err);
}

static void first_load_release(void *arg UNUSED) {} /* it is never abandoned */

/* Nothing can be started without the files, but a hang is reported. (A signal ends the program: it is not blocked yet.) */
static void await_first_load(struct first_load *l, struct file_thread *t)
{
    char *at = NULL, *before = NULL;
    while (file_thread_wait(t, FILE_ENDED, FIRST_LOAD_MS, NULL) == FILE_HANGS) {
        at = config_reader_at(&l->reader);
        if (before && strcmp(at, before) == 0)
            break;
        mem_free(before);
        before = at;
        at = NULL;
        file_thread_set_active(t);
    }
    if (at)
        log_error("config", "cannot read the configuration: a file does not respond; starting when it does", "file", at);
    mem_free(at);
    mem_free(before);
    (void)!file_thread_end(t, INT64_MAX);
}

static void load_first(struct first_load *l, const struct flags *f)
{
    l->flags = f;
    config_reader_init(&l->reader, !f->dry_run, f);
    struct file_thread *t = file_thread_start(&(struct file_thread_conf){.name = "config-load", .run = run_first_load,
                                                                         .release = first_load_release, .arg = l});
    if (t)
        await_first_load(l, t);
    else
        run_first_load(l, NULL);
    config_reader_free(&l->reader);
}

static bool run_flags(struct program *p, struct err *err)
{
    const struct flags *f = &p->services.flags;
    if (f->help) {
        print_document(flags_help);
        return true;
    }
    if (f->version) {
        puts("sluice " VERSION);
        return true;
    }
    set_up_log(f);
    struct first_load load = {0};
    load_first(&load, f);
    struct config *c = load.config;
    *err = load.err;
    if (c == NULL)
        print_errors(&load.errors, err);
    buf_free(&load.errors.text);
    if (c == NULL)
        return false;
    if (!f->dry_run)
        return main_run(p, c, err);
    bool ok = check_configuration(&p->services.flags, c, err);
    config_unref(c);
    return ok;
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct err err = {0};
    set_up_process();
    fetch_watched_files();
    if (print_docs(argc, argv))
        return cli_output_end(0);
    static const struct { const char *name; int (*run)(int argc, char **argv); } commands[] = {
        {"promql", cli_promql}, {"queue", cli_queue}, {"audit", cli_audit}, {"config", cli_config},
        {"config-sync", cli_config_sync}, {"config-check", cli_config_check}};
    for (size_t i = 0; argc > 1 && i < LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return cli_output_end(commands[i].run(argc - 1, argv + 1));
    bool ok = flags_parse(argc, argv, &p.services.flags, &err) && run_flags(&p, &err);
    if (!ok)
        print_errors(&p.services.flags.errors, &err);
    const struct flags *f = &p.services.flags;
    bool prints = f->help || f->version || f->dry_run; /* a daemon's stdout may hang */
    flags_free(&p.services.flags);
    return prints ? cli_output_end(!ok) : !ok;
}
