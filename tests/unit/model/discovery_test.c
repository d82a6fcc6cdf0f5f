// SPDX-License-Identifier: Apache-2.0
/* The sources of a job over a change of its configuration: until when those that it had before remain in force. */
#include "model/discovery/source/sd_poll.h"

#include "base/map.h"
#include "base/text/duration.h"
#include "tests/unit/files.h"
#include "tests/unit/http_server.h"
#include "tests/unit/log_capture.h"
#include "tests/unit/model/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DISCOVERY_SOON_MS = 5000, DISCOVERY_INTERVAL_MS = 100 };

struct fetched {
    struct loop *loop;
    struct http_server server;
    struct sd_manager *manager;
    struct discovery *discovery;
    unsigned all;                /* changes of anything */
    atomic_bool fails;           /* /bad does, and what begins with it; other paths have one target */
    atomic_uint bad_first;       /* requests of /bad-first */
};

static void respond_to_path(void *arg, const struct server_request *request, struct server_response *response)
{
    struct fetched *f = arg;
    atomic_fetch_add(&f->bad_first, str_is(request->path, "/bad-first"));
    snprintf(response->headers, sizeof response->headers, "Content-Type: application/json\r\n");
    response->status = atomic_load(&f->fails) && str_starts(request->path, STR("/bad")) ? 500 : 200;
    buf_printf(&response->body, "[{\"targets\": [\"%.*s:1\"]}]", STR_ARG(str_skip(request->path, 1)));
}

static void skip_target(void *arg UNUSED, const struct sd_found *found UNUSED) {}

static void take_fetched(void *arg)
{
    struct fetched *f = arg;
    enum sd_change change;
    if (!discovery_take_news(f->discovery, &change))
        return;
    f->all += change == SD_ALL;
    if (change == SD_PARTS)
        discovery_visit_changed(f->discovery, skip_target, NULL);
    if (change == SD_ALL)
        discovery_visit(f->discovery, skip_target, NULL);
}

static void fetched_open(struct fetched *f)
{
    *f = (struct fetched){.loop = loop_new()};
    atomic_store(&f->fails, true);
    http_server_start(&f->server, respond_to_path, f);
    f->manager = sd_manager_new(&(struct sd_manager_env){.main = f->loop, .news = take_fetched, .arg = f});
    f->discovery = discovery_new(f->manager, (struct sd_owner){"job", STR("j")});
    log_capture_start();
}

static void fetched_close(struct fetched *f)
{
    discovery_free(f->discovery);
    sd_manager_free(f->manager);
    http_server_stop(&f->server);
    log_capture_stop();
    loop_free(f->loop);
}

/* paths: separated by spaces. interval: another one makes all sources new. */
static void fetched_set(struct fetched *f, const char *paths, int64_t interval)
{
    struct http_sd urls[4] = {0};
    struct str rest = str_of(paths), path;
    char texts[4][100];
    size_t n = 0;
    for (; str_cut(&rest, ' ', &path); n++) {
        snprintf(texts[n], sizeof texts[n], "http://127.0.0.1:%d/%.*s", f->server.port, STR_ARG(path));
        urls[n] = (struct http_sd){.url = str_of(texts[n]), .server.refresh_interval = interval};
    }
    struct sd_conf conf = {.http_sd_configs = {urls, n}};
    discovery_set(f->discovery, &conf);
    sd_manager_start(f->manager);
}

static void name_target(void *arg, const struct sd_found *found)
{
    for (size_t i = 0; found->groups && i < found->groups->n; i++)
        buf_printf(arg, "%.*s ", STR_ARG(str_first(found->groups->items[i].targets.items[0],
                                                   found->groups->items[i].targets.items[0].n - 2)));
}

static bool fetched_is(struct fetched *f, const char *expected)
{
    struct buf names = {0};
    struct sd_listing l = discovery_list(f->discovery);
    for (size_t i = 0; i < l.n; i++)
        name_target(&names, &l.items[i]);
    bool same = str_is(buf_str(&names), expected);
    sd_listing_free(&l);
    buf_free(&names);
    return same;
}

static void wait_for_fetched(struct fetched *f, const char *expected)
{
    for (int64_t began = clock_mono_ms(); clock_mono_ms() - began < DISCOVERY_SOON_MS && !fetched_is(f, expected);)
        loop_turn(f->loop, 5);
    assert_true(fetched_is(f, expected));
}

