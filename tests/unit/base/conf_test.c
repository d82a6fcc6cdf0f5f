// SPDX-License-Identifier: Apache-2.0
/* One synthetic section with a row of every type: loading, defaults, every class of error with its line, printing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/conf/conf.h"

#include <stdio.h>

enum color { RED, GREEN };
static const char *const colors[] = {"red", "green", NULL};

struct inner { struct str name; int64_t port; };
struct outer {
    struct str text, secret, url, file;
    bool flag;
    int64_t count, wait, size;
    double ratio;
    int color;
    struct str_list list;
    struct str_map map;
    struct multimap params;
    struct inner inner, *maybe;
    struct conf_items items;
    int64_t custom;
    const struct yaml *raw;
};

static bool load_custom(struct conf_context *c UNUSED, const struct yaml *node, void *field, struct err *err)
{
    if (node->kind != YAML_LIST)
        return conf_err(node, err, "custom wants a list");
    *(int64_t *)field = (int64_t)node->n;
    return true;
}
static void print_custom(struct buf *out, const void *field, unsigned indent UNUSED)
{
    buf_printf(out, " %d\n", (int)*(const int64_t *)field);
}
static bool check_inner(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct inner *inner = value;
    return !str_is(inner->name, "bad") || conf_err(node, err, "inner: bad is a bad name");
}

static const struct conf_row inner_rows[] = {
    {CONF_STRING, "name", offsetof(struct inner, name), .required = true, .help = "Who"},
    {CONF_INT, "port", offsetof(struct inner, port), .preset = "80", .min = 1, .max = 65535, .help = "Where"},
    {0}};
static const struct conf_section inner_section = {"inner", sizeof(struct inner), inner_rows, check_inner, NULL};
#define ROW(type, field, ...) {type, #field, offsetof(struct outer, field), __VA_ARGS__}
static const struct conf_row rows[] = {
    ROW(CONF_STRING, text, .preset = "*", .help = "Some | text"),
    ROW(CONF_SECRET, secret, .help = "Hidden"),
    ROW(CONF_URL, url, .help = "Place"),
    ROW(CONF_FILE, file, .help = "Path"),
    ROW(CONF_BOOL, flag, .preset = "true", .help = "On?"),
    ROW(CONF_INT, count, .min = -5, .max = 10, .alias = "number", .help = "How many"),
    ROW(CONF_DURATION, wait, .preset = "1m", .min = 1000, .max = 3600000, .help = "How long"),
    ROW(CONF_SIZE, size, .preset = "16MiB", .help = "How large"),
    ROW(CONF_FLOAT, ratio, .preset = "0.5", .help = "Share"),
    ROW(CONF_ENUM, color, .preset = "green", .names = colors, .help = "Paint"),
    ROW(CONF_STRINGS, list, .preset = "[x, y]", .help = "Words"),
    ROW(CONF_MAP, map, .help = "Pairs"),
    ROW(CONF_MULTIMAP, params, .help = "Parameters"),
    ROW(CONF_SECTION, inner, .section = &inner_section, .help = "Inside"),
    ROW(CONF_OPTIONAL, maybe, .section = &inner_section, .help = "Perhaps"),
    ROW(CONF_SECTIONS, items, .section = &inner_section, .help = "Several"),
    ROW(CONF_CUSTOM, custom, .custom = load_custom, .print = print_custom, .help = "Own way"),
    ROW(CONF_YAML, raw, .help = "Left alone"),
    {CONF_ACCEPTED, "old", .help = "Was used once."},
    {CONF_IGNORED, "nothing", .help = "Means nothing."},
    {0}};
static const struct conf_section section = {"outer", sizeof(struct outer), rows, NULL, NULL};

static struct arena arena;
static char warnings[1024];
static void on_warn(void *arg UNUSED, const char *text)
{
    size_t n = strlen(warnings);
    snprintf(warnings + n, sizeof warnings - n, "%s\n", text);
}
static struct conf_context context;

static int setup(void **state UNUSED)
{
    arena_init(&arena, 0);
    warnings[0] = 0;
    context = (struct conf_context){.arena = &arena, .file = "t.yml", .dir = STR("/etc/sluice"), .warn = on_warn};
    return 0;
}
static int teardown(void **state UNUSED)
{
    arena_free(&arena);
    return 0;
}

static bool load(const char *text, struct outer *o, struct err *err)
{
    const struct yaml *y = yaml_parse(&arena, str_of(text), "t.yml", err);
    return y && conf_load(&context, &section, y, o, err);
}

static void load_well(const char *text, struct outer *o)
{
    struct err err = {0};
    if (!load(text, o, &err))
        fail_msg("%s", err.text);
}

static void check_error(const char *text, const char *expected)
{
    struct outer o;
    struct err err = {0};
    assert_false(load(text, &o, &err));
    assert_string_equal(err.text, expected);
}

static void test_a_duration_or_auto(void **state UNUSED)
{
    static const struct conf_row slot_rows[] = {
        {CONF_DURATION_AUTO, "slot", 0, .preset = "auto", .max = 60000, .help = "When"}, {0}};
    static const struct conf_section slots = {"slots", sizeof(int64_t), slot_rows, NULL, NULL};
    static const struct { const char *file, *printed; } cases[] = {
        {"{}", "slot: auto\n"}, {"slot: auto", "slot: auto\n"}, {"slot: 1500ms", "slot: 1s500ms\n"}, {"slot: 0", "slot: 0s\n"}};
    static const char *const refused[][2] = {
        {"slot: 61s", "t.yml:1: slots.slot: 61s is out of range: it must be 0s to 1m (or auto)"},
        {"slot: Auto", "t.yml:1: slots.slot: \"Auto\" is not a duration; write it as 250ms, 15s, 1m30s, 2h or 1d (or auto)"},
        {"slot: [auto]", "t.yml:1: slots.slot: expected a duration or auto, got a list"}};
    int64_t values[LEN(cases)], value;
    struct err err = {0};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf out = {0};
        assert_true(conf_load(&context, &slots, yaml_parse(&arena, str_of(cases[i].file), "t.yml", &err), &values[i], &err));
        conf_print(&out, &slots, &values[i], 0);
        assert_string_equal(buf_z(&out), cases[i].printed);
        buf_free(&out);
    }
    assert_true(values[0] == CONF_AUTO && values[1] == CONF_AUTO && values[2] == 1500 && values[3] == 0);
    assert_true(conf_equal(&slots, &values[0], &values[1]) && !conf_equal(&slots, &values[1], &values[2]));
    for (size_t i = 0; i < LEN(refused); i++) {
        assert_false(conf_load(&context, &slots, yaml_parse(&arena, str_of(refused[i][0]), "t.yml", &err), &value, &err));
        assert_string_equal(err.text, refused[i][1]);
    }
    struct buf doc = {0};
    conf_document(&doc, &slots);
    assert_string_equal(buf_z(&doc), "| `slot` | duration or `auto`, 0s to 1m | `auto` | When |\n");
    buf_free(&doc);
}

static void test_defaults(void **state UNUSED)
{
    struct outer o;
    load_well("", &o);
    assert_string_equal(o.text.p, "*");
    assert_int_equal(o.secret.n, 0);
    assert_true(o.flag);
    assert_int_equal(o.wait, 60000);
    assert_int_equal(o.size, 16 << 20);
    assert_true(o.ratio == 0.5);
    assert_int_equal(o.color, GREEN);
    assert_int_equal(o.list.n, 2);
    assert_string_equal(o.list.items[1].p, "y");
    assert_int_equal(o.inner.port, 80);
    assert_null(o.maybe);
    assert_null(o.raw);
    assert_int_equal(o.items.n, 0);
}

static const char full[] =
    "text: 12\nsecret: s3cret\nurl: http://u:pw@h:1/p\nfile: a/b.txt\nflag: off\nnumber: -5\nwait: 1h\n"
    "size: 3KiB\nratio: 1e-3\ncolor: red\nlist: one\nmap: {k: v, 'a b': 3}\nparams:\n"
    "  match: ['{a=\"b\"}', c]\n  x: y\ninner: {name: i}\nmaybe: {name: m, port: 9}\nitems:\n- name: p\n"
    "- {name: q, port: 2}\ncustom: [1, 2]\nraw: {deep: [1]}\n";

static void test_all_types(void **state UNUSED)
{
    struct outer o;
    load_well(full, &o);
    assert_string_equal(o.text.p, "12");
    assert_string_equal(o.secret.p, "s3cret");
    assert_string_equal(o.file.p, "/etc/sluice/a/b.txt");
    assert_false(o.flag);
    assert_int_equal(o.count, -5);
    assert_int_equal(o.wait, 3600000);
    assert_int_equal(o.size, 3072);
    assert_true(o.ratio == 1e-3);
    assert_int_equal(o.color, RED);
    assert_int_equal(o.list.n, 1);
    assert_string_equal(o.list.items[0].p, "one");
    assert_int_equal(o.map.n, 2);
    assert_string_equal(o.map.keys[1].p, "a b");
    assert_string_equal(o.map.values[1].p, "3");
    assert_int_equal(o.params.n, 2);
    assert_string_equal(o.params.values[0].items[0].p, "{a=\"b\"}");
    assert_string_equal(o.params.values[1].items[0].p, "y");
    assert_string_equal(o.inner.name.p, "i");
    assert_int_equal(o.inner.port, 80);
    assert_int_equal(o.maybe->port, 9);
    assert_int_equal(o.items.n, 2);
    assert_int_equal(((struct inner *)o.items.items)[1].port, 2);
    assert_int_equal(o.custom, 2);
    assert_int_equal(yaml_get(o.raw, "deep")->n, 1);
}

static void test_null_is_absent(void **state UNUSED)
{
    struct outer o;
    load_well("text:\nlist: ~\ninner:\nmaybe:\nitems:\ncustom:\nraw:\n", &o);
    assert_string_equal(o.text.p, "*");
    assert_int_equal(o.list.n, 2);
    assert_null(o.maybe);
    assert_null(o.raw);
}

static void test_bad_values(void **state UNUSED)
{
    check_error("\nwait: 10x\n",
                "t.yml:2: outer.wait: \"10x\" is not a duration; write it as 250ms, 15s, 1m30s, 2h or 1d");
    check_error("wait: 2h\n", "t.yml:1: outer.wait: 2h is out of range: it must be 1s to 1h");
    check_error("wait: 1.5m\n",
                "t.yml:1: outer.wait: \"1.5m\" is not a duration; write it as 250ms, 15s, 1m30s, 2h or 1d");
    check_error("count: 1.5\n", "t.yml:1: outer.count: \"1.5\" is not a whole number");
    check_error("count: 11\n", "t.yml:1: outer.count: 11 is out of range: it must be -5 to 10");
    check_error("ratio: x\n", "t.yml:1: outer.ratio: \"x\" is not a number");
    check_error("flag: maybe\n", "t.yml:1: outer.flag: \"maybe\" is not true or false");
    check_error("size: 1XB\n", "t.yml:1: outer.size: \"1XB\" is not a size; write it as 4096, 512KB, 16MB or 1GiB");
    check_error("color: blue\n", "t.yml:1: outer.color: \"blue\" is not one of red, green");
    check_error("items:\n- name: a\n- name: b\n  port: 0\n",
                "t.yml:4: inner.port: 0 is out of range: it must be 1 to 65535");
}

static void test_wrong_types(void **state UNUSED)
{
    check_error("[1]\n", "t.yml:1: outer: expected a mapping, got a list");
    check_error("text: [a]\n", "t.yml:1: outer.text: expected a string, got a list");
    check_error("wait: {}\n", "t.yml:1: outer.wait: expected a duration, got a mapping");
    check_error("list: {a: b}\n", "t.yml:1: outer.list: expected a list of strings, got a mapping");
    check_error("list:\n- a\n- [b]\n", "t.yml:3: outer.list: expected a list of strings, got a list");
    check_error("map: [a]\n", "t.yml:1: outer.map: expected a mapping of strings, got a list");
    check_error("map:\n  a: [b]\n", "t.yml:2: outer.map: expected a mapping of strings, got a list");
    check_error("params: a\n", "t.yml:1: outer.params: expected a mapping of lists of strings, got a single value");
    check_error("inner: a\n", "t.yml:1: inner: expected a mapping, got a single value");
    check_error("maybe: [a]\n", "t.yml:1: inner: expected a mapping, got a list");
    check_error("items: {name: a}\n", "t.yml:1: outer.items: expected a list of mappings, got a mapping");
    check_error("items:\n- name: a\n-\n", "t.yml:3: outer.items: expected a list of mappings, got nothing");
    check_error("custom: a\n", "t.yml:1: custom wants a list");
}

static void test_keys(void **state UNUSED)
{
    check_error("text: a\nratoi: 1\n", "t.yml:2: outer: unknown key \"ratoi\"; did you mean \"ratio\"?");
    check_error("something_else: 1\n", "t.yml:1: outer: unknown key \"something_else\"");
    check_error("count: 1\nnumber: 2\n",
                "t.yml:2: outer.count: duplicate key: \"number\" is an alias of it; keep one of them");
    check_error("maybe:\n  port: 1\n", "t.yml:1: inner: missing required key \"name\"");
    check_error("items:\n- name: a\n- name:\n", "t.yml:3: inner: missing required key \"name\"");
    check_error("inner:\n  name: bad\n", "t.yml:1: inner: bad is a bad name");
}

static void test_warnings(void **state UNUSED)
{
    struct outer o;
    context.lenient_keys = true;
    load_well("old: 1\nnothing: {a: b}\ntxet: 5\n", &o);
    assert_string_equal(warnings, "t.yml:1: outer.old is ignored: Was used once.\n"
                                  "t.yml:3: outer: unknown key \"txet\" is ignored; did you mean \"text\"?\n");
}

static void test_loose_durations(void **state UNUSED)
{
    struct outer o;
    context.loose_durations = true;
    load_well("wait: 0.5h\n", &o);
    assert_int_equal(o.wait, 1800000);
    load_well("wait: 15\n", &o);
    assert_int_equal(o.wait, 15000);
}

static void test_scalar(void **state UNUSED)
{
    struct err err = {0};
    int64_t v;
    struct str path;
    assert_true(conf_scalar(&context, &rows[6], STR("90s"), &v, &err));
    assert_int_equal(v, 90000);
    assert_false(conf_scalar(&context, &rows[6], STR("5d"), &v, &err));
    assert_string_equal(err.text, "5d is out of range: it must be 1s to 1h");
    assert_true(conf_scalar(&context, &rows[3], STR("/abs"), &path, &err));
    assert_string_equal(path.p, "/abs");
}

static void test_print(void **state UNUSED)
{
    struct outer o;
    struct buf out = {0};
    load_well(full, &o);
    conf_print(&out, &section, &o, 0);
    assert_string_equal(buf_z(&out),
                        "text: '12'\nsecret: <secret>\nurl: http://xxxxx:xxxxx@h:1/p\n"
                        "file: /etc/sluice/a/b.txt\nflag: false\ncount: -5\nwait: 1h\nsize: 3KiB\n"
                        "ratio: 0.001\ncolor: red\nlist:\n  - one\nmap:\n  k: v\n  a b: '3'\nparams:\n"
                        "  match:\n    - '{a=\"b\"}'\n    - c\n  x:\n    - 'y'\ninner:\n  name: i\n  port: 80\n"
                        "maybe:\n  name: m\n  port: 9\nitems:\n  - name: p\n    port: 80\n  - name: q\n"
                        "    port: 2\ncustom: 2\n");
    assert_int_equal(yaml_parse(&arena, buf_str(&out), "printed", NULL)->kind, YAML_MAP);
    buf_free(&out);
}

/* As in a URL: parameters whose names look like secrets. */
static void test_print_secret_params(void **state UNUSED)
{
    struct outer o;
    struct buf out = {0};
    load_well("params: {api_key: [hush, hush2], Token: [hush3], x: ['v']}\n", &o);
    conf_print(&out, &section, &o, 0);
    assert_non_null(strstr(buf_z(&out), "params:\n  api_key: [<secret>]\n  Token: [<secret>]\n  x:\n    - v\n"));
    assert_null(strstr(buf_z(&out), "hush"));
    assert_int_equal(yaml_parse(&arena, buf_str(&out), "printed", NULL)->kind, YAML_MAP);
    buf_free(&out);
}

