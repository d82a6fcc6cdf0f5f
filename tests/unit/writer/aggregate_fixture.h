// SPDX-License-Identifier: Apache-2.0
/* Rules of stream aggregation on one or several lanes, on a clock of the test; results are text. */
#ifndef TESTS_UNIT_AGGREGATE_FIXTURE_H
#define TESTS_UNIT_AGGREGATE_FIXTURE_H

#include "writer/aggregate/aggregate.h"

enum { AGGR_LANES = 4, AGGR_RULES = 4, AGGR_RESULTS = 2000 }; /* at most */
static const int64_t t0 = INT64_C(1700000040) * 1000; /* a multiple of a minute */

struct aggregate_fixture {
    struct arena arena;
    struct aggregate_rule *rules;
    struct aggregate *lanes[AGGR_LANES]; unsigned n_lanes;
    int64_t now; /* Unix ms; each test begins at t0 */
};
extern struct aggregate_fixture aggr;

int aggr_set_up(void **state);
int aggr_tear_down(void **state);
#define AGGR_TEST(name) cmocka_unit_test_setup_teardown(name, aggr_set_up, aggr_tear_down)

/* Loads a file of rules for n_lanes. defaults: the settings of its section, or NULL. */
bool aggr_load(const char *config, const struct aggregate_conf *defaults, struct err *err);
void aggr_start_lanes(unsigned n, const char *config, const struct aggregate_conf *defaults);
void aggr_start(const char *config); /* one lane */
void aggr_free_lanes(void);

/* The bytes are whole frames of a complete saving. */
static inline bool aggr_saved_completely(struct str bytes)
{
    bool last = false;
    while (bytes.n > 0) {
        size_t n = bytes.n < AGGREGATE_FRAME_HEAD ? 0 : aggregate_frame_size(bytes.p);
        if (n == 0 || n > bytes.n - AGGREGATE_FRAME_HEAD ||
            !aggregate_frame_check(str_n(bytes.p, AGGREGATE_FRAME_HEAD + n), &last))
            return false;
        bytes = str_skip(bytes, AGGREGATE_FRAME_HEAD + n);
    }
    return last;
}

void aggr_push_at(unsigned lane, const char *series, double v, int64_t t); /* series: name{a="b",...} */
void aggr_push(const char *series, double v);
void aggr_pass(int64_t ms);       /* advances the clock, second by second */
bool aggr_flush_some(void);       /* on lane 0, 64 records; true: there is more */
void aggr_finish(void);
const char *aggr_results(void);   /* since the last call, sorted, with times after t0 */
void aggr_clear_lines(void);      /* forgets them */

#endif
