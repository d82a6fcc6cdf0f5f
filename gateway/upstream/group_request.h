// SPDX-License-Identifier: Apache-2.0
/* One request to one server group: which of its servers are asked, in which order, and when that is enough. What is
 * asked is not known here: each server has an attempt, which belongs to the asker (a selector: server_query.h, a list:
 * label_queries.c) and is started, canceled and ended through this interface.
 *
 *   attempt   IDLE --start--> RUNNING --attempt_answered--> ANSWERED
 *              ^                 | +----attempt_failed----> FAILED
 *              +-----cancel------+
 *
 * An attempt changes its state in attempt_enter only, and each event of the request is handled in one function:
 *
 *                       READ_MERGE                               READ_HEDGE, READ_FIRST
 *   group_request_start ask all that are not paused, or all      ask the next
 *                       if all are
 *   attempt_answered    -                                        cancel those that run: one answer is enough
 *   attempt_failed      nobody has answered and nobody runs:     nobody has answered: ask the next
 *                       ask the next, which was paused
 *   hedge timer         -                                        nobody has answered: ask the next (READ_HEDGE)
 *
 * The next is the first idle one in the order of `attempts` that is not paused, or else the first idle one: a paused
 * server is asked after all when nobody else is left. The timer runs for three times what the server's responses
 * usually take.
 *
 * On the worker's thread, within one request_batch: what is started runs in batch_wait.
 */
#ifndef GATEWAY_UPSTREAM_GROUP_REQUEST_H
#define GATEWAY_UPSTREAM_GROUP_REQUEST_H

#include "gateway/upstream/fetch.h"

enum attempt_state { ATTEMPT_IDLE, ATTEMPT_RUNNING, ATTEMPT_ANSWERED, ATTEMPT_FAILED };
struct group_request;
struct attempt { /* at one server; first member of the asker's struct */
    struct group_request *request;
    struct server *server;
    enum attempt_state state;
    struct err err;              /* FAILED */
};
struct attempt_ops {
    void (*start)(struct attempt *a);  /* sends; sooner or later attempt_answered or attempt_failed follows */
    void (*cancel)(struct attempt *a); /* of one that runs: neither follows. It may be started again */
};
struct group_request {
    struct request_batch *batch;
    const struct group *group;
    enum read_mode mode;
    const struct attempt_ops *ops;
    struct attempt **attempts; size_t n; /* in the order in which servers are preferred */
    struct loop_timer _hedge;
};
/* An attempt for each server of the group, all idle. Items of `size` bytes begin with a struct attempt. */
void group_request_init(struct group_request *r, struct request_batch *batch, const struct group *group,
                        enum read_mode mode, const struct attempt_ops *ops, void *items, size_t size);
void group_request_start(struct group_request *r);
void group_request_stop(struct group_request *r); /* after batch_wait, however it ended: the timer */

/* By the asker. err names group and server; it is copied. */
void attempt_answered(struct attempt *a);
void attempt_failed(struct attempt *a, const struct err *err);

/* ---- after batch_wait ---- */

bool group_request_answered(const struct group_request *r);       /* by at least one server */
void group_request_note_missed(const struct group_request *r);    /* infos about replicas that did not answer */
/* Nobody answered: group and servers in one error, of the class that matters most. */
void group_request_error(const struct group_request *r, struct err *err);

/* May the answer go without this group? The notes say so then, unless it is to be silent. */
bool group_may_fail(const struct group *g, struct notes *notes, const struct err *why);

#endif
