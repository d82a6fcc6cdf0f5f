// SPDX-License-Identifier: Apache-2.0
#include "writer/pipeline/rounding.h"

#include "base/text/decimal.h"

struct rounding_stage { struct stage stage; int figures, digits; };
struct rounding_lane { struct stage_lane lane; struct sample *samples; size_t cap; };

static double rounded_value(const struct rounding_stage *r, double v)
{
    return isnan(v) ? v : decimal_round_digits(decimal_round_figures(v, r->figures), r->digits);
}

static enum stage_result rounding_apply(struct stage_lane *lane, struct pipeline_series *s)
{
    struct rounding_lane *l = (struct rounding_lane *)lane;
    const struct rounding_stage *r = (const struct rounding_stage *)lane->stage;
    mem_grow(&l->samples, &l->cap, s->in.n_samples, sizeof *l->samples);
    for (size_t i = 0; i < s->in.n_samples; i++)
        l->samples[i] = (struct sample){s->in.samples[i].t, rounded_value(r, s->in.samples[i].v)};
    s->in.samples = l->samples;
    return STAGE_PASSED;
}

/* A large push must not keep its memory forever. */
static void rounding_commit(struct stage_lane *lane)
{
    enum { ROUNDING_KEPT = 4096 };
    struct rounding_lane *l = (struct rounding_lane *)lane;
    if (l->cap > ROUNDING_KEPT) {
        mem_free(l->samples);
        l->samples = NULL;
        l->cap = 0;
    }
}

static void rounding_lane_init(struct stage_lane *lane UNUSED) {}
static void rounding_lane_free(struct stage_lane *lane) { mem_free(((struct rounding_lane *)lane)->samples); }
static void rounding_free(struct stage *s) { mem_free(s); }

static const struct stage_ops rounding_ops = {.lane_size = sizeof(struct rounding_lane), .free = rounding_free,
                                              .lane_init = rounding_lane_init, .lane_free = rounding_lane_free,
                                              .apply = rounding_apply, .commit = rounding_commit,
                                              .abort = rounding_commit};

struct stage *rounding_stage_new(int figures, int digits)
{
    const int conf[] = {figures, digits};
    struct rounding_stage *r = mem_zalloc(sizeof *r);
    *r = (struct rounding_stage){.figures = figures, .digits = digits};
    r->stage = (struct stage){&rounding_ops, STAGE_ROUNDING,
                              stage_identity(STAGE_ROUNDING, hash_bytes(conf, sizeof conf)), 0};
    return &r->stage;
}
