// SPDX-License-Identifier: Apache-2.0
/* Stored instances: their encodings, the names of their jobs, and what is shown and written of one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/agent/instance_set.h"
#include "gateway/agent/instance_text.h"

static struct instance_doc *doc_of(const char *name, const char *text, bool zipped)
{
    struct buf value = {0};
    struct err err;
    if (zipped)
        assert_true(instance_encode(str_of(text), &value));
    else
        buf_add_z(&value, text);
    struct instance_doc *d = instance_doc_new(str_of(name), buf_str(&value), 7, &err);
    buf_free(&value);
    assert_non_null(d);
    return d;
}

static void both_encodings(void **state UNUSED)
{
    for (int zipped = 0; zipped < 2; zipped++) {
        struct instance_doc *d = doc_of("a/b", "scrape_configs: [{job_name: x}]\n", zipped);
        assert_true(str_is(d->name, "a/b"));
        assert_true(str_is(d->text, "scrape_configs: [{job_name: x}]\n"));
        instance_doc_unref(d);
    }
    struct err err;
    assert_null(instance_doc_new(STR("a"), str_n("\x1f\x8b\x08 no gzip", 11), 1, &err));
}

/* A value that becomes too large is refused before the memory is taken. */
static void too_large(void **state UNUSED)
{
    struct buf text = {0}, value = {0};
    struct err err;
    for (size_t i = 0; i <= INSTANCE_TEXT_MAX; i++)
        buf_add_char(&text, 'x');
    assert_null(instance_doc_new(STR("a"), buf_str(&text), 1, &err));
    assert_true(instance_encode(buf_str(&text), &value));
    assert_true(value.n < 1 << 20);
    assert_null(instance_doc_new(STR("a"), buf_str(&value), 1, &err));
    buf_free(&text);
    buf_free(&value);
}

static void jobs_of_others(void **state UNUSED)
{
    struct instance_doc *docs[] = {doc_of("c", "scrape_configs: [{job_name: x}, {job_name: y}]", true),
                                   doc_of("a", "scrape_configs: [", true), doc_of("b", "scrape_configs: [{job_name: z}, 1]", false)};
    struct instance_set *s = instance_set_new(docs, 3, 9);
    struct str names[] = {STR("new"), STR("y")};
    struct str_list jobs = {names, 2};
    for (size_t i = 0; i < 3; i++)
        instance_doc_unref(docs[i]);
    assert_true(str_is(s->docs[0]->name, "a") && str_is(s->docs[2]->name, "c"));
    assert_ptr_equal(instance_set_find(s, STR("b")), s->docs[1]);
    assert_null(instance_set_find(s, STR("bb")));
    assert_null(instance_set_find(NULL, STR("b")));
    assert_int_equal(instance_doc_jobs(s->docs[0])->n, 0);
    assert_int_equal(instance_doc_jobs(s->docs[1])->n, 1);
    assert_true(str_is(*instance_set_duplicate(s, STR("d"), &jobs), "y"));
    assert_null(instance_set_duplicate(s, STR("c"), &jobs));
    instance_set_unref(s);
}

static void shown(const char *text, const char *expected)
{
    struct arena a;
    struct buf out = {0};
    struct err err;
    arena_init(&a, 0);
    const struct yaml *node = yaml_parse(&a, str_of(text), "test", &err);
    assert_non_null(node);
    instance_show(&a, STR("one"), node, &out);
    const char *defaults = "wal_truncate_frequency: 1h0m0s\nmin_wal_time: 5m0s\nmax_wal_time: 4h0m0s\nremote_flush_deadline: 1m0s\n";
    assert_true(str_ends(buf_str(&out), str_of(defaults)));
    out.n -= strlen(defaults);
    if (!str_eq(buf_str(&out), str_of(expected)))
        fail_msg("%.*s", STR_ARG(buf_str(&out)));
    buf_free(&out);
    arena_free(&a);
}

/* Also in sections that sluice does not read. */
static void secrets_are_masked(void **state UNUSED)
{
    shown("name: other\n", "name: one\n");
    shown("scrape_configs: [{job_name: j, basic_auth: {username: u, password: p}}]\n",
          "name: one\nscrape_configs:\n  - job_name: j\n    basic_auth:\n      username: u\n      password: '<secret>'\n");
    shown("scrape_configs: [{hetzner_sd_configs: [{role: robot, bearer_token: t, basic_auth: {password: p}}]}]\n",
          "name: one\nscrape_configs:\n  - hetzner_sd_configs:\n      - role: robot\n        bearer_token: '<secret>'\n"
          "        basic_auth:\n          password: '<secret>'\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_encodings), cmocka_unit_test(too_large),
                                       cmocka_unit_test(jobs_of_others), cmocka_unit_test(secrets_are_masked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
