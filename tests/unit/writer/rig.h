// SPDX-License-Identifier: Apache-2.0
/* A writer with several lanes over real sockets and files, and what tests do with it.
 *
 * Every test has two receivers and an empty folder (RIG_TEST); it may start and stop the writer as often as it likes.
 * A tick is one sample of each of RIG_SERIES series from each lane, with the tick's number as its time.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "receiver.h"
#include "writer/writer.h"

enum { RIG_LANES = 3, RIG_SERIES = 200 };
struct rig {
    char dir[256];
    struct arena arena;
    struct receiver a, b;
    struct loop *main, *lanes[RIG_LANES];
    struct thread *threads[RIG_LANES];
    struct writer *writer;
    bool show_urls;
};
extern struct rig rig;

int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

void rig_start(void);
void rig_stop(int64_t grace);
void rig_wait_until(bool (*reached)(void)); /* turns the main loop; fails after 20 s */

struct destination_conf rig_destination(const struct receiver *r, const char *name, int64_t shards);
/* Copies the plan, whose arrays must live as long as the test. */
bool rig_try(const struct writer_plan *topology, struct err *err);
void rig_apply(const struct destination_conf *d, size_t n);
void rig_apply_at_once(const struct destination_conf *d, size_t n); /* does not wait until it is in force */
void rig_apply_plan(const struct writer_plan *topology);

void rig_post(int64_t from, int64_t to, bool acks);      /* ticks, batches made on the lanes; does not wait */
void rig_push(int64_t from, int64_t to, bool acks);      /* waits until all is committed, with acks: is safe */
void rig_await(struct receiver *r, size_t n);            /* until it has n samples, and no more come */
void rig_check(struct receiver *r, int64_t from, int64_t to); /* every series has each tick once, in order */
size_t rig_samples(int64_t ticks);
struct destination_status rig_status(void);              /* of the first destination */

void rig_limit_files(uint64_t bytes); /* a full disk: what would make a file longer fails */
void rig_unlimit_files(void);

#endif
