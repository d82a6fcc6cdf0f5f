// SPDX-License-Identifier: Apache-2.0
/* /targets: filtered, and in HTML divided into pages that a browser can show. The text is complete, one line per
 * target, in vmagent's format. Targets of a job are ordered by state: invalid, down, not scraped yet, up; within a
 * state as in the API. Destinations and server groups follow (backends.c). With `scope`, targets of this member of a
 * cluster, or of all.
 */
#include "base/text/num.h"
#include "base/regex/regex.h"
#include "base/text/duration.h"
#include "gateway/query/params.h"
#include "gateway/reports/cluster_targets.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"
#include "gateway/pages/backends.h"
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    PER_PAGE = 200,
    OPEN_JOBS = 20,               /* up to so many links to jobs are shown expanded */
    ANY_HEALTH = -1,
};

struct filter {
    struct str q;                 /* part of URL, label or error; case-insensitive */
    int health;                   /* enum target_health, ANY_HEALTH */
    bool unhealthy_only, original_labels;
    struct regex *endpoint;       /* NULL = any */
    const struct matcher *labels; size_t n_labels;
    size_t page;                  /* from 0 */
};
struct job_count { struct str name, missing; size_t up, n; };
enum { RANKS = HEALTH_INVALID + 1 };
struct targets_view {
    struct http_request *r;
    struct filter filter;
    struct scraper_targets all;
    enum target_scope scope;
    const struct cluster_target *of_cluster; /* of all.active; NULL: SCOPE_PROCESS */
    struct notes notes;           /* what is missing of other members */
    const struct target_status **shown; size_t n_shown; /* after the filter, all pages */
    struct job_count *jobs; size_t n_jobs;
    size_t up, down, invalid;
    int64_t now;
    struct buf text;              /* scratch */
};

/* ---- the filter ---- */

static bool is_true(struct http_request *r, const char *name)
{
    struct str s = form_get(&r->form, name);
    return str_is(s, "true") || str_is(s, "1");
}

static int read_health(struct str s)
{
    static const enum target_health all[] = {HEALTH_UP, HEALTH_DOWN, HEALTH_UNKNOWN, HEALTH_INVALID};
    for (size_t i = 0; i < LEN(all); i++)
        if (str_is(s, target_health_name(all[i])))
            return (int)all[i];
    return ANY_HEALTH;
}

static void targets_page_free_regex(void *arg) { regex_free(arg); }

static bool read_searches(struct http_request *r, struct filter *f, struct err *err)
{
    struct str endpoint = form_get(&r->form, "endpoint_search"), labels = form_get(&r->form, "label_search");
    if (endpoint.n > 0) {
        f->endpoint = regex_new(arena_printf(&r->arena, ".*(?:%.*s).*", STR_ARG(endpoint)), err);
        if (f->endpoint == NULL || !arena_at_end(&r->arena, targets_page_free_regex, f->endpoint))
            return err_wrap(err, "endpoint_search");
    }
    if (labels.n > 0 && !param_selector(&r->arena, labels, &f->labels, &f->n_labels, err))
        return err_wrap(err, "label_search");
    return true;
}

static bool targets_page_read_filter(struct http_request *r, struct filter *f, struct err *err)
{
    uint64_t page = 1;
    struct str number = form_get(&r->form, "page");
    if (number.n > 0 && (!num_parse_u64(number, &page) || page == 0))
        return err_set(err, ERR_BAD_DATA, "page: \"%.*s\" is not a page number", STR_ARG(number));
    *f = (struct filter){.q = str_trim(form_get(&r->form, "q")), .health = read_health(form_get(&r->form, "state")),
                         .unhealthy_only = is_true(r, "show_only_unhealthy"),
                         .original_labels = is_true(r, "show_original_labels"), .page = page - 1};
    return read_searches(r, f, err);
}

static bool matches_filter(struct targets_view *v, const struct target_status *t)
{
    const struct filter *f = &v->filter;
    if ((f->health != ANY_HEALTH && (int)t->health != f->health) || (f->unhealthy_only && t->health == HEALTH_UP))
        return false;
    if ((f->endpoint && !regex_match(f->endpoint, t->url)) || !matchers_match(f->labels, f->n_labels, t->labels))
        return false;
    if (f->q.n == 0 || str_contains_any_case(t->url, f->q) || str_contains_any_case(t->last_error, f->q))
        return true;
    buf_clear(&v->text);
    labels_print(&v->text, t->labels);
    return str_contains_any_case(buf_str(&v->text), f->q);
}

