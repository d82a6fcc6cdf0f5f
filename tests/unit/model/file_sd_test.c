// SPDX-License-Identifier: Apache-2.0
/* Files that list targets: what they say, and which of them are there. */
#include "model/discovery/files/file_sd.h"

#include "base/telemetry/log.h"
#include "tests/unit/files.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t parsed(const char *path, const char *text, struct err *err, struct static_group **groups, struct arena *a)
{
    size_t n = 0;
    return sd_file_parse(a, path, str_of(text), groups, &n, err) ? n : SIZE_MAX;
}

static void files_are_json_or_yaml(void **state UNUSED)
{
    struct arena a = {0};
    struct err err;
    struct static_group *g;
    assert_int_equal(parsed("t.json", "[\n\t{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"x\": \"\\u00e4\"}},{}]",
                            &err, &g, &a), 2);
    assert_int_equal(g[0].targets.n, 2);
    assert_true(str_is(g[0].targets.items[1], "b:2"));
    assert_true(str_is(g[0].labels.values[0], "\xc3\xa4"));
    assert_int_equal(parsed("t.yml", "- targets: [a:1]\n  labels: {x: y}\n- targets: [c:1]\n", &err, &g, &a), 2);
    assert_true(str_is(g[1].targets.items[0], "c:1"));
    assert_int_equal(parsed("t.yml", "", &err, &g, &a), 0);
    assert_int_equal(parsed("t.json", "{}", &err, &g, &a), SIZE_MAX);
    assert_int_equal(parsed("t.json", "[{\"targets\": [1]}]", &err, &g, &a), SIZE_MAX);
    assert_non_null(strstr(err.text, "item 1"));
    assert_int_equal(parsed("t.json", "[", &err, &g, &a), SIZE_MAX);
    assert_int_equal(parsed("t.yml", "- target: [a]", &err, &g, &a), SIZE_MAX);
    assert_non_null(strstr(err.text, "targets"));
    arena_free(&a);
}

/* ---- a folder of them ---- */

struct folder {
    char path[40], pattern[60];
    struct file_discovery found;
};

static void folder_open(struct folder *d)
{
    memset(d, 0, sizeof *d);
    snprintf(d->path, sizeof d->path, "build/file-sd-test-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    snprintf(d->pattern, sizeof d->pattern, "%s/*.json", d->path);
    d->found.owner = (struct sd_owner){"job", STR("job")};
    d->found.pattern = str_of(d->pattern);
}

static void in_folder(const struct folder *d, const char *name, char out[100])
{
    snprintf(out, 100, "%s/%s", d->path, name);
}

static void put(const struct folder *d, const char *name, const char *target)
{
    char path[100], text[100];
    in_folder(d, name, path);
    snprintf(text, sizeof text, "[{\"targets\": [\"%s\"]}]", target);
    write_file(path, text);
}

static void delete(const struct folder *d, const char *name)
{
    char path[100];
    in_folder(d, name, path);
    assert_int_equal(unlink(path), 0);
}

static void folder_close(struct folder *d)
{
    sd_files_free(&d->found.files);
    assert_int_equal(rmdir(d->path), 0);
}

static struct str only_target(const struct folder *d, size_t file)
{
    return d->found.files.items[file].groups->items[0].targets.items[0];
}

static void files_come_change_and_go(void **state UNUSED)
{
    struct folder d;
    folder_open(&d);
    assert_false(file_discovery_refresh(&d.found));
    put(&d, "b.json", "b:1");
    put(&d, "a.json", "a:1");
    assert_true(file_discovery_refresh(&d.found));
    assert_int_equal(d.found.files.n, 2);
    assert_true(str_is(only_target(&d, 0), "a:1")); /* a pattern's files come by name */
    assert_false(file_discovery_refresh(&d.found));
    put(&d, "b.json", "b:22");
    assert_true(file_discovery_refresh(&d.found));
    assert_true(str_is(only_target(&d, 1), "b:22"));
    delete(&d, "a.json");
    assert_true(file_discovery_refresh(&d.found));
    assert_int_equal(d.found.files.n, 1);
    assert_true(str_is(only_target(&d, 0), "b:22"));
    delete(&d, "b.json");
    folder_close(&d);
}

/* As Kubernetes writes its volumes: the file's link goes through a link to a folder, and that one is exchanged. */
static void links_may_be_exchanged(void **state UNUSED)
{
    struct folder d;
    char one[100], two[100], data[100], next[100], link[100];
    folder_open(&d);
    in_folder(&d, "one", one);
    in_folder(&d, "two", two);
    in_folder(&d, "data", data);
    in_folder(&d, "next", next);
    in_folder(&d, "t.json", link);
    assert_int_equal(mkdir(one, 0700) | mkdir(two, 0700), 0);
    put(&d, "one/t.json", "a:1");
    put(&d, "two/t.json", "b:1");
    assert_int_equal(symlink("one", data) | symlink("data/t.json", link), 0);
    assert_true(file_discovery_refresh(&d.found));
    assert_true(str_is(only_target(&d, 0), "a:1"));
    assert_int_equal(symlink("two", next) | rename(next, data), 0);
    assert_true(file_discovery_refresh(&d.found));
    assert_true(str_is(only_target(&d, 0), "b:1"));
    delete(&d, "two/t.json"); /* a link to nothing is listed still: the targets stay until it is gone */
    (void)file_discovery_refresh(&d.found);
    delete(&d, "t.json");
    assert_true(file_discovery_refresh(&d.found));
    assert_int_equal(d.found.files.n, 0);
    delete(&d, "one/t.json");
    delete(&d, "data");
    assert_int_equal(rmdir(one) | rmdir(two), 0);
    folder_close(&d);
}

/* Without descriptors left nothing can be seen: that is no reason to end all targets. */
static void a_folder_that_cannot_be_read_keeps_its_files(void **state UNUSED)
{
    struct folder d;
    struct rlimit before, none;
    folder_open(&d);
    put(&d, "a.json", "a:1");
    assert_true(file_discovery_refresh(&d.found));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool changed = file_discovery_refresh(&d.found);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(changed);
    assert_int_equal(d.found.files.n, 1);
    delete(&d, "a.json");
    folder_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_json_or_yaml),
        cmocka_unit_test(files_come_change_and_go),
        cmocka_unit_test(links_may_be_exchanged),
        cmocka_unit_test(a_folder_that_cannot_be_read_keeps_its_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