/* Until this many more requests have been answered. */
static void pass_requests(struct fetched *f, unsigned n)
{
    unsigned until = atomic_load(&f->server.requests) + n;
    while (atomic_load(&f->server.requests) < until)
        loop_turn(f->loop, 5);
}

static void a_part_that_always_fails_keeps_old_targets_for_a_minute(void **state UNUSED)
{
    struct fetched f;
    fetched_open(&f);
    fetched_set(&f, "a b", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "a b ");
    fetched_set(&f, "c bad", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "c a b ");
    pass_requests(&f, 6);
    assert_true(fetched_is(&f, "c a b "));
    clock_advance(61000);
    wait_for_fetched(&f, "c ");
    atomic_store(&f.fails, false);
    wait_for_fetched(&f, "c bad ");
    fetched_close(&f);
}

static void a_list_that_fails_with_other_settings_keeps_its_targets(void **state UNUSED)
{
    struct fetched f;
    fetched_open(&f);
    atomic_store(&f.fails, false);
    fetched_set(&f, "a bad", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "a bad ");
    atomic_store(&f.fails, true);
    fetched_set(&f, "a bad", DISCOVERY_INTERVAL_MS + 1);
    wait_for_fetched(&f, "a a bad ");
    clock_advance(61000);
    wait_for_fetched(&f, "a bad "); /* the old one, which nothing has replaced */
    clock_advance(61000);
    pass_requests(&f, 6);
    assert_true(fetched_is(&f, "a bad "));
    atomic_store(&f.fails, false);
    unsigned before = f.all;
    while (f.all == before)
        loop_turn(f.loop, 5);
    assert_true(fetched_is(&f, "a bad "));
    fetched_close(&f);
}

static void nothing_new_at_all_keeps_everything(void **state UNUSED)
{
    struct fetched f;
    fetched_open(&f);
    fetched_set(&f, "a b", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "a b ");
    fetched_set(&f, "bad", DISCOVERY_INTERVAL_MS);
    pass_requests(&f, 3);
    clock_advance(200000);
    pass_requests(&f, 6);
    assert_true(fetched_is(&f, "a b "));
    atomic_store(&f.fails, false);
    wait_for_fetched(&f, "bad ");
    fetched_close(&f);
}

static void what_had_no_targets_ends_at_once(void **state UNUSED)
{
    struct fetched f;
    fetched_open(&f);
    fetched_set(&f, "bad-first", DISCOVERY_INTERVAL_MS);
    pass_requests(&f, 2);
    fetched_set(&f, "bad-second", DISCOVERY_INTERVAL_MS);
    pass_requests(&f, 2);
    unsigned before = atomic_load(&f.bad_first);
    pass_requests(&f, 4);
    assert_int_equal(atomic_load(&f.bad_first), before);
    fetched_close(&f);
}

static unsigned failing_sources(const struct fetched *f)
{
    struct sd_status s = discovery_status(f->discovery);
    unsigned n = (unsigned)s.unanswered;
    sd_status_free(&s);
    return n;
}

static void failed_reads_are_retried_apart(void **state UNUSED)
{
    enum { SOURCES = 4, MINUTE = 60000, BEFORE_HALF = 20000, BEFORE_END = 59000 };
    struct fetched f;
    fetched_open(&f);
    fetched_set(&f, "bad-1 bad-2 bad-3 bad-4", MINUTE);
    for (int64_t began = clock_mono_ms(); clock_mono_ms() - began < DISCOVERY_SOON_MS && failing_sources(&f) < SOURCES;)
        loop_turn(f.loop, 5);
    assert_int_equal(atomic_load(&f.server.requests), SOURCES);
    clock_advance(BEFORE_HALF);
    for (unsigned i = 0; i < 10; i++)
        loop_turn(f.loop, 5);
    assert_int_equal(atomic_load(&f.server.requests), SOURCES);
    clock_advance(BEFORE_END - BEFORE_HALF);
    for (unsigned i = 0; i < 100 && atomic_load(&f.server.requests) == SOURCES; i++)
        loop_turn(f.loop, 5);
    assert_true(atomic_load(&f.server.requests) > SOURCES);
    fetched_close(&f);
    for (int64_t ms = 1; ms < MINUTE; ms = 3 * ms + 1)
        for (int i = 0; i < 100; i++)
            assert_in_range(sd_jitter(ms), ms / 2, ms);
}

