// SPDX-License-Identifier: Apache-2.0
/* /api/v1/rules, /api/v1/alerts and /api/v1/alertmanagers: those of the servers of all groups (gateway/reports), with
 * the filters and pages of Prometheus.
 */
#include "gateway/api/query.h"

#include "base/hash.h"
#include "base/text/num.h"
#include "gateway/api/call.h"
#include "gateway/query/params.h"
#include "gateway/reports/rules.h"

struct rules_filter {
    const struct form *form;
    bool alerting, recording;      /* which types */
    bool alerts;                   /* including the active alerts of rules */
    struct selector_params match;
    int64_t limit;                 /* groups; 0 = no limit */
    struct str token;              /* of the first group */
};

/* ---- parameters ---- */

static bool rules_read_type(const struct form *f, struct rules_filter *out, struct err *err)
{
    struct str type = form_get(f, "type");
    out->alerting = type.n == 0 || str_ieq(type, STR("alert"));
    out->recording = type.n == 0 || str_ieq(type, STR("record"));
    return out->alerting || out->recording ||
           err_set(err, ERR_BAD_DATA, "invalid parameter \"type\": not supported value \"%.*s\"", STR_ARG(type));
}

/* The words of Go's strconv.ParseBool. */
static bool rules_read_exclude(const struct form *f, struct rules_filter *out, struct err *err)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"},
                      *const no[] = {"", "0", "f", "F", "FALSE", "false", "False"};
    struct str s = form_get(f, "exclude_alerts");
    for (size_t i = 0; i < LEN(yes); i++)
        if (str_is(s, yes[i]))
            return true;
    out->alerts = true;
    for (size_t i = 0; i < LEN(no); i++)
        if (str_is(s, no[i]))
            return true;
    return err_set(err, ERR_BAD_DATA, "invalid parameter \"exclude_alerts\": error converting exclude_alerts: "
                   "strconv.ParseBool: parsing \"%.*s\": invalid syntax", STR_ARG(s));
}

static bool rules_read_page(const struct form *f, struct rules_filter *out, struct err *err)
{
    struct str limit = form_get(f, "group_limit");
    out->token = form_get(f, "group_next_token");
    if (out->token.n > 0 && limit.n == 0)
        return err_set(err, ERR_BAD_DATA, "invalid parameter \"group_next_token\": group_limit needs to be present in "
                       "order to paginate over the groups");
    if (limit.n > 0 && !num_parse_i64(limit, &out->limit))
        return err_set(err, ERR_BAD_DATA, "invalid parameter \"group_limit\": group_limit needs to be a valid number: "
                       "strconv.ParseInt: parsing \"%.*s\": invalid syntax", STR_ARG(limit));
    if (limit.n > 0 && out->limit <= 0)
        return err_set(err, ERR_BAD_DATA,
                       "invalid parameter \"group_limit\": group_limit needs to be greater than 0");
    return true;
}

static bool rules_read_params(struct api_call *c, struct rules_filter *out)
{
    const struct form *f = &c->r->form;
    *out = (struct rules_filter){.form = f};
    return param_selectors(c->q->arena, f, &out->match, &c->err) && param_selectors_narrow(&out->match, &c->err) &&
           rules_read_type(f, out, &c->err) && rules_read_exclude(f, out, &c->err) &&
           rules_read_page(f, out, &c->err);
}

/* ---- rules ---- */

static bool rules_listed(const struct form *f, const char *name, struct str value)
{
    size_t n = form_count(f, name);
    for (size_t i = 0; i < n; i++)
        if (str_eq(form_nth(f, name, i), value))
            return true;
    return n == 0;
}

static bool rules_wanted(const struct rules_filter *f, const struct merged_rule *r)
{
    return (r->alerting ? f->alerting : f->recording) && rules_listed(f->form, "rule_name[]", r->name) &&
           rule_matches(r, f->match.sets, f->match.sizes, f->match.n);
}

/* Opaque to clients: identifies the first group of the next page. */
static struct str rules_token(struct arena *a, const struct merged_rule_group *g)
{
    const struct group *of = g->servers.items[0]->group;
    struct str key = report_key(a, NULL, (struct str[]){of->name, report_labels_text(of->labels), g->file, g->name}, 4);
    return arena_printf(a, "%016llx", (unsigned long long)hash_bytes(key.p, key.n));
}

static bool rules_write_list(struct api_call *c, const struct rules_filter *f, const struct merged_rule_group *g)
{
    json_begin_array(&c->json);
    for (size_t i = 0; i < g->n; i++)
        if (rules_wanted(f, &g->rules[i]) && !rule_write(&c->json, &g->rules[i], f->alerts, &c->work, &c->err))
            return false;
    json_end_array(&c->json);
    return true;
}

static bool rules_write_group(struct api_call *c, const struct rules_filter *f, const struct merged_rule_group *g)
{
    struct json_writer *w = &c->json;
    json_begin_object(w);
    for (const struct json_value *m = json_value_items(g->base); m; m = m->next) {
        if (report_servers_key(m->key))
            continue;
        json_key_str(w, m->key);
        if (!str_is(m->key, "rules"))
            json_value_write(w, m);
        else if (!rules_write_list(c, f, g))
            return false;
    }
    report_servers_write(w, &g->servers);
    json_end_object(w);
    return true;
}