static void test_document(void **state UNUSED)
{
    struct buf out = {0};
    conf_document(&out, &section);
    const char *text = buf_z(&out);
    assert_non_null(strstr(text, "| `text` | string | `*` | Some \\| text |\n"));
    assert_non_null(strstr(text, "| `count` | whole number, -5 to 10 |  | How many (also `number`) |\n"));
    assert_non_null(strstr(text, "| `wait` | duration, 1s to 1h | `1m` | How long |\n"));
    assert_non_null(strstr(text, "| `color` | `red`, `green` | `green` | Paint |\n"));
    assert_non_null(strstr(text, "| `items` | list of [inner](#inner) |  | Several |\n"));
    assert_non_null(strstr(text, "| `old` | any |  | Ignored with a warning: Was used once. |\n"));
    buf_clear(&out);
    conf_document(&out, &inner_section);
    assert_string_equal(buf_z(&out),
                        "| `name` | string | required | Who |\n| `port` | whole number, 1 to 65535 | `80` | Where |\n");
    buf_free(&out);
}

static void test_equal(void **state UNUSED)
{
    static const char *const keys[] = {
        "text: a", "text: b", "secret: a", "secret: b", "url: 'http://u:a@x/'", "url: 'http://u:b@x/'", "file: f", "flag: false",
        "count: 3", "wait: 2s", "size: 5", "ratio: 0.25", "color: red", "list: [x]", "list: [x, z]", "map: {a: b}", "map: {a: c}",
        "map: {b: c}", "params: {a: [b]}", "params: {a: [b, c]}", "inner: {name: a}", "inner: {name: a, port: 81}",
        "maybe: {name: a}", "maybe: {name: b}", "items: [{name: a}]", "items: [{name: b}]", "items: [{name: a}, {name: b}]",
        "custom: [1, 2]", "raw: 1", "old: 1"};
    struct outer a[LEN(keys) + 1] = {0}, again;
    load_well("", &a[LEN(keys)]);
    for (size_t i = 0; i < LEN(keys); i++)
        load_well(keys[i], &a[i]);
    for (size_t i = 0; i < LEN(keys); i++) {
        load_well(keys[i], &again);
        if (!conf_equal(&section, &a[i], &again))
            fail_msg("\"%s\" differs from itself", keys[i]);
    }
    size_t last = LEN(keys) - 2; /* what is not stored is no difference */
    for (size_t i = 0; i < last; i++)
        for (size_t k = 0; k < LEN(a); k++)
            if (i != k && conf_equal(&section, &a[i], &a[k]))
                fail_msg("\"%s\" equals \"%s\"", keys[i], k < LEN(keys) ? keys[k] : "nothing");
    assert_true(conf_equal(&section, &a[last], &a[LEN(keys)]));
    assert_true(conf_equal(&section, &a[last + 1], &a[LEN(keys)]));
}

