// SPDX-License-Identifier: Apache-2.0
#include "gateway/drain.h"

#include "base/os/service_notify.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"

enum { POLL_MS = 20 };

static void drain_on_begin(struct loop_task *t)
{
    struct drain *d = CONTAINER(t, struct drain, begin);
    loop_timer_in(d->services->control, &d->delay, d->services->flags.shutdown_delay);
}

static void drain_on_delay(struct loop_timer *t)
{
    struct drain *d = CONTAINER(t, struct drain, delay);
    d->stop(d->services);
}

static void drain_poll(struct loop_timer *t)
{
    struct drain *d = CONTAINER(t, struct drain, poll);
    struct http_limits *l = &d->services->http;
    unsigned working = atomic_load(&l->working);
    size_t unread = atomic_load(&l->responses.used);
    bool late = clock_mono_ms() >= d->until;
    if ((working > 0 || unread > 0) && !late) {
        loop_timer_in(d->services->control, t, POLL_MS);
        return;
    }
    if (working > 0 || unread > 0)
        log_warn("main", "requests are canceled; raise --http.maxGracefulShutdownDuration to wait longer for them",
                 LOG_U64("requests", working), LOG_U64("unread_bytes", unread));
    d->ended(d->services);
}

void drain_init(struct drain *d, struct services *s, void (*stop)(struct services *s), void (*ended)(struct services *s))
{
    *d = (struct drain){.services = s, .stop = stop, .ended = ended, .begin.run = drain_on_begin,
                        .delay.run = drain_on_delay, .poll.run = drain_poll};
}

int64_t drain_delay(const struct drain *d)
{
    return services_leaving(d->services) ? 0 : d->services->flags.shutdown_delay;
}

void drain_request(struct drain *d)
{
    struct services *s = d->services;
    int64_t delay = s->flags.shutdown_delay;
    if (delay == 0 || !services_ready(s) || atomic_exchange(&s->leaving, true)) {
        atomic_store(&s->leaving, true);
        d->stop(s);
        return;
    }
    log_info("main", "stopping after --http.shutdownDelay; health checks return 503 meanwhile",
             LOG_DURATION("delay", delay));
    service_notify("STOPPING=1");
    loop_post(s->control, &d->begin);
}

void drain_note_stop(struct drain *d) { d->until = clock_mono_ms() + d->services->flags.graceful_shutdown; }
void drain_requests(struct drain *d) { drain_poll(&d->poll); }

void drain_free(struct drain *d)
{
    loop_unpost(d->services->control, &d->begin);
    loop_timer_stop(d->services->control, &d->delay);
    loop_timer_stop(d->services->control, &d->poll);
}
