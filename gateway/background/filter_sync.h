// SPDX-License-Identifier: Apache-2.0
/* Reads the values of the dynamic labels of label_filter from the servers of groups, in the background: neither start
 * nor reload nor a query waits for them. Groups are checked once a second; one is read at a time, on a worker of class
 * background. After a reload they are read again.
 *
 * Called on the main thread, in its loop. A reading has a reference to the upstream that it reads.
 */
#ifndef GATEWAY_BACKGROUND_FILTER_SYNC_H
#define GATEWAY_BACKGROUND_FILTER_SYNC_H

#include "gateway/query/worker.h"
#include "gateway/upstream/upstream.h"

enum { FILTER_MS = 30000, FILTER_MEMORY = 64 << 20 /* of one group's responses */ };

struct filter_sync;
struct filter_sync *filter_sync_new(struct loop *loop, const char *id); /* id: of the process, see via.h */
/* Reads for the groups of u from now on, and keeps a reference. memory: budget of queries, to which readings are
 * charged. */
void filter_sync_use(struct filter_sync *f, struct workers *workers, struct budget *memory, struct upstream *u);
void filter_sync_stop(struct filter_sync *f); /* ends a reading soon, begins none */
void filter_sync_free(struct filter_sync *f); /* after workers_stop */

#endif
