// SPDX-License-Identifier: Apache-2.0
/* /service-discovery: what the jobs have found, with the labels before and after relabeling, or the rule that dropped a
 * target, or why it is invalid. Of a job invalid targets come first, then dropped ones. In HTML divided into pages; the
 * text is complete, a line per target.
 */
#include "base/text/num.h"
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

#include <stdlib.h>

enum { FOUND_PER_PAGE = 200, FOUND_OWNERS = 16 };
enum found_state { FOUND_INVALID, FOUND_DROPPED, FOUND_ACTIVE, FOUND_ANY };
static const char *const found_states[] = {"invalid", "dropped", "active"};

struct found_target {
    struct str job;
    struct labels discovered, labels;  /* labels: of an active one */
    enum found_state state;
    struct str error;                  /* of an invalid one, or of one that another member scrapes */
    uint64_t id;
};
struct discovery_page {
    struct http_request *r;
    struct config *config;
    struct str q, job;                 /* part of a label or error; name of a job. Empty: all */
    enum found_state state;
    size_t page;                       /* from 0 */
    struct scraper_targets all;
    struct found_target *found; size_t n; /* after the filter */
    struct labels_builder builder;
    struct buf text, key;              /* scratch */
    unsigned owners[FOUND_OWNERS]; size_t n_owners; /* of the target whose reason was asked for last */
};

/* ---- selection ---- */

static bool found_is_wanted(struct discovery_page *p, const struct found_target *t)
{
    if ((p->state != FOUND_ANY && t->state != p->state) || (p->job.n > 0 && !str_eq(t->job, p->job)))
        return false;
    if (p->q.n == 0)
        return true;
    buf_clear(&p->text);
    labels_print(&p->text, t->discovered);
    labels_print(&p->text, t->labels);
    buf_add_str(&p->text, t->error);
    return str_contains_any_case(buf_str(&p->text), p->q);
}

static int found_compare(const void *x, const void *y)
{
    const struct found_target *a = x, *b = y;
    int c = str_cmp(a->job, b->job);
    if (c == 0)
        c = (int)a->state - (int)b->state;
    return c ? c : str_cmp(labels_get(a->discovered, STR("__address__")), labels_get(b->discovered, STR("__address__")));
}

static void found_select(struct discovery_page *p)
{
    const struct scraper_targets *all = &p->all;
    p->found = ARENA_ARRAY(&p->r->arena, struct found_target, all->n_active + all->n_dropped + 1);
    for (size_t i = 0; i < all->n_active + all->n_dropped; i++) {
        const struct target_status *a = i < all->n_active ? &all->active[i] : NULL;
        const struct dropped_target *d = a ? NULL : &all->dropped[i - all->n_active];
        p->found[p->n] = a ? (struct found_target){a->job, a->discovered, a->labels, FOUND_ACTIVE, STR(""), a->id}
            : (struct found_target){d->job, d->discovered, {0}, d->invalid ? FOUND_INVALID : FOUND_DROPPED, d->error, 0};
        p->n += found_is_wanted(p, &p->found[p->n]);
    }
    qsort(p->found, p->n, sizeof *p->found, found_compare);
}

static bool found_read_filter(struct discovery_page *p, struct err *err)
{
    uint64_t page = 1;
    const struct form *f = &p->r->form;
    struct str number = form_get(f, "page"), state = form_get(f, "state");
    if (number.n > 0 && (!num_parse_u64(number, &page) || page == 0))
        return err_set(err, ERR_BAD_DATA, "page: \"%.*s\" is not a page number", STR_ARG(number));
    p->page = page - 1;
    p->q = str_trim(form_get(f, "q"));
    p->job = form_get(f, "job");
    for (p->state = 0; p->state < FOUND_ANY && !str_is(state, found_states[p->state]);)
        p->state++;
    return true;
}

/* ---- why a target was dropped ---- */

static const struct scrape_job *found_job(const struct discovery_page *p, struct str name)
{
    for (size_t i = 0; i < p->config->n_jobs; i++)
        if (str_eq(p->config->jobs[i].job_name, name))
            return &p->config->jobs[i];
    return NULL;
}

