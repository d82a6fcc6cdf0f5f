// SPDX-License-Identifier: Apache-2.0
/* A writer with several lanes over real sockets and files.
 *
 * Each FIXTURE_TEST has two receivers and an empty directory; it may start and stop the writer as often as it likes.
 * A step is one sample of each of FIXTURE_SERIES series from each lane; its number is its timestamp.
 */
#ifndef TESTS_UNIT_WRITER_FIXTURE_H
#define TESTS_UNIT_WRITER_FIXTURE_H

#include "receiver.h"
#include "writer/writer.h"

enum { FIXTURE_LANES = 3, FIXTURE_MOST_LANES = 4, FIXTURE_SERIES = 200 };
struct writer_fixture {
    char dir[256];
    struct arena arena;
    struct receiver a, b;
    struct loop *main, *lanes[FIXTURE_MOST_LANES];
    struct thread *threads[FIXTURE_MOST_LANES];
    struct writer *writer;
    bool show_urls;
    int64_t flush_interval; /* ms; 0: 50 */
    uint64_t route;         /* of the batches that are posted */
    unsigned n_lanes;       /* of the writer; 0: FIXTURE_LANES. Each sender's batches go to one of them. */
};
extern struct writer_fixture fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

void fixture_start(void);
void fixture_stop(int64_t grace);
void fixture_wait_until(bool (*reached)(void)); /* turns the main loop; fails after 20 s */

struct destination_conf fixture_destination(const struct receiver *r, const char *name, int64_t shards);
/* Copies the plan, whose arrays must live as long as the test. */
bool fixture_try(const struct writer_plan *topology, struct err *err);
void fixture_apply(const struct destination_conf *d, size_t n);
void fixture_start_with(const struct destination_conf *d, size_t n);    /* fixture_start, then fixture_apply */
void fixture_apply_at_once(const struct destination_conf *d, size_t n); /* does not wait until it is in force */
void fixture_apply_plan(const struct writer_plan *topology);

void fixture_post(int64_t from, int64_t to, bool acks);      /* steps; does not wait */
void fixture_push(int64_t from, int64_t to, bool acks);      /* waits until they are committed or, with acks, safe */
void fixture_await(struct receiver *r, size_t n);            /* until it has n samples, and no more come */
void fixture_check(struct receiver *r, int64_t from, int64_t to); /* every series has each step once, in order */
size_t fixture_samples(int64_t steps);
struct destination_status fixture_status(void);              /* of the first destination */

/* The number of samples, and of series, that the recent store has of all times; *from: since when it is complete. */
size_t fixture_recent(size_t *series, int64_t *from);

void fixture_limit_files(uint64_t bytes); /* a full disk: what would make a file longer fails */
void fixture_unlimit_files(void);

struct queue;
void fixture_pass_second(struct queue *q); /* advances the clock; on return the io thread has made its checks */

#endif
