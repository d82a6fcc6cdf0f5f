// SPDX-License-Identifier: Apache-2.0
/* Reads `up` from the servers of groups in the background, so that the coverage of groups that are queried is known
 * (gateway/coverage). No query ever waits for a reading.
 *
 * Once a second each group of several servers is asked what it lacks (coverage_next); a reading of all its servers runs
 * on a worker of the class background, at most READINGS_AT_ONCE at a time and one a group, and goes on until the group
 * needs nothing more. A program whose groups are not queried starts no worker.
 *
 * The calls: in main's loop, on its thread. A reading owns a reference to the upstream that it reads, so that a reload
 * need not wait for it; what it learns belongs to groups that the new configuration has, too.
 */
#ifndef GATEWAY_BACKGROUND_COVERAGE_READER_H
#define GATEWAY_BACKGROUND_COVERAGE_READER_H

#include "gateway/query/worker.h"
#include "gateway/upstream/upstream.h"

enum { READINGS_AT_ONCE = 2, READER_TICK_MS = 1000 };

struct coverage_reader;
struct coverage_reader *coverage_reader_new(struct loop *loop, const char *id); /* id: of the process, see via.h */
/* Reads the groups of u from now on; takes a reference. memory: of queries, which readings are charged to. */
void coverage_reader_use(struct coverage_reader *r, struct workers *workers, struct budget *memory, struct upstream *u);
void coverage_reader_stop(struct coverage_reader *r); /* ends readings soon, begins none */
void coverage_reader_free(struct coverage_reader *r); /* after workers_stop */

#endif
