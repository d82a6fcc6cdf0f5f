// SPDX-License-Identifier: Apache-2.0
/* A thread beside the lanes for short answers that grow with what the program has: /metrics counts targets, and takes
 * the locks of every module. It is started by the first such request, runs one after the other at a lane's priority and
 * never waits for a peer, so that queries, however many wait for a worker, do not delay it.
 */
#ifndef GATEWAY_HTTP_HTTP_ASIDE_H
#define GATEWAY_HTTP_HTTP_ASIDE_H

#include "gateway/http/http.h"

void http_aside_start(void); /* main, before the lanes */
/* On a lane: `run` is called on the thread, then `done` on the request's lane. False when there is no thread (the system
 * has none left, or the program ends): the lane does it by itself. */
bool http_aside_submit(struct http_request *r, http_handler *run, void (*done)(struct http_request *r)) MUST_USE;
void http_aside_stop(void);  /* main, while the lanes still run: what was submitted is done first */
void http_aside_free(void);  /* when no lane runs any more */

#endif
