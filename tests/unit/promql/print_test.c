// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "promql/promql.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static struct expr *parse(struct arena *a, struct str text)
{
    struct err err = {0};
    struct expr *e = promql_parse(a, text, NULL, &err);
    if (e == NULL)
        fail_msg("%.*s: %s", STR_ARG(text), err.text);
    return e;
}

static void check(void (*print)(struct buf *, const struct expr *), const char *text, const char *want)
{
    struct arena a;
    struct buf out = {0};
    arena_init(&a, 0);
    struct expr *e = parse(&a, str_of(text));
    print(&out, e);
    assert_string_equal(buf_z(&out), want);
    promql_free(e);
    buf_free(&out);
    arena_free(&a);
}

/* What is printed is the same query again, on one line as on many. */
static void check_again(struct str text)
{
    struct arena a;
    struct buf line = {0}, lines = {0};
    arena_init(&a, 0);
    struct expr *e = parse(&a, text);
    promql_print(&line, e);
    promql_pretty(&lines, e);
    struct expr *again = parse(&a, buf_str(&line)), *pretty = parse(&a, buf_str(&lines));
    if (!promql_equal(e, again) || !promql_equal(e, pretty))
        fail_msg("%.*s\n  became %s\n  and %s", STR_ARG(text), buf_z(&line), buf_z(&lines));
    promql_free(e);
    promql_free(again);
    promql_free(pretty);
    buf_free(&line);
    buf_free(&lines);
    arena_free(&a);
}

