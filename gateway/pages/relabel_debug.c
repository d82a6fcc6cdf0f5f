// SPDX-License-Identifier: Apache-2.0
/* /metric-relabel-debug and /target-relabel-debug: what each of some relabel rules does to a series or target. The rules and
 * labels are those of the request, or, with the `id` of a target, its labels and the rules of its job. As in vmagent the
 * labels of a target lose those that begin with __ at the end, and get `instance`. With format=json the response is the one
 * that vmagent gives, without HTML in the labels.
 */
#include "base/json/json_write.h"
#include "gateway/config/dialect.h"
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"
#include "gateway/pages/relabel_steps.h"
#include "gateway/query/params.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

#include <stdio.h>

enum { DEBUG_RULES_BYTES = 64 << 10, DEBUG_RULES = 200, DEBUG_RESPONSE_MAX = 64 << 20 };

struct relabel_debug {
    struct http_request *r;
    bool target;                       /* of a target, not of a series */
    struct str labels_text, rules_text; /* as they are shown in the form */
    struct labels labels;
    struct relabel_rules rules;
    struct relabel_steps steps;
    struct labels result;              /* after what follows the rules */
};

/* ---- input ---- */

/* {a="b"}, name{a="b"}, or a="b", c="d". */
static bool debug_parse_labels(struct relabel_debug *d, struct err *err)
{
    struct arena *a = &d->r->arena;
    struct str text = str_trim(d->labels_text);
    const struct matcher *set = NULL;
    size_t n = 0;
    struct labels_builder b = {.scratch = a};
    if (str_find(text, '{') == text.n && str_find(text, '=') < text.n)
        text = arena_printf(a, "{%.*s}", STR_ARG(text));
    if (text.n > 0 && !str_is(text, "{}") && !param_selector(a, text, &set, &n, err))
        return err_wrap(err, "metric");
    if (n > LABELS_MAX_COUNT)
        return err_set(err, ERR_TOO_LARGE, "metric: more than %d labels", LABELS_MAX_COUNT);
    builder_start(&b, (struct labels){0});
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = set[i].type == MATCH_EQ || err_set(err, ERR_BAD_DATA, "metric: only label=\"value\" is allowed");
        builder_set(&b, set[i].name, set[i].value);
    }
    d->labels = builder_labels(&b, a);
    builder_free(&b);
    return ok;
}

