// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/service.h"

static void query_free_tree(void *tree) { promql_free(tree); }

struct expr *query_parse(struct query_ctx *q, struct str text, struct err *err)
{
    struct expr *tree = promql_parse(q->arena, text, &(struct promql_syntax){0}, err);
    return tree && arena_at_end(q->arena, query_free_tree, tree) ? tree : NULL;
}

void query_note_truncated(struct query_ctx *q) { notes_warn(q->notes, "results truncated due to limit"); }

static void query_truncate(struct query_ctx *q, struct promql_result *value, size_t limit)
{
    if (limit == 0 || value->n <= limit)
        return;
    value->n = limit;
    query_note_truncated(q);
}

bool query_run(const struct query_service *s, struct query_ctx *q, const struct query_params *params,
               struct query_result *result, struct err *err)
{
    struct promql_params p = {.start = params->start, .end = params->range ? params->end : params->start,
                              .step = params->range ? params->step : 0, .range = params->range,
                              .lookback = params->lookback ? params->lookback : s->lookback,
                              .subquery_step = s->subquery_step, .max_samples = s->max_samples,
                              .delayed_name_removal = s->delayed_name_removal,
                              .per_step_stats = params->per_step_stats && s->per_step_stats};
    struct expr *tree = params->tree ? params->tree : query_parse(q, params->text, err);
    if (tree == NULL || !promql_eval(tree, params->text, &p, s->source, q, &result->value, err))
        return false;
    query_truncate(q, &result->value, params->limit);
    return true;
}