static void test_one_line(void **state UNUSED)
{
    static const struct { const char *text, *want; } cases[] = {
        {"SUM  by(b,a)(x)", "sum by (b, a) (x)"},
        {"sum(x) without()", "sum without () (x)"},
        {"sum by () (x)", "sum(x)"},
        {"count_values('v\\n', x)", "count_values(\"v\\n\", x)"},
        {"x{b='2',a=~'1'}", "x{a=~\"1\",b=\"2\"}"},
        {"{'x', a!='1'}", "{__name__=\"x\",a!=\"1\"}"},
        {"{'a b'=\"\\xff\"}", "{\"a b\"=\"\\xff\"}"},
        {"x{}", "x"},
        {"x offset 90s @ 5", "x @ 5.000 offset 1m30s"},
        {"x[86400] offset -1w @ end() smoothed", "x[1d] smoothed @ end() offset -1w"},
        {"x[5m:] @ -1.5", "x[5m:] @ -1.500"},
        {"x[(5m):(1m)] offset 1", "x[(5m):(1m)] offset 1s"},
        {"x[5m*-2+step()]", "x[5m * -2 + step()]"},
        {"x offset -(5)", "x offset -(5)"},
        {"x offset -+5s+step()", "x offset (-5s + step())"},
        {"x offset +(5)", "x offset (5)"},
        {"x offset ++(5)", "x offset (5)"},
        {"x offset +(5) * y", "x offset +(5) * y"},
        {"x offset (5) @ 7", "x @ 7.000 offset (5)"},
        {"x offset (5) @ 7 * y", "x @ 7.000 offset +(5) * y"},
        {"y / -x offset (5)*2 @ 7 - y", "y / -x @ 7.000 offset +((5) * 2) - y"},
        {"x offset +step()", "x offset step()"},
        {"info(x, {})", "info(x, {})"},
        {"-0m", "-0s"},
        {"a-on(x)b", "a - on (x) b"},
        {"a-ignoring()b", "a - b"},
        {"a-ignoring()group_right(x,'y z')b", "a - ignoring () group_right (x, \"y z\") b"},
        {"a+fill_right(-1)fill_left(-1)b", "a + fill (-1) b"},
        {"a+on(x)fill_right(1e30)b", "a + on (x) fill_right (1e+30) b"},
        {"a==bool on(x)b", "a == bool on (x) b"},
        {"1e3+.5+0x10+1e21+Inf-NaN", "1000 + 0.5 + 16 + 1000000000000000000000 + +Inf - NaN"},
        {"-Inf^2", "-Inf ^ 2"},
        {"1h30m+4s35ms", "1h30m + 4s35ms"},
        {"'\xc3\xa9\\t\"`'", "\"\xc3\xa9\\t\\\"`\""},
        {"-(+a)", "-(+a)"},
        {"round ( x , 5 )", "round(x, 5)"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        check(promql_print, cases[i].text, cases[i].want);
        check_again(str_of(cases[i].text));
    }
}

static void test_many_lines(void **state UNUSED)
{
    check(promql_pretty, "sum(up)", "sum(up)");
    check(promql_pretty,
          "-sum by (job, instance) (rate(a_rather_long_name_of_a_counter_total{job=\"api\"}[5m])) "
          "/ on (job, instance) group_left () topk(5, (another_long_name_of_a_gauge{job=\"api\"} > bool 5 "
          "or yet_another_long_name_of_a_gauge{job=\"api\", x=\"y\"}))",
          "  -sum by (job, instance) (rate(a_rather_long_name_of_a_counter_total{job=\"api\"}[5m]))\n"
          "/ on (job, instance) group_left ()\n"
          "  topk(\n"
          "    5,\n"
          "    (\n"
          "        another_long_name_of_a_gauge{job=\"api\"} > bool 5\n"
          "      or\n"
          "        yet_another_long_name_of_a_gauge{job=\"api\",x=\"y\"}\n"
          "    )\n"
          "  )");
    check(promql_pretty,
          "max_over_time(rate(a_rather_long_name_of_a_counter_total{job=\"api\",instance=\"a\",method=\"GET\"}[5m])"
          "[1h:5m] offset 1d)",
          "max_over_time(\n"
          "  rate(a_rather_long_name_of_a_counter_total{instance=\"a\",job=\"api\",method=\"GET\"}[5m])[1h:5m]"
          " offset 1d\n"
          ")");
    /* as Prometheus has it: a short subquery stays at the margin */
    check(promql_pretty,
          "max_over_time(deriv(a_rather_long_name_of_a_gauge{instance=\"a\",job=\"api-server\"}[5m])[1h:5m] offset 1d) "
          "> bool quantile_over_time(0.5, b[5m])",
          "  max_over_time(\n"
          "deriv(a_rather_long_name_of_a_gauge{instance=\"a\",job=\"api-server\"}[5m])[1h:5m] offset 1d\n"
          "  )\n"
          "> bool\n"
          "  quantile_over_time(0.5, b[5m])");
}

/* Quotes in `want` are single ones here. */
static void check_json(const char *text, const char *want)
{
    struct buf json = {0};
    for (; *want; want++)
        buf_add_char(&json, *want == '\'' ? '"' : *want);
    check(promql_json, text, buf_z(&json));
    buf_free(&json);
}

#define NAMED(x) "{'name':'__name__','type':'=','value':'" x "'}],'name':'" x "',"
#define PLAIN_SELECTOR(x) \
    "{'anchored':false,'matchers':[" NAMED(x) "'offset':0,'offsetExpr':null,'smoothed':false,'startOrEnd':null," \
    "'timestamp':null,'type':'vectorSelector'}"
#define RANGE_CALL(name) \
    "'func':{'argTypes':['matrix'],'name':'" name "','returnType':'vector','variadic':0},'type':'call'}"
#define STEP "{'lhs':null,'op':'step','rhs':null,'type':'durationExpr','wrapped':false}"

static void test_json(void **state UNUSED)
{
    check_json("(\"t\")", "{'expr':{'type':'stringLiteral','val':'t'},'type':'parenExpr'}");
    check_json("-sum by (a) (x{b!=\"<\"} offset -1m)",
               "{'expr':{'expr':{'anchored':false,'matchers':[{'name':'b','type':'!=','value':'\\u003c'}," NAMED("x")
               "'offset':-60000,'offsetExpr':null,'smoothed':false,'startOrEnd':null,'timestamp':null,"
               "'type':'vectorSelector'},'grouping':['a'],'op':'sum','param':null,'type':'aggregation',"
               "'without':false},'op':'-','type':'unaryExpr'}");
    check_json("rate(x[5m] @ end()) > bool 2",
               "{'bool':true,'lhs':{'args':[{'anchored':false,'matchers':[" NAMED("x") "'offset':0,'offsetExpr':null,"
               "'range':300000,'rangeExpr':null,'smoothed':false,'startOrEnd':'end','timestamp':null,"
               "'type':'matrixSelector'}]," RANGE_CALL("rate") ",'matching':null,'op':'\\u003e',"
               "'rhs':{'type':'numberLiteral','val':'2'},'type':'binaryExpr'}");
    check_json("a * on (x) group_left (y) fill_left (2) max_over_time(b[5m:step() - 1m])",
               "{'bool':false,'lhs':" PLAIN_SELECTOR("a") ",'matching':{'card':'many-to-one',"
               "'fillValues':{'lhs':2,'rhs':null},'include':['y'],'labels':['x'],'on':true},'op':'*',"
               "'rhs':{'args':[{'expr':" PLAIN_SELECTOR("b") ",'offset':0,'offsetExpr':null,'range':300000,"
               "'rangeExpr':null,'startOrEnd':null,'step':0,'stepExpr':{'lhs':" STEP ",'op':'-',"
               "'rhs':{'duration':true,'type':'numberLiteral','val':'60'},'type':'durationExpr','wrapped':false},"
               "'timestamp':null,'type':'subquery'}]," RANGE_CALL("max_over_time") ",'type':'binaryExpr'}");
}

/* Parentheses around a number, and a sign before a function, are separate nodes. */
static void test_json_of_durations(void **state UNUSED)
{
    check_json("x[-(5)]",
               "{'anchored':false,'matchers':[" NAMED("x") "'offset':0,'offsetExpr':null,'range':0,"
               "'rangeExpr':{'lhs':null,'op':'-','rhs':{'lhs':null,'op':'+',"
               "'rhs':{'duration':false,'type':'numberLiteral','val':'5'},'type':'durationExpr','wrapped':true},"
               "'type':'durationExpr','wrapped':false},'smoothed':false,'startOrEnd':null,'timestamp':null,"
               "'type':'matrixSelector'}");
    check_json("x offset +min_of(step(), 5)",
               "{'anchored':false,'matchers':[" NAMED("x") "'offset':0,'offsetExpr':{'lhs':null,'op':'+',"
               "'rhs':{'lhs':" STEP ",'op':'min_of','rhs':{'duration':false,'type':'numberLiteral','val':'5'},"
               "'type':'durationExpr','wrapped':false},'type':'durationExpr','wrapped':false},'smoothed':false,"
               "'startOrEnd':null,'timestamp':null,'type':'vectorSelector'}");
}

/* What does not fit on a line is not printed to its end at each level of a nesting: this takes no time. */
static void test_deep_and_wide(void **state UNUSED)
{
    struct buf text = {0}, out = {0};
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < 400; i++)
        buf_add_char(&text, '(');
    buf_add_z(&text, "x{");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "a%d=\"\",", i);
    buf_add_z(&text, "} + on (a");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, ",b%d", i);
    buf_add_z(&text, ") group_left (c");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, ",d%d", i);
    buf_add_z(&text, ") y");
    for (int i = 0; i < 400; i++)
        buf_add_char(&text, ')');
    struct expr *e = parse(&a, buf_str(&text));
    promql_pretty(&out, e);
    assert_true(out.n > text.n);
    promql_free(e);
    buf_free(&text);
    buf_free(&out);
    arena_free(&a);
}

