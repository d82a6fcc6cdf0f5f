// SPDX-License-Identifier: Apache-2.0
/* What a target responds, for those who look for an error in it: the request of a scrape, on a worker. */
#include "base/http/fetch.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "scraper/scraper_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* References to the target and its job; the mutex is held. */
static struct target *target_by_id(const struct scraper *s, uint64_t id, struct running_job **job)
{
    for (size_t i = 0; i < s->n_pools; i++)
        for (size_t k = 0; k < s->pools[i]->n; k++)
            if (s->pools[i]->targets[k]->id == id) {
                *job = running_job_ref(s->pools[i]->job);
                return target_ref(s->pools[i]->targets[k]);
            }
    return NULL;
}

static bool target_fetch(const struct target *t, const struct running_job *job, int64_t ms, struct buf *out, struct err *err)
{
    const struct scrape_job *conf = job->conf;
    char timeout[64];
    int status = 0;
    int64_t limit = conf->body_size_limit;
    snprintf(timeout, sizeof timeout, "X-Prometheus-Scrape-Timeout-Seconds: %.10g", (double)ms / 1e3);
    const char *headers[] = {job->accept, timeout};
    struct fetch_call call = {.method = "GET", .url = t->url.p, .socket = t->unix_socket, .profile = job->profile,
                              .headers = headers, .n_headers = LEN(headers), .ms = ms,
                              .max = limit > 0 && limit < TARGET_RESPONSE_MAX ? (size_t)limit : TARGET_RESPONSE_MAX};
    if (!fetch_call(&call, &status, out, err))
        return false;
    return status == 200 || err_set(err, ERR_BAD_GATEWAY, "the target returned HTTP status %d", status);
}

bool scraper_fetch_target(struct scraper *s, uint64_t id, int64_t deadline_mono, struct buf *out, struct err *err)
{
    struct running_job *job = NULL;
    mutex_lock(&s->mutex);
    struct target *t = target_by_id(s, id, &job);
    mutex_unlock(&s->mutex);
    if (t == NULL)
        return err_set(err, ERR_NOT_FOUND, "id: no target has the id \"%016" PRIx64 "\"; it may be gone since a reload", id);
    int64_t ms = job->conf->scrape_timeout, left = deadline_mono > 0 ? deadline_mono - clock_mono_ms() : ms;
    bool ok = target_fetch(t, job, left < ms ? (left > 0 ? left : 1) : ms, out, err);
    target_unref(t);
    running_job_unref(job);
    return ok;
}