static void files_are_followed_until_they_are_replaced(void **state UNUSED)
{
    char directory[] = "/tmp/sluice-files-XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/f.json", directory);
    struct str pattern = str_of(path);
    struct file_sd sd = {.files = {&pattern, 1}, .refresh_interval = DISCOVERY_INTERVAL_MS};
    struct sd_conf conf = {.file_sd_configs = {&sd, 1}};
    struct fetched f;
    fetched_open(&f);
    replace_file(path, "[{\"targets\": [\"a:1\"]}]");
    discovery_set(f.discovery, &conf);
    sd_manager_start(f.manager);
    wait_for_fetched(&f, "a ");
    fetched_set(&f, "bad", DISCOVERY_INTERVAL_MS);
    replace_file(path, "[{\"targets\": [\"b:1\"]}]");
    wait_for_fetched(&f, "b ");
    atomic_store(&f.fails, false);
    wait_for_fetched(&f, "bad ");
    fetched_close(&f);
    remove(path);
    assert_int_equal(rmdir(directory), 0);
}

/* ---- files ---- */

enum { FILES = 4, FILE_TARGETS = 40, FILE_ROUNDS = 30 };
/* What a pool does: the targets by part, and how many parts were visited. */
struct pooled {
    struct discovery *discovery;
    struct map parts;            /* of struct buf, by identity */
    size_t visits, all;
};

static void pooled_forget(struct pooled *p)
{
    for (struct map_entry *e = map_next(&p->parts, NULL); e; e = map_next(&p->parts, e)) {
        buf_free(e->value.p);
        mem_free(e->value.p);
        mem_free((char *)e->key.p);
    }
    map_free(&p->parts);
    p->parts = (struct map){0};
}

static void pool_part_found(void *arg, const struct sd_found *found)
{
    struct pooled *p = arg;
    struct buf *targets = map_get(&p->parts, str_n(&found->part, sizeof found->part));
    p->visits++;
    if (targets == NULL) {
        targets = mem_zalloc(sizeof *targets);
        map_set(&p->parts, str_n(mem_dup(&found->part, sizeof found->part), sizeof found->part), targets);
    }
    buf_clear(targets);
    for (size_t i = 0; found->groups && i < found->groups->n; i++)
        buf_printf(targets, "%.*s=%.*s ", STR_ARG(found->groups->items[i].targets.items[0]),
                   STR_ARG(found->groups->items[i].labels.values[0]));
}

static void pool_files(void *arg)
{
    struct pooled *p = arg;
    enum sd_change change;
    if (!discovery_take_news(p->discovery, &change))
        return;
    p->all += change == SD_ALL;
    if (change == SD_PARTS)
        discovery_visit_changed(p->discovery, pool_part_found, p);
    if (change != SD_ALL)
        return;
    pooled_forget(p);
    discovery_visit(p->discovery, pool_part_found, p);
}

static int text_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The targets, sorted, so that one that is found twice is in it twice. */
static void sort_targets(struct buf *text)
{
    char *words[2 * FILES * FILE_TARGETS], *state;
    size_t n = 0;
    struct buf sorted = {0};
    buf_add_char(text, 0);
    for (char *word = strtok_r(text->p, " ", &state); word && n < LEN(words); word = strtok_r(NULL, " ", &state))
        words[n++] = word;
    qsort(words, n, sizeof *words, text_order);
    for (size_t i = 0; i < n; i++)
        buf_printf(&sorted, "%s ", words[i]);
    buf_free(text);
    *text = sorted;
}

static bool pooled_is(struct pooled *p, struct buf *expected)
{
    struct buf found = {0};
    for (struct map_entry *e = map_next(&p->parts, NULL); e; e = map_next(&p->parts, e))
        buf_add_str(&found, buf_str(e->value.p));
    sort_targets(&found);
    bool same = str_eq(buf_str(&found), buf_str(expected));
    buf_free(&found);
    return same;
}

/* Files f0 and so on are there, or not, with or without each target, whose labels change now and then. */
static struct { bool exists; int labels[FILE_TARGETS]; } files[FILES];