/* Targets that cannot be scraped, in the form of others, with the address as URL. */
static struct target_status *invalid_targets(struct targets_view *v)
{
    struct target_status *all = ARENA_ARRAY(&v->r->arena, struct target_status, v->all.n_dropped + 1);
    for (size_t i = 0; i < v->all.n_dropped; i++) {
        const struct dropped_target *d = &v->all.dropped[i];
        if (d->invalid)
            all[v->invalid++] = (struct target_status){
                .job = d->job, .url = labels_get(d->discovered, STR("__address__")), .discovered = d->discovered,
                .labels = d->discovered, .health = HEALTH_INVALID, .last_error = d->error};
    }
    return all;
}

static int by_job_and_rank(const void *x, const void *y)
{
    static const int ranks[RANKS] = {[HEALTH_INVALID] = 0, [HEALTH_DOWN] = 1, [HEALTH_UNKNOWN] = 2, [HEALTH_UP] = 3};
    const struct target_status *a = *(const struct target_status *const *)x;
    const struct target_status *b = *(const struct target_status *const *)y;
    int c = str_cmp(a->job, b->job);
    if (c == 0)
        c = ranks[a->health] - ranks[b->health];
    return c ? c : a < b ? -1 : a > b; /* elements of one sorted array */
}

static void targets_page_select(struct targets_view *v)
{
    const struct target_status *invalid = invalid_targets(v);
    v->shown = ARENA_ARRAY(&v->r->arena, const struct target_status *, v->all.n_active + v->invalid + 1);
    for (size_t i = 0; i < v->all.n_active + v->invalid; i++) {
        const struct target_status *t = i < v->all.n_active ? &v->all.active[i] : &invalid[i - v->all.n_active];
        if (matches_filter(v, t))
            v->shown[v->n_shown++] = t;
    }
    qsort(v->shown, v->n_shown, sizeof *v->shown, by_job_and_rank);
}

/* ---- jobs: "node (3/4 up)" counts all targets, shown or not ---- */

static int targets_page_compare_jobs(const void *a, const void *b)
{
    return str_cmp(((const struct job_count *)a)->name, ((const struct job_count *)b)->name);
}

/* Targets are sorted by job, and so are v->jobs, which include jobs without targets. */
static void count_jobs(struct targets_view *v)
{
    size_t at = 0;
    v->n_jobs = v->all.n_pools;
    v->jobs = ARENA_ARRAY(&v->r->arena, struct job_count, v->n_jobs + 1);
    for (size_t i = 0; i < v->n_jobs; i++)
        v->jobs[i] = (struct job_count){.name = v->all.pools[i].job, .missing = v->all.pools[i].missing};
    qsort(v->jobs, v->n_jobs, sizeof *v->jobs, targets_page_compare_jobs);
    for (size_t i = 0; i < v->all.n_active; i++) {
        const struct target_status *t = &v->all.active[i];
        while (at < v->n_jobs && !str_eq(v->jobs[at].name, t->job))
            at++;
        v->jobs[at].n++; /* at n_jobs, an extra element, for targets of a job that was removed meanwhile */
        v->jobs[at].up += t->health == HEALTH_UP;
        v->up += t->health == HEALTH_UP;
        v->down += t->health == HEALTH_DOWN;
    }
}

static struct job_count *find_job(struct targets_view *v, struct str name)
{
    struct job_count key = {.name = name};
    return bsearch(&key, v->jobs, v->n_jobs, sizeof key, targets_page_compare_jobs);
}

/* ---- members of the cluster ---- */

/* Appends those that scrape the target: "a,b". */
static void add_target_members(const struct targets_view *v, const struct target_status *t, struct buf *out)
{
    if (v->of_cluster == NULL || t < v->all.active || t >= v->all.active + v->all.n_active)
        return;
    const struct cluster_target *c = &v->of_cluster[t - v->all.active];
    for (size_t i = 0; i < c->n_members; i++)
        buf_printf(out, "%s%.*s", i > 0 ? "," : "", STR_ARG(c->members[i]));
}

static const char *const scope_values[] = {[SCOPE_PROCESS] = "", [SCOPE_MEMBER] = "member", [SCOPE_CLUSTER] = "cluster"};

static bool read_targets(struct targets_view *v, struct err *err)
{
    int64_t timeout = v->r->services->flags.query_timeout;
    int64_t deadline = timeout > 0 ? v->r->started_mono + timeout : 0;
    struct cluster_targets found;
    if (!target_scope_read(v->r, &v->scope, err))
        return false;
    if (v->scope == SCOPE_PROCESS)
        return services_targets(v->r, deadline, &v->all, err);
    v->notes.arena = &v->r->arena;
    if (!cluster_targets_read(v->r, v->scope, STR_NONE, deadline, &v->notes, &found, err))
        return false;
    v->all = found.all;
    v->of_cluster = found.targets;
    return true;
}