static bool rules_any(const struct rules_filter *f, const struct merged_rule_group *g)
{
    bool some = rules_listed(f->form, "rule_group[]", g->name) && rules_listed(f->form, "file[]", g->file);
    for (size_t i = 0; some && i < g->n; i++)
        if (rules_wanted(f, &g->rules[i]))
            return true;
    return false;
}

static bool rules_write(struct api_call *c, const struct rules_filter *f, const struct rule_groups *all)
{
    struct str next = STR_NONE;
    int64_t written = 0;
    bool found = f->token.n == 0;
    json_begin_object(&c->json);
    json_key(&c->json, "groups");
    json_begin_array(&c->json);
    for (size_t i = 0; i < all->n && next.n == 0; i++) {
        const struct merged_rule_group *g = &all->items[i];
        if (!api_charge(c, QUERY_CHARGE_LABELS * (g->n + 1)))
            return false;
        found = found || str_eq(f->token, rules_token(c->q->arena, g));
        if (!found || !rules_any(f, g))
            continue;
        if (f->limit > 0 && written++ == f->limit)
            next = rules_token(c->q->arena, g);
        else if (!rules_write_group(c, f, g))
            return false;
    }
    json_end_array(&c->json);
    if (next.n > 0)
        json_field_str(&c->json, "groupNextToken", next);
    json_end_object(&c->json);
    return found || err_set(&c->err, ERR_BAD_DATA, "invalid parameter \"group_next_token\": invalid group_next_token "
                            "'%.*s'. were rule groups changed?", STR_ARG(f->token));
}

static bool rules_form(void *arg, const struct group *g UNUSED, struct buf *form)
{
    const struct rules_filter *f = arg;
    if (!f->alerting || !f->recording)
        form_add(form, "type", f->alerting ? STR("alert") : STR("record"));
    if (!f->alerts)
        form_add(form, "exclude_alerts", STR("true"));
    return true;
}

static bool api_rules_list(struct api_call *c)
{
    struct rules_filter f;
    struct report_set reports;
    struct rule_groups all;
    if (!rules_read_params(c, &f))
        return false;
    struct report_question what = {.path = "/api/v1/rules", .form = rules_form, .arg = &f};
    if (!reports_fetch(c->source, c->q, &what, &reports, &c->err) ||
        !rule_groups_merge(&reports, &all, &c->work, &c->err))
        return false;
    api_reply_begin(c);
    bool ok = rules_write(c, &f, &all);
    return api_reply_end(c) && ok;
}

/* ---- alerts ---- */

static bool api_alerts_list(struct api_call *c)
{
    struct report_set reports;
    struct alert_set all = {0};
    if (!reports_fetch(c->source, c->q, &(struct report_question){.path = "/api/v1/alerts"}, &reports, &c->err))
        return false;
    for (size_t i = 0; i < reports.n; i++)
        if (!alert_set_add(&all, &reports, &reports.items[i], json_value_get(reports.items[i].data, "alerts"), &c->work,
                           &c->err))
            return false;
    api_reply_begin(c);
    json_begin_object(&c->json);
    json_key(&c->json, "alerts");
    bool ok = alert_set_write(&c->json, &all, &c->work, &c->err);
    json_end_object(&c->json);
    return api_reply_end(c) && ok;
}

/* ---- Alertmanagers ---- */

static void alertmanagers_find(const struct report_set *reports, const char *list, struct map *urls)
{
    for (size_t i = 0; i < reports->n; i++)
        for (const struct json_value *v = json_value_items(json_value_get(reports->items[i].data, list)); v; v = v->next)
            map_set(urls, json_value_text(json_value_get(v, "url")), NULL);
}

/* Sorted; without those of another list. */
static bool alertmanagers_write(struct api_call *c, const char *name, const struct map *urls, const struct map *except)
{
    struct str *items;
    if (!api_sorted_keys(c, urls, &items))
        return false;
    json_key(&c->json, name);
    json_begin_array(&c->json);
    for (size_t i = 0; i < urls->n; i++) {
        if (items[i].n == 0 || (except && map_find(except, items[i])))
            continue;
        json_begin_object(&c->json);
        json_field_str(&c->json, "url", items[i]);
        json_end_object(&c->json);
    }
    json_end_array(&c->json);
    return true;
}

/* One that a server drops and another one uses is active. */
static bool api_alertmanagers_list(struct api_call *c)
{
    struct report_set reports;
    struct map *active = report_map(c->q->arena), *dropped = report_map(c->q->arena);
    if (!reports_fetch(c->source, c->q, &(struct report_question){.path = "/api/v1/alertmanagers"}, &reports, &c->err))
        return false;
    alertmanagers_find(&reports, "activeAlertmanagers", active);
    alertmanagers_find(&reports, "droppedAlertmanagers", dropped);
    json_begin_object(&c->json);
    if (!alertmanagers_write(c, "activeAlertmanagers", active, NULL) ||
        !alertmanagers_write(c, "droppedAlertmanagers", dropped, active))
        return false;
    json_end_object(&c->json);
    return true;
}

void api_rules(struct http_request *r) { api_respond(r, api_rules_list); }
void api_alerts(struct http_request *r) { api_respond(r, api_alerts_list); }
void api_alertmanagers(struct http_request *r) { api_respond(r, api_alertmanagers_list); }
