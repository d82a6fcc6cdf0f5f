/* A lane: one thread with one loop, and what it serves: its HTTP daemon, its sink, its share of targets and shards. It shares
 * nothing; others post to its loop.
 */
#ifndef GATEWAY_LANE_H
#define GATEWAY_LANE_H

#include "base/loop.h"
#include "base/thread.h"
#include "gateway/http.h"

struct lane {
    unsigned id;
    struct loop *loop;
    struct thread *thread;
    struct http_server *http;
    struct sink *sink;
};
struct lane *lane_start(unsigned id, const struct http_conf_server *http); /* main; the thread runs when it returns */
void lane_join(struct lane *l);     /* stops the HTTP daemon and the loop, joins, frees */

#endif