/* The index of the rule that drops it; rules.n: none does, and p->builder has the labels. */
static size_t found_relabel(struct discovery_page *p, const struct found_target *t, struct relabel_rules rules)
{
    size_t i = 0;
    builder_start(&p->builder, t->discovered);
    while (i < rules.n && relabel_apply((struct relabel_rules){&rules.rules[i], 1}, &p->builder))
        i++;
    return i;
}

/* Sets p->owners of a target that another member of -promscrape.cluster.* scrapes. The text may be in p->text. */
static struct str found_reason(struct discovery_page *p, const struct found_target *t)
{
    const struct scrape_job *job = t->state == FOUND_DROPPED ? found_job(p, t->job) : NULL;
    p->n_owners = 0;
    if (job == NULL || (t->error.n > 0 && job->cluster.owner.members <= 1))
        return t->error;
    struct relabel_rules rules = relabel_rules(job->relabel_configs);
    size_t rule = found_relabel(p, t, rules);
    buf_clear(&p->text);
    if (t->error.n > 0) {
        p->n_owners = ownership_list(&job->cluster.owner, &p->builder, &p->key, p->owners, FOUND_OWNERS);
        for (size_t i = 0; i < p->n_owners; i++)
            buf_printf(&p->text, "%s%u", i == 0 ? "scraped by member " : ", ", p->owners[i]);
    } else if (rule < rules.n) {
        buf_printf(&p->text, "rule %zu of relabel_configs drops it", rule + 1);
    } else { /* the configuration is newer than the target */
        buf_add_z(&p->text, "relabel_configs drop it");
    }
    return buf_str(&p->text);
}

/* ---- as text ---- */

static void found_print(struct discovery_page *p)
{
    struct buf *out = &p->r->out;
    for (size_t i = 0; i < p->n; i++) {
        const struct found_target *t = &p->found[i];
        if (i == 0 || !str_eq(t->job, t[-1].job))
            buf_printf(out, "job=\"%.*s\"\n", STR_ARG(t->job));
        buf_printf(out, "\tstate=%s, discovered=", found_states[t->state]);
        labels_print(out, t->discovered);
        if (t->state == FOUND_ACTIVE) {
            buf_add_z(out, ", labels=");
            labels_print(out, t->labels);
        } else {
            struct str reason = found_reason(p, t);
            buf_printf(out, ", reason=\"%.*s\"", STR_ARG(reason));
        }
        buf_add_char(out, '\n');
    }
}

/* ---- as HTML ---- */

static void found_html_labels(struct discovery_page *p, struct labels l)
{
    buf_clear(&p->text);
    labels_print(&p->text, l);
    buf_add_z(&p->r->out, "<code>");
    html_text(&p->r->out, buf_str(&p->text));
    buf_add_z(&p->r->out, "</code>");
}

/* rest: a URL with %d for the number of the member. */
static void found_html_owner(struct discovery_page *p, struct str rest, unsigned member)
{
    buf_clear(&p->text);
    for (size_t at = 0; (at = str_find_str(rest, STR("%d"))) < rest.n; rest = str_skip(rest, at + 2))
        buf_printf(&p->text, "%.*s%u", (int)at, rest.p, member);
    buf_add_str(&p->text, rest);
    buf_add_z(&p->r->out, " <a href=\"");
    html_text(&p->r->out, buf_str(&p->text));
    buf_printf(&p->r->out, "\">member %u</a>", member);
}

static void found_html_row(struct discovery_page *p, const struct found_target *t)
{
    struct buf *out = &p->r->out;
    bool active = t->state == FOUND_ACTIVE;
    buf_printf(out, "<tr><td class=%s data-k=State>%s", active ? "up" : t->state == FOUND_DROPPED ? "unknown" : "down",
               found_states[t->state]);
    buf_add_z(out, "<td class=l data-k=Discovered>");
    found_html_labels(p, t->discovered);
    buf_add_z(out, active ? "<td class=l data-k=Labels>" : "<td class=e>");
    if (active)
        found_html_labels(p, t->labels);
    else
        html_text(out, found_reason(p, t));
    struct str url = p->r->services->flags.cluster.member_url;
    for (size_t i = 0; !active && i < p->n_owners && url.n > 0; i++)
        found_html_owner(p, url, p->owners[i]);
}