/* What is written loads to the same value, secrets included, and has no defaults. */
static void test_write(void **state UNUSED)
{
    static const char *const texts[] = {
        "", "text: ''", "text: '5'", "secret: \"a\\nb: 'c'\"", "url: 'http://u:a@x/?token=b'", "file: f", "flag: false", "count: -3",
        "wait: 2s", "size: 5", "ratio: 0.25", "color: red", "list: [x, '1', 'a: b']", "list: []", "map: {__param_token: hidden, b: ''}",
        "params: {token: [a, b], c: []}", "inner: {name: a}", "inner: {name: a, port: 81}", "maybe: {name: b}",
        "items: [{name: a}, {name: b, port: 8}]", "{text: a, inner: {name: x}, items: [{name: y}], flag: false}"};
    for (size_t i = 0; i < LEN(texts); i++) {
        struct buf out = {0};
        struct outer given, again;
        load_well(texts[i], &given);
        conf_write(&arena, &out, &section, &given, 0);
        struct str custom = STR("custom: 0\n"); /* its text is another kind of node */
        size_t at = str_find_str(buf_str(&out), custom);
        assert_true(at < out.n);
        memset(out.p + at, ' ', custom.n - 1);
        load_well(buf_z(&out), &again);
        if (!conf_equal(&section, &given, &again))
            fail_msg("\"%s\" became \"%s\"", texts[i], buf_z(&out));
        assert_true(i > 0 || (strstr(buf_z(&out), "wait") == NULL && strstr(buf_z(&out), "inner") == NULL));
        buf_free(&out);
    }
}