static void write_files(const char *directory, struct buf *expected)
{
    buf_clear(expected);
    for (unsigned i = 0; i < FILES; i++) {
        struct buf text = {0}, path = {0};
        buf_printf(&path, "%s/f%u.json", directory, i);
        for (unsigned k = 0; files[i].exists && k < FILE_TARGETS; k++) {
            if (files[i].labels[k] == 0)
                continue;
            buf_printf(&text, "%s{\"targets\": [\"h%u-%u:1\"], \"labels\": {\"l\": \"%d\"}}", text.n > 0 ? "," : "[", i, k, files[i].labels[k]);
            buf_printf(expected, "h%u-%u:1=%d ", i, k, files[i].labels[k]);
        }
        buf_add_z(&text, text.n > 0 ? "]" : "[]");
        if (files[i].exists)
            replace_file(buf_z(&path), buf_z(&text));
        else
            remove(buf_z(&path));
        buf_free(&text);
        buf_free(&path);
    }
    sort_targets(expected);
}

static void change_files(uint64_t *rng)
{
    unsigned i = (unsigned)(rng_next(rng) % FILES);
    if (rng_next(rng) % 4 == 0)
        files[i].exists = !files[i].exists;
    for (unsigned n = (unsigned)(rng_next(rng) % 3); n > 0; n--)
        files[i].labels[rng_next(rng) % FILE_TARGETS] = (int)(rng_next(rng) % 3);
}

/* patterns: of which two may match the same file. */
static void follow_files(const struct str *patterns, size_t n, bool by_parts)
{
    char directory[] = "/tmp/sluice-files-XXXXXX";
    struct pooled p = {0};
    uint64_t rng = 7;
    struct buf expected = {0};
    struct str at[3];
    assert_non_null(mkdtemp(directory));
    memset(files, 0, sizeof files);
    for (unsigned i = 0; i < FILES; i++)
        for (unsigned k = 0; k < FILE_TARGETS; k++)
            files[i].labels[k] = 1 + (files[i].exists = true);
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < n; i++)
        at[i] = arena_printf(&a, "%s/%.*s", directory, STR_ARG(patterns[i]));
    struct loop *loop = loop_new();
    struct sd_manager *m = sd_manager_new(&(struct sd_manager_env){.main = loop, .news = pool_files, .arg = &p});
    p.discovery = discovery_new(m, (struct sd_owner){"job", STR("j")});
    struct file_sd sd = {.files = {at, n}, .refresh_interval = 60000};
    struct sd_conf conf = {.file_sd_configs = {&sd, 1}};
    write_files(directory, &expected);
    discovery_set(p.discovery, &conf);
    for (unsigned round = 0; round < FILE_ROUNDS; round++) {
        size_t visits = p.visits;
        sd_manager_start(m);
        for (int64_t began = clock_mono_ms(); !pooled_is(&p, &expected) && clock_mono_ms() - began < DISCOVERY_SOON_MS;)
            loop_turn(loop, 5);
        assert_true(pooled_is(&p, &expected));
        assert_true(!by_parts || round < 2 || p.visits - visits <= FILE_TARGETS + 3);
        change_files(&rng);
        write_files(directory, &expected);
    }
    assert_true(by_parts ? p.all <= 1 : p.all > 2);
    discovery_free(p.discovery);
    sd_manager_free(m);
    pooled_forget(&p);
    loop_free(loop);
    arena_free(&a);
    for (unsigned i = 0; i < FILES; i++)
        files[i].exists = false;
    write_files(directory, &expected);
    assert_int_equal(rmdir(directory), 0);
    buf_free(&expected);
}

static void changed_files_are_visited_by_part(void **state UNUSED)
{
    const struct str apart[] = {STR("f[01].json"), STR("f[2-9].json"), STR("none*")};
    follow_files(apart, LEN(apart), true);
}

static void a_file_of_two_patterns_is_visited_once(void **state UNUSED)
{
    const struct str shared[] = {STR("f[01].json"), STR("f*.json")};
    follow_files(shared, LEN(shared), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_that_always_fails_keeps_old_targets_for_a_minute),
        cmocka_unit_test(a_list_that_fails_with_other_settings_keeps_its_targets),
        cmocka_unit_test(nothing_new_at_all_keeps_everything),
        cmocka_unit_test(what_had_no_targets_ends_at_once),
        cmocka_unit_test(failed_reads_are_retried_apart),
        cmocka_unit_test(files_are_followed_until_they_are_replaced),
        cmocka_unit_test(changed_files_are_visited_by_part),
        cmocka_unit_test(a_file_of_two_patterns_is_visited_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