/* ---- as text ---- */

static void text_target(struct targets_view *v, const struct target_status *t)
{
    struct buf *out = &v->r->out;
    buf_printf(out, "\tstate=%s, endpoint=%.*s, labels=", target_health_name(t->health), STR_ARG(t->url));
    labels_print(out, t->labels);
    if (v->filter.original_labels) {
        buf_add_z(out, ", originalLabels=");
        labels_print(out, t->discovered);
    }
    buf_printf(out, ", scrapes_total=%" PRIu64 ", scrapes_failed=%" PRIu64 ", last_scrape=", t->scrapes, t->failures);
    html_ago(out, t->last_scrape, v->now);
    if (t->standby)
        buf_add_z(out, ", standby=true");
    if (v->of_cluster) {
        buf_add_z(out, ", members=");
        add_target_members(v, t, out);
    }
    if (t->series_limit > 0)
        buf_printf(out, ", series=%u, series_limit=%u", t->series, t->series_limit);
    bool large = t->last_bytes >= 1024;
    buf_printf(out, ", scrape_duration=%.0fms, scrape_response_size=%" PRIu64 "%s, samples_scraped=%" PRIu64 ", error=\"%.*s\"\n",
               t->last_duration * 1000, large ? (t->last_bytes + 1023) / 1024 : t->last_bytes, large ? "KiB" : "B", t->last_samples,
               STR_ARG(t->last_error));
}

static void text_page(struct targets_view *v)
{
    size_t i = 0;
    for (size_t k = 0; k < v->notes.warnings.n; k++)
        buf_printf(&v->r->out, "warning: %.*s\n", STR_ARG(v->notes.warnings.items[k]));
    for (size_t k = 0; k < v->n_jobs; k++) {
        const struct job_count *job = &v->jobs[k];
        buf_printf(&v->r->out, "job=\"%.*s\" (%zu/%zu up)\n", STR_ARG(job->name), job->up, job->n);
        if (job->missing.n > 0)
            buf_printf(&v->r->out, "\t%s: no file matches %.*s\n", job->n ? "targets missing" : "0 targets",
                       STR_ARG(job->missing));
        for (; i < v->n_shown && str_eq(v->shown[i]->job, job->name); i++)
            text_target(v, v->shown[i]);
    }
    for (; i < v->n_shown; i++)
        text_target(v, v->shown[i]);
}

/* ---- as HTML ---- */

static void html_labels(struct targets_view *v, struct labels l)
{
    buf_clear(&v->text);
    labels_print(&v->text, l);
    buf_add_z(&v->r->out, "<code>");
    html_text(&v->r->out, buf_str(&v->text));
    buf_add_z(&v->r->out, "</code>");
}

static void html_target_links(struct targets_view *v, uint64_t id)
{
    static const struct { const char *path, *word; } pages[] = {
        {"target_response", "response"}, {"target-relabel-debug", "relabeling"}, {"metric-relabel-debug", "of metrics"}};
    for (size_t i = 0; i < LEN(pages); i++)
        buf_printf(&v->r->out, " <a href='%s/%s?id=%016" PRIx64 "'>%s</a>", v->r->services->flags.link_prefix.p,
                   pages[i].path, id, pages[i].word);
}

static void html_target(struct targets_view *v, const struct target_status *t)
{
    struct buf *out = &v->r->out;
    const char *health = target_health_name(t->health);
    bool valid = t->health != HEALTH_INVALID;
    buf_add_z(out, valid ? "<tr><td><a href=\"" : "<tr><td>");
    if (valid)
        html_text(out, t->url);
    buf_add_z(out, valid ? "\">" : "");
    html_text(out, t->url);
    buf_printf(out, "%s<td class=%s data-k=State>%s<td class=l data-k=Labels>", valid ? "</a>" : "",
               valid ? health : "down", health);
    html_labels(v, v->filter.original_labels ? t->discovered : t->labels);
    buf_clear(&v->text);
    add_target_members(v, t, &v->text);
    if (v->text.n > 0) {
        buf_add_z(out, "<br>member ");
        html_text(out, buf_str(&v->text));
    }
    if (valid && t->id != 0) /* 0: another member's */
        html_target_links(v, t->id);
    buf_add_z(out, "<td class=n data-k='Last scrape'>");
    html_ago(out, t->last_scrape, v->now);
    buf_printf(out, "<td class=n data-k=Duration>%.0f ms<td class=n data-k=Samples>", t->last_duration * 1000);
    if (t->standby)
        buf_add_z(out, "standby");
    else
        html_count(out, t->last_samples);
    if (t->series_limit > 0)
        buf_printf(out, "<br><span%s>%u of %u series</span>", t->series >= t->series_limit ? " class=down" : "", t->series,
                   t->series_limit);
    buf_add_z(out, "<td class=n data-k=Size>");
    html_bytes(out, t->last_bytes);
    html_last_error(out, t->last_error, 0, true, v->now);
}