static bool debug_parse_rules(struct relabel_debug *d, struct err *err)
{
    struct arena *a = &d->r->arena;
    struct conf_context context = {
        .arena = a, .file = "relabel_configs",
        .vmagent_relabeling = dialects[d->r->services->flags.dialect].vmagent_relabeling};
    if (d->rules_text.n > DEBUG_RULES_BYTES)
        return err_set(err, ERR_TOO_LARGE, "relabel_configs: more than %d KiB", DEBUG_RULES_BYTES >> 10);
    const struct yaml *list = yaml_parse(a, arena_str(a, d->rules_text), context.file, err);
    if (list == NULL)
        return false;
    if (list->kind != YAML_LIST && list->kind != YAML_NULL)
        return conf_err(list, err, "expected a list of rules");
    if (list->n > DEBUG_RULES)
        return err_set(err, ERR_TOO_LARGE, "relabel_configs: more than %d rules", DEBUG_RULES);
    struct relabel_rule *rules = ARENA_ARRAY(a, struct relabel_rule, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        if (!conf_load(&context, &relabel_section, &list->items[i], &rules[i], err))
            return false;
    d->rules = (struct relabel_rules){rules, list->n};
    return true;
}

/* ---- of a target ---- */

static struct str debug_rules_text(struct relabel_debug *d, struct conf_items items)
{
    struct buf text = {0}, rule = {0};
    for (size_t i = 0; i < items.n; i++) {
        buf_clear(&rule);
        conf_write(&d->r->arena, &rule, &relabel_section, (const struct relabel_rule *)items.items + i, 2);
        struct str body = str_trim(buf_str(&rule));
        buf_printf(&text, "- %.*s\n", STR_ARG(body));
    }
    struct str copy = arena_str(&d->r->arena, buf_str(&text));
    buf_free(&text);
    buf_free(&rule);
    return copy;
}

static struct str debug_labels_text(struct relabel_debug *d, struct labels l)
{
    struct buf text = {0};
    labels_print(&text, l);
    struct str copy = arena_str(&d->r->arena, buf_str(&text));
    buf_free(&text);
    return copy;
}

static bool debug_load_target(struct relabel_debug *d, struct str id, struct err *err)
{
    struct scraper_targets all;
    const struct target_status *t = NULL;
    int64_t timeout = d->r->services->flags.query_timeout;
    char wanted[24];
    if (!services_targets(d->r, timeout > 0 ? d->r->started_mono + timeout : 0, &all, err))
        return false;
    for (size_t i = 0; i < all.n_active && t == NULL; i++) {
        snprintf(wanted, sizeof wanted, "%016llx", (unsigned long long)all.active[i].id);
        t = str_is(id, wanted) ? &all.active[i] : NULL;
    }
    if (t == NULL)
        return err_set(err, ERR_NOT_FOUND, "id: no target has the id \"%.*s\"; it may be gone since a reload", STR_ARG(id));
    struct config *c = services_config(d->r->services);
    for (size_t i = 0; i < c->n_jobs && d->rules_text.n == 0; i++)
        if (str_eq(c->jobs[i].job_name, t->job))
            d->rules_text = debug_rules_text(d, d->target ? c->jobs[i].relabel_configs : c->jobs[i].metric_relabel_configs);
    config_unref(c);
    if (d->labels_text.n == 0)
        d->labels_text = debug_labels_text(d, d->target ? t->discovered : t->labels);
    return true;
}

/* ---- the end of relabeling ---- */

static bool debug_finish(struct relabel_debug *d, struct err *err)
{
    struct arena *a = &d->r->arena;
    struct labels_builder b = {.scratch = a};
    d->steps = relabel_steps(a, d->rules, d->labels);
    if (d->steps.too_large)
        return err_set(err, ERR_TOO_LARGE, "relabel_configs: rule %zu makes labels of more than %d KiB", d->steps.n,
                       LABELS_MAX_BYTES >> 10);
    builder_start(&b, d->steps.result);
    if (d->target && builder_get(&b, STR("instance")).n == 0)
        builder_set(&b, STR("instance"), builder_get(&b, STR("__address__")));
    if (d->target || dialects[d->r->services->flags.dialect].page.drops_reserved)
        relabel_drop_reserved(&b);
    if (d->target)
        builder_del(&b, STR(METRIC_NAME));
    d->result = d->steps.kept ? builder_labels(&b, a) : (struct labels){0};
    builder_free(&b);
    return true;
}

static bool debug_run(struct relabel_debug *d, struct err *err)
{
    struct str id = form_get(&d->r->form, "id");
    if ((id.n > 0 && !debug_load_target(d, id, err)) || !debug_parse_labels(d, err) || !debug_parse_rules(d, err))
        return false;
    return debug_finish(d, err);
}

/* ---- output ---- */

static void debug_print(struct relabel_debug *d)
{
    struct buf *out = &d->r->out;
    buf_add_z(out, "labels: ");
    labels_print(out, d->labels);
    for (size_t i = 0; i < d->steps.n; i++) {
        const struct relabel_step *s = &d->steps.items[i];
        buf_printf(out, "\n\nrule %zu:\n%.*s\n%s", i + 1, STR_ARG(s->rule), s->kept ? "labels: " : "dropped");
        if (s->kept)
            labels_print(out, s->out);
    }
    buf_add_z(out, d->steps.kept ? "\n\nresult: " : "\n\nresult: dropped");
    if (d->steps.kept)
        labels_print(out, d->result);
    buf_add_char(out, '\n');
}

static void debug_json_labels(struct relabel_debug *d, struct json_writer *w, const char *key, struct labels l)
{
    json_field_str(w, key, debug_labels_text(d, l));
}

static void debug_print_json(struct relabel_debug *d, const struct err *err)
{
    struct json_writer w = {.out = &d->r->out};
    d->r->content_type = "application/json";
    json_begin_object(&w);
    json_field_z(&w, "status", err ? "error" : "success");
    if (err)
        json_field_z(&w, "error", err->text);
    if (!err) {
        json_key(&w, "steps");
        json_begin_array(&w);
        for (size_t i = 0; i < d->steps.n; i++) {
            json_begin_object(&w);
            debug_json_labels(d, &w, "inLabels", d->steps.items[i].in);
            debug_json_labels(d, &w, "outLabels", d->steps.items[i].out);
            json_field_str(&w, "rule", d->steps.items[i].rule);
            json_end_object(&w);
        }
        json_end_array(&w);
        debug_json_labels(d, &w, "originalLabels", d->labels);
        debug_json_labels(d, &w, "resultingLabels", d->result);
    }
    json_end_object(&w);
}

/* Labels that the other side lacks or has with another value stand out. */
static void debug_html_labels(struct buf *out, struct labels l, struct labels other, const char *class)
{
    struct labels_iter it = labels_iter(l);
    struct buf text = {0};
    const char *comma = "";
    buf_add_z(out, "<code>{");
    for (struct label x; labels_next(&it, &x); comma = ", ") {
        struct str before = labels_get(other, x.name);
        bool changed = before.p == NULL || !str_eq(before, x.value);
        buf_clear(&text);
        labels_print_name(&text, x.name);
        buf_add_z(&text, "=\"");
        json_escape(&text, x.value);
        buf_add_char(&text, '"');
        buf_printf(out, "%s%s%s%s", comma, changed ? "<b class=" : "", changed ? class : "", changed ? ">" : "");
        html_text(out, buf_str(&text));
        buf_add_z(out, changed ? "</b>" : "");
    }
    buf_add_z(out, "}</code>");
    buf_free(&text);
}

static void debug_html_form(struct relabel_debug *d)
{
    struct buf *out = &d->r->out;
    buf_add_z(out, "<form method=post action='?'><p><label>Relabel rules (YAML)<br><textarea name=relabel_configs rows=14 cols=100>\n");
    html_text(out, d->rules_text);
    buf_printf(out, "</textarea></label><p><label>%s<br><textarea name=metric rows=3 cols=100>\n",
               d->target ? "Labels of a target" : "Series");
    html_text(out, d->labels_text);
    buf_add_z(out, "</textarea></label><p><button>Relabel</button></form>");
}

static void debug_html_steps(struct relabel_debug *d)
{
    struct buf *out = &d->r->out;
    buf_add_z(out, "<table><tr><th>Step<th>Rule<th>Labels before<th>Labels after");
    for (size_t i = 0; i < d->steps.n; i++) {
        const struct relabel_step *s = &d->steps.items[i];
        buf_printf(out, "<tr><td class=n data-k=Step>%zu<td data-k=Rule><pre>", i + 1);
        html_text(out, s->rule);
        buf_add_z(out, "</pre><td class=l data-k=Before>");
        debug_html_labels(out, s->in, s->out, "down");
        buf_add_z(out, s->kept ? "<td class=l data-k=After>" : "<td class='e down'>dropped");
        if (s->kept)
            debug_html_labels(out, s->out, s->in, "up");
    }
    buf_add_z(out, "</table><p>Result: ");
    if (d->steps.kept)
        debug_html_labels(out, d->result, d->result, "up");
    else
        buf_add_z(out, "<b class=down>dropped</b>");
}

static void debug_html(struct relabel_debug *d, const struct err *err)
{
    html_begin(d->r, d->target ? "Relabeling of a target" : "Relabeling of a series");
    if (err) {
        buf_add_z(&d->r->out, "<p class=down>");
        html_text(&d->r->out, str_of(err->text));
    }
    debug_html_form(d);
    if (!err)
        debug_html_steps(d);
    html_end(d->r);
}

/* What does not fit becomes an error. */
static void debug_end(struct relabel_debug *d)
{
    struct err err;
    bool too_large = d->r->out.over && !d->r->out.starved;
    d->r->out.max = 0;
    if (too_large)
        err_set(&err, ERR_TOO_LARGE, "the response takes more than %d MiB", DEBUG_RESPONSE_MAX >> 20);
    if (too_large || !services_report_complete(d->r, &err))
        html_fail(d->r, "Relabeling", &err);
}

static void page_relabel_debug(struct http_request *r, bool target)
{
    struct relabel_debug d = {.r = r, .target = target, .labels_text = form_get(&r->form, "metric"),
                              .rules_text = form_get(&r->form, "relabel_configs")};
    struct err err;
    buf_limit(&r->out, DEBUG_RESPONSE_MAX);
    const struct err *failed = debug_run(&d, &err) ? NULL : &err;
    if (failed)
        r->status = err_http_status(err.kind);
    if (str_is(form_get(&r->form, "format"), "json"))
        debug_print_json(&d, failed);
    else if (html_wanted(r))
        debug_html(&d, failed);
    else if (failed)
        http_text(r, r->status, err.text);
    else
        debug_print(&d);
    debug_end(&d);
}

void page_metric_relabel_debug(struct http_request *r) { page_relabel_debug(r, false); }
void page_target_relabel_debug(struct http_request *r) { page_relabel_debug(r, true); }
