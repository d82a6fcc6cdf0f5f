// SPDX-License-Identifier: Apache-2.0
/* /api/v1/targets/relabel_steps, as in Prometheus: what each of a job's relabel_configs does to the labels of a request,
 * for example to the discoveredLabels of a target. */
#include "gateway/api/query.h"

#include "base/json/json_value.h"
#include "gateway/api/call.h"
#include "gateway/pages/relabel_steps.h"
#include "gateway/query/render.h"
#include "gateway/services/services.h"

/* {"name": "value", ...} */
static bool relabel_read_labels(struct api_call *c, struct labels *out)
{
    struct str text = form_get(&c->r->form, "labels");
    struct json_value_reader reader;
    struct labels_builder b = {.scratch = &c->r->arena};
    if (text.n == 0)
        return err_set(&c->err, ERR_BAD_DATA, "no labels parameter provided");
    json_value_reader_init(&reader, &c->r->arena);
    const struct json_value *v = json_value_reader_feed(&reader, text, &c->err) ? json_value_reader_finish(&reader, &c->err) : NULL;
    bool ok = v != NULL;
    json_value_reader_free(&reader);
    if (ok && v->kind != JSON_OBJECT)
        ok = err_set(&c->err, ERR_BAD_DATA, "expected an object of names and values");
    builder_start(&b, (struct labels){0});
    for (const struct json_value *pair = ok ? json_value_items(v) : NULL; pair && ok; pair = pair->next) {
        ok = pair->kind == JSON_STRING || err_set(&c->err, ERR_BAD_DATA, "label \"%.*s\": expected a string",
                                                  STR_ARG(str_first(pair->key, 100)));
        ok = ok && (b.n < LABELS_MAX_COUNT || err_set(&c->err, ERR_TOO_LARGE, "more than %d labels", LABELS_MAX_COUNT));
        builder_set(&b, pair->key, pair->text);
    }
    *out = builder_labels(&b, &c->r->arena);
    builder_free(&b);
    return ok || err_wrap(&c->err, "error parsing labels");
}

/* As Prometheus writes its configuration as JSON; vmagent's `if` follows. */
static void relabel_put_rule(struct json_writer *w, const struct relabel_rule *rule)
{
    json_begin_object(w);
    if (rule->source_labels.n > 0) {
        json_key(w, "source_labels");
        json_begin_array(w);
        for (size_t i = 0; i < rule->source_labels.n; i++)
            json_str(w, rule->source_labels.items[i]);
        json_end_array(w);
    }
    json_field_str(w, "separator", rule->separator);
    json_field_str(w, "regex", rule->regex_text);
    if (rule->modulus > 0)
        json_field_i64(w, "modulus", rule->modulus);
    if (rule->target_label.n > 0)
        json_field_str(w, "target_label", rule->target_label);
    json_field_str(w, "replacement", rule->replacement);
    json_field_z(w, "action", relabel_action_name(rule->action));
    for (size_t i = 0; i < rule->if_texts.n; i++)
        json_field_str(w, "if", rule->if_texts.items[i]);
    json_end_object(w);
}

static bool relabel_put_steps(struct api_call *c, struct relabel_rules rules, struct labels from)
{
    struct relabel_steps steps = relabel_steps(&c->r->arena, rules, from);
    struct json_writer *w = &c->json;
    if (steps.too_large)
        return err_set(&c->err, ERR_TOO_LARGE, "rule %zu makes labels of more than %d KiB", steps.n, LABELS_MAX_BYTES >> 10);
    json_begin_object(w);
    json_key(w, "steps");
    json_begin_array(w);
    for (size_t i = 0; i < rules.n; i++) {
        bool kept = i < steps.n && steps.items[i].kept;
        if (!api_charge(c, QUERY_CHARGE_WRITE))
            return false;
        json_begin_object(w);
        json_key(w, "rule");
        relabel_put_rule(w, &rules.rules[i]);
        json_key(w, "output");
        render_labels(w, kept ? steps.items[i].out : (struct labels){0});
        json_key(w, "keep");
        json_bool(w, kept);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
    return true;
}

static bool api_targets_relabel_list(struct api_call *c)
{
    struct str pool = form_get(&c->r->form, "scrapePool");
    struct labels from;
    if (pool.n == 0)
        return err_set(&c->err, ERR_BAD_DATA, "no scrapePool parameter provided");
    if (!relabel_read_labels(c, &from))
        return false;
    struct config *config = services_config(c->r->services);
    const struct scrape_job *job = NULL;
    for (size_t i = 0; i < config->n_jobs && job == NULL; i++)
        job = str_eq(config->jobs[i].job_name, pool) ? &config->jobs[i] : NULL;
    bool ok = job ? relabel_put_steps(c, relabel_rules(job->relabel_configs), from)
                  : err_set(&c->err, ERR_BAD_DATA, "error retrieving scrape config: scrape pool \"%.*s\" not found", STR_ARG(pool));
    config_unref(config);
    return ok;
}

void api_targets_relabel_steps(struct http_request *r) { api_respond(r, api_targets_relabel_list); }
