/* The whole scraper: a small HTTP server in a thread, a clock that the test moves, a sink that records. */
#include "scraper/scraper.h"

#include "base/thread.h"
#include "base/times.h"
#include "recording_sink.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the server: one connection, one request, one answer ---- */

struct server {
    int fd, port;
    struct thread *thread;
    struct mutex mutex;
    struct buf body, request; /* what it answers; what it was asked last */
    int status;
    bool silent;              /* takes the request and says nothing */
    bool stop;
    unsigned requests;
};

static bool read_request(struct server *s, int fd)
{
    char piece[2048];
    struct buf got = {0};
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0) {
        buf_add(&got, piece, (size_t)n);
        if (str_find_str(buf_str(&got), STR("\r\n\r\n")) < got.n)
            break;
    }
    mutex_lock(&s->mutex);
    buf_clear(&s->request);
    buf_add_str(&s->request, buf_str(&got));
    s->requests += n > 0;
    bool stop = s->stop;
    mutex_unlock(&s->mutex);
    buf_free(&got);
    return !stop;
}

static void serve(void *arg)
{
    struct server *s = arg;
    for (bool on = true; on; ) {
        int fd = accept(s->fd, NULL, NULL);
        on = read_request(s, fd);
        struct buf answer = {0};
        mutex_lock(&s->mutex);
        buf_printf(&answer, "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", s->status, s->body.n);
        buf_add_str(&answer, buf_str(&s->body));
        bool silent = s->silent;
        mutex_unlock(&s->mutex);
        if (!silent && write(fd, answer.p, answer.n) < 0)
            on = false;
        char rest[256];
        while (silent && read(fd, rest, sizeof rest) > 0) {
        }
        buf_free(&answer);
        close(fd);
    }
}