static void html_job(struct targets_view *v, struct str job)
{
    const struct job_count *t = find_job(v, job);
    buf_printf(&v->r->out, "<tr class=job id=job-%zu><td colspan=8>", t ? (size_t)(t - v->jobs) : v->n_jobs);
    html_text(&v->r->out, job);
    if (t)
        buf_printf(&v->r->out, " (%zu/%zu up)", t->up, t->n);
}

static void html_missing(struct targets_view *v)
{
    for (size_t i = 0; i < v->n_jobs; i++) {
        const struct job_count *job = &v->jobs[i];
        if (job->missing.n == 0)
            continue;
        buf_add_z(&v->r->out, "<tr><td colspan=7>");
        html_text(&v->r->out, job->name);
        buf_add_z(&v->r->out, job->n ? ": targets missing<td class='e down'>no file matches " :
                                       ": 0 targets<td class='e down'>no file matches ");
        html_text(&v->r->out, job->missing);
    }
}

static void html_form(struct targets_view *v)
{
    static const char *const states[] = {"", "up", "down", "unknown", "invalid"};
    struct buf *out = &v->r->out;
    buf_add_z(out, "<form><input name=q placeholder='URL, label or error' size=40 value=\"");
    html_text(out, v->filter.q);
    buf_add_z(out, "\"> <select name=state>");
    for (size_t i = 0; i < LEN(states); i++) {
        bool chosen = read_health(str_of(states[i])) == v->filter.health;
        buf_printf(out, "<option value='%s'%s>%s", states[i], chosen ? " selected" : "", i ? states[i] : "any state");
    }
    buf_add_z(out, "</select>");
    if (v->r->services->cluster) {
        static const char *const scopes[] = {[SCOPE_PROCESS] = "this process", [SCOPE_MEMBER] = "this member",
                                             [SCOPE_CLUSTER] = "all members"};
        buf_add_z(out, " <select name=scope>");
        for (size_t i = 0; i < LEN(scopes); i++)
            buf_printf(out, "<option value='%s'%s>%s", scope_values[i], i == v->scope ? " selected" : "", scopes[i]);
        buf_add_z(out, "</select>");
    }
    buf_add_z(out, " <button>Filter</button></form>");
}

/* Begins a link to the page with the same filter; the caller may append to the URL and ends the tag. */
static void html_page_href(struct targets_view *v, size_t page)
{
    struct buf *out = &v->r->out;
    int health = v->filter.health;
    buf_printf(out, " <a href='?page=%zu&amp;state=%s&amp;q=", page + 1,
               health == ANY_HEALTH ? "" : target_health_name(health));
    url_encode(out, v->filter.q);
    static const char *const others[] = {"show_only_unhealthy", "show_original_labels", "endpoint_search",
                                         "label_search", "scope"};
    for (size_t i = 0; i < LEN(others); i++) {
        struct str value = form_get(&v->r->form, others[i]);
        if (value.n == 0)
            continue;
        buf_printf(out, "&amp;%s=", others[i]);
        url_encode(out, value);
    }
}

static void html_page_link(struct targets_view *v, size_t page, const char *word)
{
    html_page_href(v, page);
    buf_printf(&v->r->out, "'>%s</a>", word);
}

static void html_pages(struct targets_view *v, size_t first, size_t end)
{
    if (v->n_shown <= PER_PAGE)
        return;
    buf_printf(&v->r->out, "<p>%zu to %zu of %zu", first < end ? first + 1 : 0, end, v->n_shown);
    if (v->filter.page > 0) {
        html_page_link(v, 0, "first");
        html_page_link(v, first < end ? v->filter.page - 1 : (v->n_shown - 1) / PER_PAGE, "previous");
    }
    if (end < v->n_shown) {
        html_page_link(v, v->filter.page + 1, "next");
        html_page_link(v, (v->n_shown - 1) / PER_PAGE, "last");
    }
}

