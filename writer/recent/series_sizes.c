// SPDX-License-Identifier: Apache-2.0
/* The size of each series of the recent store, for /api/v1/status/tsdb. */
#include "writer/recent/iterate.h"

struct size_visit { void (*visit)(void *arg, const struct recent_size *size); void *arg; };

static bool series_size_visit(struct recent_series *s, void *arg)
{
    const struct size_visit *v = arg;
    struct recent_size size = {.labels = recent_series_labels(s), .oldest = s->newest, .newest = s->newest};
    if (s->open && s->open->t_min < size.oldest)
        size.oldest = s->open->t_min;
    size.chunks += s->open != NULL;
    for (const struct chunk *c = s->first; c; c = c->next) {
        size.chunks++;
        size.oldest = c->t_min < size.oldest ? c->t_min : size.oldest;
    }
    v->visit(v->arg, &size);
    return true;
}

bool writer_recent_sizes(struct source *recent, struct query_ctx *q,
                         void (*visit)(void *arg, const struct recent_size *size), void *arg, struct err *err)
{
    struct recent *r = recent_from_source(recent);
    struct size_visit v = {visit, arg};
    const struct series_visit each = {.visit = series_size_visit, .arg = &v};
    for (unsigned i = 0; i < r->n_stripes; i++)
        if (!stripe_visit(&r->stripes[i], q, NULL, 0, &each, err))
            return false;
    return true;
}