static void found_html_link(struct discovery_page *p, size_t page, const char *word)
{
    struct buf *out = &p->r->out;
    buf_printf(out, " <a href='?page=%zu&amp;state=%s&amp;q=", page + 1, p->state < FOUND_ANY ? found_states[p->state] : "");
    url_encode(out, p->q);
    buf_add_z(out, "&amp;job=");
    url_encode(out, p->job);
    buf_printf(out, "'>%s</a>", word);
}

static void found_html_form(struct discovery_page *p)
{
    struct buf *out = &p->r->out;
    buf_add_z(out, "<form><input name=q placeholder='label or error' size=40 value=\"");
    html_text(out, p->q);
    buf_add_z(out, "\"> <select name=state><option value=''>any state");
    for (int i = 0; i < FOUND_ANY; i++)
        buf_printf(out, "<option value='%s'%s>%s", found_states[i], (int)p->state == i ? " selected" : "", found_states[i]);
    buf_add_z(out, "</select> <select name=job><option value=''>any job");
    for (size_t i = 0; i < p->all.n_pools; i++) {
        struct str job = p->all.pools[i].job;
        buf_add_z(out, "<option value=\"");
        html_text(out, job);
        buf_add_z(out, str_eq(job, p->job) ? "\" selected>" : "\">");
        html_text(out, job);
    }
    buf_add_z(out, "</select> <button>Filter</button></form>");
}

static void found_html_summary(struct discovery_page *p)
{
    size_t dropped = 0, invalid = 0;
    for (size_t i = 0; i < p->all.n_pools; i++) {
        dropped += p->all.pools[i].dropped;
        invalid += p->all.pools[i].invalid;
    }
    buf_printf(&p->r->out, "<p>%zu active targets in %zu jobs, <a href='?state=dropped'>%zu dropped</a>, "
               "<a href='?state=invalid'>%zu invalid</a>; %zu shown", p->all.n_active, p->all.n_pools, dropped, invalid, p->n);
    if (dropped + invalid > p->all.n_dropped)
        buf_printf(&p->r->out, ". Of dropped and invalid ones, %zu are kept", p->all.n_dropped);
}

static void found_html(struct discovery_page *p)
{
    struct buf *out = &p->r->out;
    size_t first = p->page < p->n / FOUND_PER_PAGE + 1 ? p->page * FOUND_PER_PAGE : p->n;
    size_t end = first + FOUND_PER_PAGE < p->n ? first + FOUND_PER_PAGE : p->n;
    found_html_summary(p);
    found_html_form(p);
    if (p->n > FOUND_PER_PAGE) {
        buf_printf(out, "<p>%zu to %zu of %zu", first < end ? first + 1 : 0, end, p->n);
        if (p->page > 0)
            found_html_link(p, first < end ? p->page - 1 : (p->n - 1) / FOUND_PER_PAGE, "previous");
        if (end < p->n)
            found_html_link(p, p->page + 1, "next");
    }
    buf_add_z(out, "<table><tr><th>State<th>Discovered labels<th>Labels after relabeling, or why there is no target");
    for (size_t i = first; i < end; i++) {
        if (i == first || !str_eq(p->found[i].job, p->found[i - 1].job)) {
            buf_add_z(out, "<tr class=job><td colspan=3>");
            html_text(out, p->found[i].job);
        }
        found_html_row(p, &p->found[i]);
    }
    buf_add_z(out, "</table>");
}

void page_service_discovery(struct http_request *r)
{
    struct discovery_page p = {.r = r, .builder.scratch = &r->arena};
    struct err err;
    int64_t timeout = r->services->flags.query_timeout;
    if (!found_read_filter(&p, &err) ||
        !services_targets(r, timeout > 0 ? r->started_mono + timeout : 0, &p.all, &err)) {
        html_fail(r, "Service discovery", &err);
        return;
    }
    p.config = services_config(r->services);
    found_select(&p);
    if (html_wanted(r)) {
        html_begin(r, "Service discovery");
        found_html(&p);
        html_end(r);
    } else {
        found_print(&p);
    }
    config_unref(p.config);
    builder_free(&p.builder);
    buf_free(&p.text);
    buf_free(&p.key);
    if (!services_report_complete(r, &err))
        html_fail(r, "Service discovery", &err);
}