/* Links to jobs with shown targets, each to the page with the first target of the job. */
static void html_job_links(struct targets_view *v)
{
    struct buf *out = &v->r->out;
    if (v->n_shown == 0 || v->n_jobs < 2)
        return;
    buf_printf(out, "<details%s><summary>Jobs</summary><nav>", v->n_jobs <= OPEN_JOBS ? " open" : "");
    for (size_t i = 0; i < v->n_shown; i++) {
        const struct job_count *job = find_job(v, v->shown[i]->job);
        if (job == NULL || (i > 0 && str_eq(v->shown[i - 1]->job, job->name)))
            continue;
        html_page_href(v, i / PER_PAGE);
        buf_printf(out, "#job-%zu'>", (size_t)(job - v->jobs));
        html_text(out, job->name);
        buf_printf(out, " (%zu/%zu up)</a>", job->up, job->n);
    }
    buf_add_z(out, "</nav></details>");
}

static void html_summary(struct targets_view *v)
{
    struct buf *out = &v->r->out;
    buf_printf(out, "<nav><a href='#targets'>Targets</a> <a href='#remote-write'>Remote write</a> "
                    "<a href='#server-groups'>Server groups</a></nav><h2 id=targets>Targets</h2>"
                    "<p>%zu targets in %zu jobs, %zu up", v->all.n_active, v->n_jobs, v->up);
    if (v->down > 0)
        buf_printf(out, ", <a class=down href='?state=down&amp;scope=%s'>%zu down</a>", scope_values[v->scope], v->down);
    if (v->invalid > 0)
        buf_printf(out, ", <a class=down href='?state=invalid&amp;scope=%s'>%zu invalid</a>", scope_values[v->scope],
                   v->invalid);
    buf_printf(out, "; %zu shown", v->n_shown);
    for (size_t i = 0; i < v->notes.warnings.n; i++) {
        buf_add_z(out, "<p class=down>");
        html_text(out, v->notes.warnings.items[i]);
    }
}

/* Why no targets are shown, and what to do. */
static void html_no_targets(struct targets_view *v)
{
    struct buf *out = &v->r->out;
    if (v->n_jobs == 0)
        buf_add_z(out, "<p>No scrape jobs. Add <code>scrape_configs</code> to the configuration file, for example "
                       "<code>scrape_configs: [{job_name: node, static_configs: [{targets: ['HOST:9100']}]}]</code>, "
                       "and reload it.");
    else if (v->all.n_active + v->invalid == 0)
        buf_add_z(out, "<p>The jobs have no targets. Check their <code>static_configs</code>, "
                       "<code>file_sd_configs</code> and <code>relabel_configs</code>.");
    else
        buf_add_z(out, "<p>No target matches the filter. <a href='?'>Show all targets</a>");
}

static void html_targets(struct targets_view *v)
{
    struct buf *out = &v->r->out;
    size_t first = v->filter.page < v->n_shown / PER_PAGE + 1 ? v->filter.page * PER_PAGE : v->n_shown;
    size_t end = first + PER_PAGE < v->n_shown ? first + PER_PAGE : v->n_shown;
    html_summary(v);
    if (v->all.n_active + v->invalid > 0 || v->r->services->cluster)
        html_form(v);
    html_job_links(v);
    html_pages(v, first, end);
    if (v->n_shown == 0)
        html_no_targets(v);
    buf_add_z(out, "<table>");
    if (v->n_shown > 0)
        buf_add_z(out, "<tr><th>Endpoint<th>State<th>Labels<th>Last scrape<th>Duration<th>Samples<th>Size<th>Error");
    for (size_t i = first; i < end; i++) {
        if (i == first || !str_eq(v->shown[i]->job, v->shown[i - 1]->job))
            html_job(v, v->shown[i]->job);
        html_target(v, v->shown[i]);
    }
    html_missing(v);
    buf_add_z(out, "</table>");
    html_pages(v, first, end);
}

void page_targets(struct http_request *r)
{
    struct targets_view v = {.r = r, .now = clock_wall_ms()};
    struct err err;
    if (!targets_page_read_filter(r, &v.filter, &err)) {
        html_fail(r, "Status", &err);
        return;
    }
    if (!read_targets(&v, &err)) {
        html_fail(r, "Status", &err);
        return;
    }
    targets_page_select(&v);
    count_jobs(&v);
    if (!html_wanted(r)) {
        text_page(&v);
        backends_text(r, v.now);
    } else {
        html_begin(r, "Status");
        html_targets(&v);
        backends_html(r, v.now);
        html_end(r);
    }
    buf_free(&v.text);
    if (!services_report_complete(r, &err))
        html_fail(r, "Status", &err);
}
