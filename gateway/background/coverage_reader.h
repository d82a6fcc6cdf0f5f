// SPDX-License-Identifier: Apache-2.0
/* Reads `up` from the servers of groups in the background, so that the coverage of queried groups is known
 * (gateway/coverage). No query waits for a reading.
 *
 * Once a second each group with several servers is checked for missing data (coverage_next). A reading of all its
 * servers runs on a worker of class background, at most READINGS_AT_ONCE at a time and one per group, and continues
 * until the group has all data. A program whose groups are not queried starts no worker.
 *
 * Called on the main thread, in its loop. A reading has a reference to the upstream that it reads, so that a reload
 * need not wait for it; its results apply to groups of the new configuration, too.
 */
#ifndef GATEWAY_BACKGROUND_COVERAGE_READER_H
#define GATEWAY_BACKGROUND_COVERAGE_READER_H

#include "gateway/query/worker.h"
#include "gateway/upstream/upstream.h"

enum { READINGS_AT_ONCE = 2 };

struct coverage_reader;
struct coverage_reader *coverage_reader_new(struct loop *loop, const char *id); /* id: of the process, see via.h */
/* Reads the groups of u from now on, and keeps a reference. memory: budget of queries, to which readings are
 * charged. */
void coverage_reader_use(struct coverage_reader *r, struct workers *workers, struct budget *memory, struct upstream *u);
void coverage_reader_stop(struct coverage_reader *r); /* ends readings soon, begins none */
void coverage_reader_free(struct coverage_reader *r); /* after workers_stop */

#endif
