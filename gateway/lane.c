// SPDX-License-Identifier: Apache-2.0
/* Start and end of lanes. Requests to a running lane are tasks posted to its loop. */
#include "gateway/lane.h"

#include "gateway/ingest/ingest.h"
#include "gateway/ingest/lines/lines.h"
#include "gateway/ingest/write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const double turn_bounds[] = {0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10};
struct stats_histogram lane_turns = {
    .name = "sluice_lane_turn_seconds",
    .help = "CPU time of a turn of a lane's loop, during which nothing else runs on the lane",
    .bounds = turn_bounds, .n_bounds = LEN(turn_bounds)};

struct request { /* runs once on the lane and frees itself */
    struct loop_task task;
    struct lane *lane;
};

static void gateway_lane_post(struct lane *l, void (*lane_run)(struct loop_task *task))
{
    struct request *r = mem_zalloc(sizeof *r);
    r->task.run = lane_run;
    r->lane = l;
    loop_post(l->loop, &r->task);
}

static struct lane *lane_of_task(struct loop_task *task)
{
    struct request *r = CONTAINER(task, struct request, task);
    struct lane *l = r->lane;
    mem_free(r);
    return l;
}

static void on_cancel(struct loop_task *task)
{
    struct lane *l = lane_of_task(task);
    write_buffers_cancel(l->services->write);
    lines_lane_cancel(l->services->lines);
    ingest_lane_cancel(l->services->ingest);
    http_server_cancel(l->http);
}

static void on_join(struct loop_task *task)
{
    struct lane *l = lane_of_task(task);
    http_server_free(l->http);
    loop_stop(l->loop);
}

static void lane_run(void *arg)
{
    struct lane *l = arg;
    loop_observe_turns(l->loop, &lane_turns);
    loop_run(l->loop);
}

static struct lane *lane_give_up(struct lane *l, struct err *err)
{
    err_set(err, ERR_UNAVAILABLE, "cannot start lane %u: %s; raise the limit of %s or use fewer --lanes", l->id,
            strerror(errno), l->loop ? "threads (ulimit -u, pids cgroup)" : "open files (ulimit -n)");
    if (l->loop)
        http_server_free(l->http);
    lane_free(l);
    return NULL;
}

struct lane *lane_start(unsigned id, struct services *s, const struct http_server_conf *http, struct err *err)
{
    struct lane *l = mem_zalloc(sizeof *l);
    char name[32];
    l->id = id;
    l->services = &s->lanes[id];
    if ((l->loop = loop_new()) == NULL)
        return lane_give_up(l, err);
    l->services->loop = l->loop;
    buf_spare_init(&l->services->spare, l->loop);
    l->http = http_server_new(id, l->loop, http);
    snprintf(name, sizeof name, "lane %u", id);
    if ((l->thread = thread_start(name, lane_run, l)) == NULL)
        return lane_give_up(l, err);
    return l;
}

void lane_cancel(struct lane *l) { gateway_lane_post(l, on_cancel); }

void lane_join(struct lane *l)
{
    gateway_lane_post(l, on_join);
    thread_join(l->thread);
}

void lane_free(struct lane *l)
{
    write_buffers_free(l->services->write);
    lines_lane_free(l->services->lines);
    ingest_lane_free(l->services->ingest);
    if (l->loop)
        buf_spare_free(&l->services->spare);
    loop_free(l->loop);
    mem_free(l);
}