static void test_unequal(void **state UNUSED)
{
    static const char *const all[] = {
        "a", "b", "a{x=\"1\"}", "a{x!=\"1\"}", "a{x=\"1\",x=\"1\"}", "a offset 1m", "a offset (1m)", "a @ 1",
        "a @ start()", "a[1m]", "a[2m]", "a[(1m)]", "a[1m:]", "a[1m:1m]", "a[1m:(1m)]", "a anchored", "a smoothed",
        "(a)", "-a", "+a", "a + b", "a - b", "b + a", "a + on (x) b", "a + ignoring (x) b",
        "a + on (x) group_left () b", "a + on (x) group_left (y) b", "a + fill (1) b", "a + fill_left (1) b", "a == b",
        "a == bool b", "sum(a)", "sum by (x) (a)", "sum without (x) (a)", "avg(a)", "topk(1, a)", "topk(2, a)",
        "abs(a)", "ceil(a)", "round(a)", "round(a, 1)", "1", "2", "1s", "NaN", "\"a\"", "\"b\"",
    };
    struct arena a;
    struct expr *trees[LEN(all)];
    arena_init(&a, 0);
    for (size_t i = 0; i < LEN(all); i++)
        trees[i] = parse(&a, str_of(all[i]));
    for (size_t i = 0; i < LEN(all); i++)
        for (size_t k = 0; k < LEN(all); k++)
            assert_int_equal(promql_equal(trees[i], trees[k]), i == k);
    arena_free(&a);
}

/* --- all queries of the corpora ---------------------------------------------------------------------------------- */

/* The expression of an eval line, NULL when the line has none, or one that must fail. */
static const char *eval_expression(const char *line)
{
    static const char *const skipped[] = {"instant", "at", "range", "from", "to", "step"};
    line += strspn(line, " \t");
    if (strncmp(line, "eval", 4) != 0 || strncmp(line, "eval_fail", 9) == 0)
        return NULL;
    line += strcspn(line, " \t");
    for (size_t i = 0; i < LEN(skipped); i++) {
        line += strspn(line, " \t");
        size_t n = strlen(skipped[i]);
        if (strncmp(line, skipped[i], n) != 0 || (line[n] != ' ' && line[n] != '\t'))
            continue;
        line += n + strspn(line + n, " \t");
        if (i > 0 && i != 2) /* a time follows */
            line += strcspn(line, " \t");
    }
    return line + strspn(line, " \t");
}

static size_t check_file(const char *path)
{
    char *line = NULL;
    size_t cap = 0, n = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (ssize_t len; (len = getline(&line, &cap, f)) > 0; ) {
        const char *text = eval_expression(line);
        if (text == NULL)
            continue;
        check_again(str_trim(str_n(text, (size_t)(line + len - text))));
        n++;
    }
    free(line);
    fclose(f);
    return n;
}

static size_t check_folder(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d)); ) {
        char path[1024];
        if (!str_ends(str_of(entry->d_name), STR(".test")))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        n += check_file(path);
    }
    if (d)
        closedir(d);
    return n;
}

/* PROMQL_CORPUS=FOLDER adds another folder of .test files to the repository's own. */
static void test_corpora(void **state UNUSED)
{
    const char *more = getenv("PROMQL_CORPUS");
    size_t own = check_folder("tests/promql"), others = more ? check_folder(more) : 0;
    printf("# %zu queries, and %zu of %s\n", own, others, more ? more : "no other folder");
    assert_true(more == NULL || others > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line),       cmocka_unit_test(test_many_lines),    cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_of_durations), cmocka_unit_test(test_deep_and_wide), cmocka_unit_test(test_unequal),
        cmocka_unit_test(test_corpora),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