static void note_difference(void *arg, const char *path, struct str a, struct str b)
{
    buf_printf(arg, "%s:%.*s|%.*s;", path, STR_ARG(str_trim(a)), STR_ARG(str_trim(b)));
}

static void expect_differences(const char *a, const char *b, const char *expected)
{
    struct outer x, y;
    struct buf out = {0};
    load_well(a, &x);
    load_well(b, &y);
    conf_diff(&section, &x, &y, note_difference, &out);
    if (strcmp(buf_z(&out), expected) != 0)
        fail_msg("%s", buf_z(&out));
    buf_free(&out);
}

static void test_diff(void **state UNUSED)
{
    expect_differences("text: a", "{text: a, wait: 1m}", "");
    expect_differences("text: a", "{text: b, wait: 2s}", "text:a|b;wait:1m|2s;");
    expect_differences("secret: a", "secret: b", "secret:<secret>|<secret>;");
    expect_differences("inner: {name: a}", "inner: {name: a, port: 8}", "inner.port:80|8;");
    expect_differences("maybe: {name: a}", "", "maybe:name: a\n  port: 80|;");
    expect_differences("maybe: {name: a}", "maybe: {name: b}", "maybe.name:a|b;");
    expect_differences("items: [{name: a}, {name: b}]", "items: [{name: b, port: 1}, {name: a}]", "items[b].port:80|1;");
    expect_differences("items: [{name: a}]", "items: [{name: b}]", "items[a]:name: a\n  port: 80|;items[b]:|name: b\n  port: 80;");
    expect_differences("items: [{name: a}, {name: a}]", "items: [{name: a}]", "items[2]:name: a\n  port: 80|;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_duration_or_auto, setup, teardown),
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_null_is_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_warnings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loose_durations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scalar, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_secret_params, setup, teardown),
        cmocka_unit_test_setup_teardown(test_document, setup, teardown),
        cmocka_unit_test_setup_teardown(test_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_diff, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