static int connect_to(const struct server *s)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void server_open(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    *s = (struct server){.status = 200, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    mutex_init(&s->mutex);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    s->thread = thread_start("server", serve, s);
}

static void server_say(struct server *s, int status, const char *body)
{
    mutex_lock(&s->mutex);
    s->status = status;
    buf_clear(&s->body);
    buf_add_z(&s->body, body);
    mutex_unlock(&s->mutex);
}

static void server_be_silent(struct server *s)
{
    mutex_lock(&s->mutex);
    s->silent = true;
    mutex_unlock(&s->mutex);
}

static unsigned server_requests(struct server *s)
{
    mutex_lock(&s->mutex);
    unsigned n = s->requests;
    mutex_unlock(&s->mutex);
    return n;
}

static bool server_was_asked(struct server *s, const char *part)
{
    mutex_lock(&s->mutex);
    bool found = str_find_str(buf_str(&s->request), str_of(part)) < s->request.n;
    mutex_unlock(&s->mutex);
    return found;
}

static void server_close(struct server *s)
{
    mutex_lock(&s->mutex);
    s->stop = true;
    mutex_unlock(&s->mutex);
    int fd = connect_to(s);
    close(fd);
    thread_join(s->thread);
    close(s->fd);
    buf_free(&s->body);
    buf_free(&s->request);
    mutex_free(&s->mutex);
}

/* ---- the scraper on one loop ---- */

struct world {
    struct server server;
    int64_t ms;               /* the clock */
    struct loop *loop;
    struct recorder sink;
    struct scraper *scraper;
    unsigned applied, released;
    bool stopped;
};

static int64_t clock_of(void *arg) { return ((struct world *)arg)->ms; }

static void world_open(struct world *w)
{
    *w = (struct world){.ms = 1000000};
    server_open(&w->server);
    w->loop = loop_new();
    loop_set_clock(w->loop, (struct loop_clock){clock_of, clock_of, w});
    recorder_init(&w->sink);
    struct sink *sink = &w->sink.sink;
    struct scraper_env env = {.main = w->loop, .lanes = (struct loop *[]){w->loop}, .n_lanes = 1, .sinks = &sink};
    w->scraper = scraper_new(&env);
}

static void turns(struct world *w, int n)
{
    while (n-- > 0)
        loop_turn(w->loop, 0);
}

static void stopped(void *arg) { ((struct world *)arg)->stopped = true; }

static void world_close(struct world *w)
{
    scraper_stop(w->scraper, stopped, w);
    for (int i = 0; i < 100 && !w->stopped; i++)
        loop_turn(w->loop, 0);
    assert_true(w->stopped);
    scraper_free(w->scraper);
    turns(w, 3);
    assert_int_equal(w->released, w->applied);
    loop_free(w->loop);
    recorder_free(&w->sink);
    server_close(&w->server);
}

struct config { struct arena arena; struct world *world; };

static void release(void *arg)
{
    struct config *c = arg;
    c->world->released++;
    arena_free(&c->arena);
    mem_free(c);
}

/* Applies one job; %d in the text is the server's port, as often as it stands there (twice at most). */
static bool apply(struct world *w, const char *format, struct err *err)
{
    struct config *c = mem_zalloc(sizeof *c);
    c->world = w;
    struct buf text = {0};
    struct str rest = str_of(format), part;
    for (int i = 0; str_cut(&rest, '%', &part); i++) {
        if (i > 0)
            buf_printf(&text, "%d", w->server.port);
        buf_add_str(&text, part);
    }
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    buf_free(&text);
    bool ok = scraper_apply(w->scraper, job, 1, &prometheus_globals, release, c, err);
    if (!ok) {
        w->released--; /* by us */
        release(c);
    }
    w->applied += ok;
    turns(w, 3);
    return ok;
}

static void must_apply(struct world *w, const char *format)
{
    struct err err;
    if (!apply(w, format, &err))
        fail_msg("%s", err.text);
}

/* Lets real time pass until a line with this part was written. */
static void wait_for(struct world *w, const char *part)
{
    for (int i = 0; i < 5000 && recorder_containing(&w->sink, part) == 0; i++)
        loop_turn(w->loop, 1);
    if (recorder_containing(&w->sink, part) == 0)
        fail_msg("no `%s` in:\n%s", part, buf_z(&w->sink.lines));
}

/* On to the next scrape: the clock goes to the next place `offset` in the interval. */
static void next_scrape(struct world *w)
{
    recorder_forget(&w->sink);
    w->ms += 10000;
    loop_turn(w->loop, 0);
    wait_for(w, "scrape_response_size_bytes");
}

/* The targets are scraped at full tens of seconds. */
#define JOB "job_name: j\nscrape_interval: 10s\nscrape_timeout: 5s\nscrape_offset: 0s\n"
#define STATIC "static_configs: [{targets: ['127.0.0.1:%'], labels: {instance: i}}]\n"

static struct target_status the_target(struct world *w, struct arena *a)
{
    struct scraper_targets t;
    scraper_targets(w->scraper, a, &t);
    assert_int_equal(t.n_active, 1);
    return t.active[0];
}

static void a_scrape_from_timer_to_report(void **state UNUSED)
{
    struct world w;
    struct arena a = {0};
    world_open(&w);
    assert_false(scraper_ready(w.scraper));
    server_say(&w.server, 200, "# HELP m Some \\\\ help.\n# TYPE m counter\nm 1\n");
    must_apply(&w, JOB STATIC "params: {a: [b]}\nbearer_token: secret\n");
    assert_true(scraper_ready(w.scraper));
    assert_int_equal(the_target(&w, &a).health, HEALTH_UNKNOWN);
    w.ms += 9999;
    turns(&w, 5);
    assert_int_equal(server_requests(&w.server), 0);
    w.ms -= 9999;
    next_scrape(&w);
    assert_line(&w.sink, "m{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&w.sink, "up{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&w.sink, "scrape_samples_scraped{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&w.sink, "scrape_samples_post_metric_relabeling{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&w.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&w.sink, "scrape_timeout_seconds{instance=\"i\", job=\"j\"} 5 @1010000");
    assert_line(&w.sink, "scrape_response_size_bytes{instance=\"i\", job=\"j\"} 44 @1010000");
    assert_line(&w.sink, "# m counter Some \\ help.");
    assert_int_equal(w.sink.samples, 8);
    assert_true(server_was_asked(&w.server, "GET /metrics?a=b HTTP/1.1"));
    assert_true(server_was_asked(&w.server, "Authorization: Bearer secret"));
    assert_true(server_was_asked(&w.server, "Accept-Encoding: gzip"));
    assert_true(server_was_asked(&w.server, "X-Prometheus-Scrape-Timeout-Seconds: 5\r\n"));
    struct target_status t = the_target(&w, &a);
    assert_int_equal(t.health, HEALTH_UP);
    assert_int_equal(t.last_scrape, 1010000);
    assert_int_equal(t.scrapes, 1);
    assert_int_equal(t.last_samples, 1);
    struct target_metadata *m;
    size_t n;
    scraper_metadata(w.scraper, &a, STR("m"), &m, &n);
    assert_int_equal(n, 1);
    assert_int_equal(m[0].metadata.type, METRIC_COUNTER);
    scraper_metadata(w.scraper, &a, STR("n"), &m, &n);
    assert_int_equal(n, 0);
    next_scrape(&w);
    assert_int_equal(w.sink.metadata, 0); /* known */
    assert_line(&w.sink, "m{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_int_equal(w.sink.samples, 8);
    arena_free(&a);
    world_close(&w);
}

static void a_failed_scrape_is_down_and_ends_the_series(void **state UNUSED)
{
    struct world w;
    struct arena a = {0};
    world_open(&w);
    server_say(&w.server, 200, "m 1\n");
    must_apply(&w, JOB STATIC);
    next_scrape(&w);
    server_say(&w.server, 404, "m 2\n");
    next_scrape(&w);
    assert_line(&w.sink, "m{instance=\"i\", job=\"j\"} stale @1020000");
    assert_line(&w.sink, "up{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_int_equal(w.sink.samples, 8);
    assert_true(str_is(the_target(&w, &a).last_error, "server returned HTTP status 404 Not Found"));
    assert_int_equal(the_target(&w, &a).failures, 1);
    server_say(&w.server, 200, "m 3\nn{ 3\n");
    next_scrape(&w);
    assert_line(&w.sink, "up{instance=\"i\", job=\"j\"} 0 @1030000");
    assert_int_equal(w.sink.samples, 7);
    assert_true(str_starts(the_target(&w, &a).last_error, STR("line 2")));
    server_say(&w.server, 200, "m 4\n");
    next_scrape(&w);
    assert_line(&w.sink, "m{instance=\"i\", job=\"j\"} 4 @1040000");
    assert_line(&w.sink, "up{instance=\"i\", job=\"j\"} 1 @1040000");
    assert_int_equal(the_target(&w, &a).last_error.n, 0);
    arena_free(&a);
    world_close(&w);
}

static void a_silent_target_times_out(void **state UNUSED)
{
    struct world w;
    world_open(&w);
    must_apply(&w, "job_name: j\nscrape_interval: 10s\nscrape_timeout: 100ms\nscrape_offset: 0s\n" STATIC);
    server_be_silent(&w.server);
    w.ms += 10000;
    for (int i = 0; i < 3000 && w.sink.samples == 0; i++, w.ms++) /* real time passes, too: the client has a clock of its own */
        loop_turn(w.loop, 1);
    assert_int_equal(recorder_containing(&w.sink, "up{instance=\"i\", job=\"j\"} 0 @1010000"), 1);
    world_close(&w);
}

static void limits_of_a_page(void **state UNUSED)
{
    struct world w;
    struct arena a = {0};
    world_open(&w);
    server_say(&w.server, 200, "a 1\nb 1\n");
    must_apply(&w, JOB STATIC "sample_limit: 2\n");
    next_scrape(&w);
    assert_int_equal(w.sink.samples, 9);
    server_say(&w.server, 200, "a 1\nb 1\nc 1\n");
    next_scrape(&w);
    assert_line(&w.sink, "up{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_line(&w.sink, "a{instance=\"i\", job=\"j\"} stale @1020000");
    assert_line(&w.sink, "scrape_samples_scraped{instance=\"i\", job=\"j\"} 3 @1020000");
    assert_true(str_starts(the_target(&w, &a).last_error, STR("sample limit exceeded")));
    must_apply(&w, JOB STATIC "body_size_limit: 10B\n");
    next_scrape(&w);
    assert_line(&w.sink, "up{instance=\"i\", job=\"j\"} 0 @1030000");
    assert_true(str_starts(the_target(&w, &a).last_error, STR("body size limit exceeded")));
    arena_free(&a);
    world_close(&w);
}

static void a_target_limit_fails_all(void **state UNUSED)
{
    struct world w;
    world_open(&w);
    must_apply(&w, JOB "target_limit: 1\nstatic_configs: [{targets: ['127.0.0.1:%', 'localhost:%']}]\n");
    next_scrape(&w);
    turns(&w, 5);
    assert_int_equal(server_requests(&w.server), 0);
    assert_int_equal(recorder_containing(&w.sink, "up{"), 2);
    world_close(&w);
}

static void a_reload_keeps_what_did_not_change(void **state UNUSED)
{
    struct world w;
    struct arena a = {0};
    world_open(&w);
    server_say(&w.server, 200, "m 1\n");
    must_apply(&w, JOB STATIC);
    next_scrape(&w);
    w.ms += 9000;
    must_apply(&w, JOB "relabel_configs: []\n" STATIC);
    recorder_forget(&w.sink);
    w.ms += 1000;
    wait_for(&w, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_line(&w.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_int_equal(the_target(&w, &a).scrapes, 2);
    /* other settings: the series go on */
    must_apply(&w, JOB STATIC "metric_relabel_configs: [{regex: nothing, action: labeldrop}]\nhonor_labels: true\n");
    next_scrape(&w);
    assert_line(&w.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 0 @1030000");
    assert_int_equal(recorder_containing(&w.sink, "stale"), 0);
    turns(&w, 3);
    assert_int_equal(w.released, 2); /* nobody uses the first two any more */
    /* something wrong: everything stays */
    struct err err;
    assert_false(apply(&w, JOB STATIC "headers: [no colon]\n", &err));
    assert_non_null(strstr(err.text, "job \"j\""));
    next_scrape(&w);
    assert_line(&w.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 0 @1040000");
    arena_free(&a);
    world_close(&w);
}

static void a_removed_target_ends_with_markers(void **state UNUSED)
{
    struct world w;
    world_open(&w);
    server_say(&w.server, 200, "m 1\nn 1\n");
    must_apply(&w, JOB STATIC);
    next_scrape(&w);
    recorder_forget(&w.sink);
    w.ms += 500;
    must_apply(&w, JOB);
    assert_line(&w.sink, "m{instance=\"i\", job=\"j\"} stale @1010500");
    assert_line(&w.sink, "up{instance=\"i\", job=\"j\"} stale @1010500");
    assert_int_equal(w.sink.samples, 9);
    struct arena a = {0};
    struct scraper_targets t;
    scraper_targets(w.scraper, &a, &t);
    assert_int_equal(t.n_active, 0);
    assert_int_equal(t.n_pools, 1);
    arena_free(&a);
    world_close(&w);
}

static void dropped_targets_are_remembered(void **state UNUSED)
{
    struct world w;
    struct arena a = {0};
    struct scraper_targets t;
    world_open(&w);
    must_apply(&w, JOB "relabel_configs: [{source_labels: [__address__], regex: 'b.*', action: drop}]\n"
                       "static_configs: [{targets: [c, 'b:1', a, a, 'b:2']}]\n");
    scraper_targets(w.scraper, &a, &t);
    assert_int_equal(t.n_active, 2);
    assert_true(str_is(t.active[0].url, "http://a/metrics"));
    assert_int_equal(t.n_dropped, 2);
    assert_true(str_is(labels_get(t.dropped[1].discovered, STR("__address__")), "b:2"));
    assert_int_equal(t.pools[0].dropped, 2);
    arena_free(&a);
    world_close(&w);
}

static void write_file(const char *path, const char *text)
{
    char temporary[200];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(temporary, path), 0);
}

static size_t active_targets(struct world *w)
{
    struct arena a = {0};
    struct scraper_targets t;
    scraper_targets(w->scraper, &a, &t);
    arena_free(&a);
    return t.n_active;
}

static void wait_for_targets(struct world *w, size_t n)
{
    for (int i = 0; i < 3000 && active_targets(w) != n; i++) {
        loop_turn(w->loop, 1);
        w->ms++;
    }
    assert_int_equal(active_targets(w), n);
}

static void files_are_watched(void **state UNUSED)
{
    struct world w;
    char dir[] = "build/scraper-test-XXXXXX", one[100], two[100], yaml[300];
    assert_non_null(mkdtemp(dir));
    snprintf(one, sizeof one, "%s/one.json", dir);
    snprintf(two, sizeof two, "%s/two.yml", dir);
    snprintf(yaml, sizeof yaml, JOB "file_sd_configs: [{files: ['%s/*.json', '%s/two.yml']}]\n", dir, dir);
    write_file(one, "[{\"targets\": [\"a:1\", \"a:2\"]}]");
    world_open(&w);
    must_apply(&w, yaml);
    assert_int_equal(active_targets(&w), 2);
    write_file(two, "- targets: [b:1]\n");
    wait_for_targets(&w, 3);
    write_file(one, "[{\"targets\": [\"a:1\"");
    turns(&w, 5);
    w.ms += 200;
    turns(&w, 5);
    assert_int_equal(active_targets(&w), 3); /* a broken file keeps its targets */
    write_file(one, "[{\"targets\": [\"a:1\"]}]");
    wait_for_targets(&w, 2);
    assert_int_equal(unlink(one), 0);
    wait_for_targets(&w, 1);
    assert_int_equal(unlink(two), 0);
    wait_for_targets(&w, 0);
    world_close(&w);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- several lanes, real time ---- */

enum { LANES = 3, MANY = 24 };
struct lane_thread { struct loop *loop; struct recorder sink; struct thread *thread; };

static void run_lane(void *arg) { loop_run(((struct lane_thread *)arg)->loop); }
static void set_flag(void *arg) { *(bool *)arg = true; }

static void run_for(struct loop *l, int64_t ms)
{
    for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end; )
        loop_turn(l, 5);
}

static void apply_many(struct scraper *s, struct world *w, const struct scrape_globals *g, int from, int to)
{
    struct config *c = mem_zalloc(sizeof *c);
    struct buf text = {0};
    struct err err;
    c->world = w;
    buf_add_z(&text, "job_name: j\nscrape_interval: 50ms\nscrape_timeout: 50ms\nstatic_configs:\n");
    for (int i = from; i < to; i++)
        buf_printf(&text, "- {targets: ['127.0.0.1:%d'], labels: {instance: i%d}}\n", w->server.port, i);
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    assert_true(scraper_apply(s, job, 1, g, release, c, &err));
    buf_free(&text);
}

struct team { struct world w; struct lane_thread lanes[LANES]; struct loop *main; struct scraper *scraper; };

static void team_open(struct team *t)
{
    struct loop *loops[LANES];
    struct sink *sinks[LANES];
    *t = (struct team){.main = loop_new()};
    server_open(&t->w.server);
    for (int i = 0; i < LANES; i++) {
        loops[i] = t->lanes[i].loop = loop_new();
        recorder_init(&t->lanes[i].sink);
        sinks[i] = &t->lanes[i].sink.sink;
        t->lanes[i].thread = thread_start("lane", run_lane, &t->lanes[i]);
    }
    t->scraper = scraper_new(&(struct scraper_env){.main = t->main, .lanes = loops, .n_lanes = LANES, .sinks = sinks});
}

/* How many lines have the part? */
static size_t team_close(struct team *t, const char *part)
{
    bool done = false;
    size_t lines = 0;
    scraper_stop(t->scraper, set_flag, &done);
    while (!done)
        loop_turn(t->main, 5);
    scraper_free(t->scraper);
    for (int i = 0; i < LANES; i++) {
        loop_stop(t->lanes[i].loop);
        thread_join(t->lanes[i].thread);
        lines += recorder_containing(&t->lanes[i].sink, part);
        recorder_free(&t->lanes[i].sink);
        loop_free(t->lanes[i].loop);
    }
    loop_turn(t->main, 0);
    loop_free(t->main);
    server_close(&t->w.server);
    return lines;
}

static void lanes_work_beside_each_other(void **state UNUSED)
{
    struct team team;
    struct arena a = {0};
    struct scraper_targets t;
    struct target_metadata *m;
    size_t n, up = 0;
    team_open(&team);
    server_say(&team.w.server, 200, "# TYPE m gauge\nm{a=\"b\"} 1\nn 2\n");
    for (int round = 0; round < 4; round++) {
        apply_many(team.scraper, &team.w, &prometheus_globals, round * 4, MANY + round * 4);
        run_for(team.main, 250);
        scraper_targets(team.scraper, &a, &t);
        scraper_metadata(team.scraper, &a, STR_NONE, &m, &n);
        assert_int_equal(t.n_active, MANY);
    }
    for (size_t i = 0; i < t.n_active; i++)
        up += t.active[i].health == HEALTH_UP;
    assert_true(up > 0);
    assert_true(n > 0);
    arena_free(&a);
    assert_true(team_close(&team, "m{a=\"b\", instance=\"i") > MANY);
}

static struct team spread; /* where its sinks are says which lane they are of */
static unsigned spread_shards;

static enum sink_status begin_where_it_leaves(struct sink *s, const struct sink_batch *b)
{
    assert_ptr_equal(s, &spread.lanes[b->source % spread_shards % LANES].sink.sink);
    return recorder_begin(s, b);
}

static void a_target_is_scraped_where_its_shard_is(void **state UNUSED)
{
    static struct sink_ops ops;
    ops = recorder_ops;
    ops.begin = begin_where_it_leaves;
    for (spread_shards = LANES; spread_shards < 12; spread_shards += 2) {
        struct scrape_globals g = prometheus_globals;
        g.shards = spread_shards;
        team_open(&spread);
        server_say(&spread.w.server, 200, "m 1\n");
        for (int i = 0; i < LANES; i++)
            spread.lanes[i].sink.sink.ops = &ops;
        apply_many(spread.scraper, &spread.w, &g, 0, MANY);
        run_for(spread.main, 150);
        assert_true(team_close(&spread, "up{") >= MANY / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scrape_from_timer_to_report),
        cmocka_unit_test(a_failed_scrape_is_down_and_ends_the_series),
        cmocka_unit_test(a_silent_target_times_out),
        cmocka_unit_test(limits_of_a_page),
        cmocka_unit_test(a_target_limit_fails_all),
        cmocka_unit_test(a_reload_keeps_what_did_not_change),
        cmocka_unit_test(a_removed_target_ends_with_markers),
        cmocka_unit_test(dropped_targets_are_remembered),
        cmocka_unit_test(files_are_watched),
        cmocka_unit_test(lanes_work_beside_each_other),
        cmocka_unit_test(a_target_is_scraped_where_its_shard_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
