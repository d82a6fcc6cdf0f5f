// SPDX-License-Identifier: Apache-2.0
/* /api/v1/features, as in Prometheus: what this server can do, by category. Names are sorted; those of Prometheus that
 * sluice has no part of (its TSDB, templates, service discovery) are absent.
 */
#include "gateway/api/api.h"
#include "gateway/services/services.h"
#include "promql/promql.h"

#include <stdlib.h>

struct feature { const char *name; bool on; };

static void features_put(struct json_writer *w, const char *category, const struct feature *items, size_t n)
{
    json_key(w, category);
    json_begin_object(w);
    for (size_t i = 0; i < n; i++)
        json_field_bool(w, items[i].name, items[i].on);
    json_end_object(w);
}

static void features_put_api(struct json_writer *w, const struct services *s)
{
    const struct feature items[] = {
        {"admin", false}, {"exclude_alerts", true}, {"explain", true}, {"label_values_match", true},
        {"lifecycle", s->flags.enable_lifecycle}, {"otlp_write_receiver", false}, {"query_stats", true},
        {"query_warnings", true}, {"remote_read", true}, {"remote_write_receiver", true}, {"time_range_labels", true},
        {"time_range_series", true},
    };
    features_put(w, "api", items, LEN(items));
}

/* ---- the language ---- */

enum { FEATURES_WORDS = 256 };
struct features_words { enum promql_word kind; struct feature items[FEATURES_WORDS]; size_t n; };

static void features_word(void *arg, enum promql_word kind, const char *name)
{
    struct features_words *all = arg;
    if (kind == all->kind && all->n < FEATURES_WORDS)
        all->items[all->n++] = (struct feature){name, true};
}

static int features_compare(const void *a, const void *b)
{
    return strcmp(((const struct feature *)a)->name, ((const struct feature *)b)->name);
}

static void features_put_words(struct json_writer *w, const char *category, enum promql_word kind,
                               const struct feature *more, size_t n_more)
{
    struct features_words all = {.kind = kind};
    for (size_t i = 0; i < n_more; i++)
        all.items[all.n++] = more[i];
    promql_words(features_word, &all);
    qsort(all.items, all.n, sizeof all.items[0], features_compare);
    features_put(w, category, all.items, all.n);
}

void api_features(struct http_request *r)
{
    const struct services *s = r->services;
    const struct feature language[] = {
        {"at_modifier", true}, {"delayed_name_removal", str_list_has(&s->flags.enable_features,
                                                                     "promql-delayed-name-removal")},
        {"duration_expr", true}, {"negative_offset", true},
        {"per_step_stats", str_list_has(&s->flags.enable_features, "promql-per-step-stats")}, {"subqueries", true},
    };
    const struct feature program[] = {{"agent_mode", false}, {"auto_reload_config", s->flags.config_check_interval > 0}};
    struct json_writer w;
    api_begin(r, &w);
    json_begin_object(&w);
    features_put_api(&w, s);
    features_put(&w, "prometheus", program, LEN(program));
    features_put_words(&w, "promql", PROMQL_KEYWORD, language, LEN(language));
    features_put_words(&w, "promql_functions", PROMQL_FUNCTION, NULL, 0);
    features_put_words(&w, "promql_operators", PROMQL_OPERATOR, NULL, 0);
    json_end_object(&w);
    api_end(&w);
}
