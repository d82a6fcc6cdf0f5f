// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "aggregate_fixture.h"
#include "base/conf/yaml.h"
#include "base/hash.h"

#include <stdlib.h>

struct aggregate_fixture aggr;
static char *lines[AGGR_RESULTS];
static size_t n_lines;
static struct buf all_lines;

/* --- start and end ------------------------------------------------------------------------------------------------ */

bool aggr_load(const char *config, const struct aggregate_conf *defaults, struct err *err)
{
    struct conf_context c = {.arena = &aggr.arena, .file = "aggr.yml", .vmagent_relabeling = true};
    struct yaml *y = yaml_parse(&aggr.arena, str_of(config), "aggr.yml", err);
    const struct aggregate_rule *pointers[AGGR_RULES];
    struct aggregate_conf conf = {0};
    if (defaults)
        conf = *defaults;
    if (y == NULL || !aggregate_load_file(&c, y, &conf, err))
        return false;
    aggr.rules = conf.rules.items;
    assert_true(conf.rules.n <= AGGR_RULES);
    for (size_t i = 0; i < conf.rules.n; i++)
        pointers[i] = &aggr.rules[i];
    for (unsigned i = 0; i < aggr.n_lanes; i++)
        aggr.lanes[i] = aggregate_new(pointers, NULL, conf.rules.n, i, aggr.n_lanes, aggr.now);
    return true;
}

void aggr_start_lanes(unsigned n, const char *config, const struct aggregate_conf *defaults)
{
    struct err err;
    aggr.n_lanes = n;
    if (!aggr_load(config, defaults, &err))
        fail_msg("%s", err.text);
}
void aggr_start(const char *config) { aggr_start_lanes(1, config, NULL); }

void aggr_free_lanes(void)
{
    while (aggr.n_lanes > 0)
        aggregate_free(aggr.lanes[--aggr.n_lanes]);
}

int aggr_set_up(void **state UNUSED)
{
    arena_init(&aggr.arena, 0);
    aggr.now = t0;
    return 0;
}

int aggr_tear_down(void **state UNUSED)
{
    aggr_free_lanes();
    aggr_clear_lines();
    buf_free(&all_lines);
    arena_free(&aggr.arena);
    return 0;
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

static struct labels parse_series(const char *text)
{
    struct label items[16];
    size_t n = 0;
    struct str s = str_of(text), name;
    str_cut(&s, '{', &name);
    if (name.n > 0)
        items[n++] = (struct label){STR(METRIC_NAME), name};
    if (s.p == NULL)
        return labels_from(&aggr.arena, items, n);
    s.n--;
    for (struct str pair, key; str_cut(&s, ',', &pair);) {
        str_cut(&pair, '=', &key);
        items[n++] = (struct label){key, str_n(pair.p + 1, pair.n - 2)};
    }
    return labels_from(&aggr.arena, items, n);
}

void aggr_push_at(unsigned lane, const char *series, double v, int64_t t)
{
    struct sample s = {t, v};
    struct labels l = parse_series(series);
    uint64_t hash = hash_keyed(l.p, l.n);
    struct aggregate_match m = aggregate_find(aggr.lanes[lane], l, &hash);
    assert_int_not_equal(m.route, AGGREGATE_NO_ROUTE);
    aggregate_add_samples(aggr.lanes[lane], m.route, &s, 1, aggr.now);
    for (unsigned i = 0; i < aggr.n_lanes; i++)
        if (m.others >> i & 1)
            aggregate_push_sent(aggr.lanes[i], l, hash, &s, 1, aggr.now, false);
}
void aggr_push(const char *series, double v) { aggr_push_at(0, series, v, aggr.now); }

/* --- results ------------------------------------------------------------------------------------------------------ */

static void keep_line(void *arg UNUSED, struct labels labels, const struct sample *s)
{
    struct buf line = {0};
    struct labels checked;
    assert_true(labels_check(labels.p, labels.n, &checked));
    labels_print(&line, labels);
    buf_printf(&line, " %.10g %lld", s->v, (long long)(s->t - t0));
    assert_true(n_lines < AGGR_RESULTS);
    lines[n_lines++] = strdup(buf_z(&line));
    buf_free(&line);
}
static const struct aggregate_results to_lines = {keep_line, NULL};

static int line_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

const char *aggr_results(void)
{
    qsort(lines, n_lines, sizeof *lines, line_order);
    buf_clear(&all_lines);
    for (size_t i = 0; i < n_lines; i++)
        buf_printf(&all_lines, "%s\n", lines[i]);
    aggr_clear_lines();
    return buf_z(&all_lines);
}

void aggr_clear_lines(void)
{
    while (n_lines > 0)
        free(lines[--n_lines]);
}

void aggr_pass(int64_t ms)
{
    int64_t *now = &aggr.now;
    for (int64_t until = *now + ms; *now < until;) {
        *now += until - *now < 1000 ? until - *now : 1000;
        for (unsigned i = 0; i < aggr.n_lanes; i++)
            while (aggregate_due(aggr.lanes[i]) <= *now &&
                   aggregate_flush(aggr.lanes[i], *now, INT64_MAX, &to_lines))
                ;
    }
}

bool aggr_flush_some(void) { return aggregate_flush(aggr.lanes[0], aggr.now, 0, &to_lines); }

void aggr_finish(void)
{
    for (unsigned i = 0; i < aggr.n_lanes; i++)
        while (aggregate_finish(aggr.lanes[i], aggr.now, 0, &to_lines)) /* 64 records a call */
            ;
}
