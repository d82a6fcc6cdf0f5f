// SPDX-License-Identifier: Apache-2.0
/* Builds a target from an address and labels, in Prometheus' order:
 *
 * 1. labels of the discovery, then the job's defaults where they are missing
 * 2. relabel_configs
 * 3. the URL, from __scheme__, __address__, __metrics_path__ and __param_*
 * 4. the final labels, without those that begin with __
 *
 * An address may include its scheme and path, and the label __unix_socket__ is the path of a socket to connect to, as
 * in vmagent.
 */
#include "scraper/target.h"

#include "base/hash.h"
#include "base/http/client.h"
#include "base/text/duration.h"
#include "base/text/num.h"
#include "base/text/url.h"
#include "base/text/utf8.h"

#include <stdlib.h>

#define ADDRESS  "__address__"
#define SCHEME   "__scheme__"
#define PATH     "__metrics_path__"
#define PARAM    "__param_"
#define INTERVAL "__scrape_interval__"
#define TIMEOUT  "__scrape_timeout__"
#define SIZE_LABEL "__max_scrape_size__"
#define SOCKET "__unix_socket__"

/* As the program prints it that the job is written for: the texts are part of what members of a cluster hash. */
static struct str scratch_duration(struct arena *a, const struct scrape_job *job, int64_t ms)
{
    struct buf b = {0};
    if (job->loose_durations)
        buf_add_duration_go(&b, ms);
    else
        buf_add_duration(&b, ms);
    struct str s = arena_str(a, buf_str(&b));
    buf_free(&b);
    return s;
}

static void set_missing(struct labels_builder *b, const char *name, struct str value)
{
    if (builder_get(b, str_of(name)).n == 0)
        builder_set(b, str_of(name), value);
}

static void target_start(struct target_builder *m, const struct scrape_job *job, const struct target_source *from)
{
    struct labels_builder *b = &m->builder;
    builder_start(b, (struct labels){0});
    for (size_t i = 0; i < from->labels.n; i++)
        builder_set(b, from->labels.keys[i], from->labels.values[i]);
    builder_set(b, STR(ADDRESS), from->address);
    if (from->meta.n > 0)
        builder_set(b, from->meta, from->source);
    set_missing(b, "job", job->job_name);
    set_missing(b, SCHEME, job->scheme);
    set_missing(b, PATH, job->metrics_path);
    set_missing(b, INTERVAL, scratch_duration(&m->scratch, job, job->scrape_interval));
    set_missing(b, TIMEOUT, scratch_duration(&m->scratch, job, job->scrape_timeout));
    for (size_t i = 0; i < job->params.n; i++) {
        struct str name = arena_printf(&m->scratch, PARAM "%.*s", STR_ARG(job->params.keys[i]));
        if (job->params.values[i].n > 0 && builder_get(b, name).n == 0)
            builder_set(b, name, job->params.values[i].items[0]);
    }
    m->discovered = builder_labels(b, &m->scratch);
}

static bool target_read_duration(struct str name, struct str value, const struct scrape_job *job, int64_t *ms, struct err *err)
{
    if ((job->loose_durations ? duration_parse_loose(value, ms) : duration_parse(value, ms)) && *ms > 0)
        return true;
    return err_set(err, ERR_BAD_DATA, "label %.*s: \"%.*s\" is not a positive duration", STR_ARG(name),
                   STR_ARG(value));
}

static bool target_read_times(const struct labels_builder *b, const struct scrape_job *job, struct target_settings *s,
                              struct err *err)
{
    if (!target_read_duration(STR(INTERVAL), builder_get(b, STR(INTERVAL)), job, &s->interval, err) ||
        !target_read_duration(STR(TIMEOUT), builder_get(b, STR(TIMEOUT)), job, &s->timeout, err))
        return false;
    return s->timeout <= s->interval || err_set(err, ERR_BAD_DATA, "scrape timeout is longer than the scrape interval");
}

static uint32_t target_limit_of(uint64_t n) { return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX; }

/* A limit that a label has instead of the job, as in vmagent. */
static bool target_read_limit(const struct labels_builder *b, struct str name, uint32_t *limit, struct err *err)
{
    struct str value = builder_get(b, name);
    int64_t n;
    if (value.n == 0)
        return true;
    if (!num_parse_i64(value, &n))
        return err_set(err, ERR_BAD_DATA, "label %.*s: \"%.*s\" is not a whole number", STR_ARG(name), STR_ARG(value));
    *limit = n > 0 ? target_limit_of((uint64_t)n) : 0;
    return true;
}

static bool target_read_size(const struct labels_builder *b, uint32_t *max, struct err *err)
{
    struct str value = builder_get(b, STR(SIZE_LABEL));
    uint64_t n;
    if (value.n == 0)
        return true;
    if (!num_parse_size(value, &n))
        return err_set(err, ERR_BAD_DATA, "label " SIZE_LABEL ": \"%.*s\" is not a size such as 16MiB", STR_ARG(value));
    if (n > 0)
        *max = target_limit_of(n);
    return true;
}

static bool target_read_settings(const struct labels_builder *b, const struct scrape_job *job, struct target_settings *s,
                                 struct err *err)
{
    *s = (struct target_settings){
        .sample_limit = target_limit_of((uint64_t)job->sample_limit), .label_limit = target_limit_of((uint64_t)job->label_limit),
        .series_limit = job->series_limit > 0 ? target_limit_of((uint64_t)job->series_limit) : 0,
        .body_max = job->body_size_limit > 0 ? target_limit_of((uint64_t)job->body_size_limit) : SCRAPE_BODY_MAX};
    return target_read_times(b, job, s, err) && target_read_limit(b, STR("__sample_limit__"), &s->sample_limit, err) &&
           target_read_limit(b, STR("__label_limit__"), &s->label_limit, err) && target_read_limit(b, STR("__series_limit__"), &s->series_limit, err) &&
           target_read_size(b, &s->body_max, err);
}

static void target_add_url_param(struct buf *url, struct str name, struct str value)
{
    buf_add_char(url, str_find(buf_str(url), '?') < url->n ? '&' : '?');
    url_encode(url, name);
    buf_add_char(url, '=');
    url_encode(url, value);
}

/* A URL parameter: its first value, and the job's list of values, used from the second on. */
struct url_param { struct str name, first; const struct str_list *more; };

static int by_param_name(const void *x, const void *y)
{
    return str_cmp(((const struct url_param *)x)->name, ((const struct url_param *)y)->name);
}

/* The job's parameters. One without a label (removed by relabel_configs, or empty, since a label cannot be) is used
 * only with keep_params. */
static size_t take_job_params(const struct scrape_job *job, const struct labels_builder *b, struct arena *scratch,
                              struct url_param *params)
{
    size_t n = 0;
    for (size_t i = 0; i < job->params.n; i++) {
        const struct str_list *values = &job->params.values[i];
        struct str name = job->params.keys[i];
        struct str label = builder_get(b, arena_printf(scratch, PARAM "%.*s", STR_ARG(name)));
        if (values->n > 0 && (label.n > 0 || job->keep_params))
            params[n++] = (struct url_param){name, label.n > 0 ? label : values->items[0], values};
    }
    return n;
}

static bool has_param(const struct url_param *params, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(params[i].name, name))
            return true;
    return false;
}

/* Sorted by name, so that the URL does not depend on the order of the configuration. */
static void add_params(struct buf *url, const struct scrape_job *job, const struct labels_builder *b,
                       struct arena *scratch)
{
    struct str prefix = STR(PARAM);
    struct url_param *params = ARENA_ARRAY(scratch, struct url_param, job->params.n + b->n);
    size_t of_job = take_job_params(job, b, scratch, params), n = of_job;
    for (size_t i = 0; i < b->n; i++) {
        struct label l = b->slots[i].label;
        struct str name = str_skip(l.name, prefix.n);
        if (!b->slots[i].deleted && str_starts(l.name, prefix) && !has_param(params, of_job, name))
            params[n++] = (struct url_param){name, l.value, NULL};
    }
    qsort(params, n, sizeof *params, by_param_name);
    for (size_t i = 0; i < n; i++) {
        target_add_url_param(url, params[i].name, params[i].first);
        for (size_t k = 1; params[i].more && k < params[i].more->n; k++)
            target_add_url_param(url, params[i].name, params[i].more->items[k]);
    }
}

/* Escapes only bytes that are invalid in a request line. */
static void add_path(struct buf *url, struct str path)
{
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`{|}", c))
            url_encode(url, str_n(path.p + i, 1));
        else
            buf_add_char(url, (char)c);
    }
}

static bool refuse_target_address(struct str address, struct err *err)
{
    struct buf shown = {0};
    url_redact_address(&shown, address);
    err_set(err, ERR_BAD_DATA, "\"%s\" is not a valid address", buf_z(&shown));
    buf_free(&shown);
    return false;
}

static bool target_make_url(struct target_builder *m, const struct scrape_job *job, struct buf *url, struct err *err)
{
    const struct labels_builder *b = &m->builder;
    struct str address = builder_get(b, STR(ADDRESS)), scheme = builder_get(b, STR(SCHEME));
    struct str path = builder_get(b, STR(PATH));
    if (address.n == 0)
        return err_set(err, ERR_BAD_DATA, "no address");
    if (!str_starts(address, STR("http://")) && !str_starts(address, STR("https://"))) {
        buf_add_str(url, scheme);
        buf_add_z(url, "://");
    }
    buf_add_str(url, address);
    size_t host = str_find_str(buf_str(url), STR("://")) + 3;
    if (str_find(str_skip(buf_str(url), host), '/') == url->n - host) { /* otherwise the address includes a path */
        if (!str_starts(path, STR("/")))
            buf_add_char(url, '/');
        add_path(url, path);
    }
    add_params(url, job, b, &m->scratch);
    struct url parts;
    if (!url_parse(buf_str(url), &parts, err) || parts.host.n == 0)
        return refuse_target_address(address, err);
    return true;
}

/* Without "user:password@" and with secret parameters masked: `instance` is sent to every destination. */
static struct str without_secrets(struct arena *a, struct str address)
{
    size_t scheme = str_find_str(address, STR("://")), host = scheme < address.n ? scheme + 3 : 0;
    struct str authority = str_skip(address, host);
    authority = str_first(authority, str_find(authority, '/'));
    size_t at = authority.n;
    while (at > 0 && authority.p[at - 1] != '@')
        at--;
    if (at == 0 && str_find(address, '?') == address.n)
        return address;
    struct buf shown = {0};
    url_redact_address(&shown, arena_printf(a, "%.*s%.*s", STR_ARG(str_first(address, host)),
                                            STR_ARG(str_skip(address, host + at))));
    struct str copy = arena_str(a, buf_str(&shown));
    buf_free(&shown);
    return copy;
}

static struct str instance_of(struct target_builder *m, const struct scrape_job *job)
{
    const struct labels_builder *b = &m->builder;
    struct str address = builder_get(b, STR(ADDRESS)), http = STR("http://"), https = STR("https://");
    address = without_secrets(&m->scratch, address);
    if (!job->instance_is_host)
        return address;
    bool secure = str_starts(address, https) ||
        (!str_starts(address, http) && str_is(builder_get(b, STR(SCHEME)), "https"));
    address = str_skip(address, str_starts(address, https) ? https.n : str_starts(address, http) ? http.n : 0);
    address = str_first(address, str_find(address, '/'));
    bool ported = str_find(address, ':') < address.n;
    return ported ? address : arena_printf(&m->scratch, "%.*s:%d", STR_ARG(address), secure ? 443 : 80);
}

/* Removes labels that begin with __ and sets `instance`. */
static bool finish_labels(struct target_builder *m, const struct scrape_job *job, struct labels *out, struct err *err)
{
    struct labels_builder *b = &m->builder;
    set_missing(b, "instance", instance_of(m, job));
    for (size_t i = 0; i < b->n; i++) {
        struct label l = b->slots[i].label;
        b->slots[i].deleted = b->slots[i].deleted || str_starts(l.name, STR("__"));
        if (!b->slots[i].deleted && !label_name_valid(l.name))
            return err_set(err, ERR_BAD_DATA, "a label name is %s", l.name.n ? "not UTF-8" : "empty");
        if (!b->slots[i].deleted && !utf8_valid(l.value))
            return err_set(err, ERR_BAD_DATA, "the value of label %.*s is not UTF-8", STR_ARG(l.name));
    }
    if (job->cluster.member.name.n > 0)
        builder_set(b, job->cluster.member.name, job->cluster.member.value);
    size_t count, size = builder_size(b, &count);
    if (size > LABELS_MAX_BYTES || count > LABELS_MAX_COUNT)
        return err_set(err, ERR_LIMIT, "label set too large: %zu labels, %zu bytes", count, size);
    *out = builder_labels(b, &m->scratch);
    return true;
}

static char *target_copy_bytes(char **at, const void *p, size_t n)
{
    char *to = *at;
    if (n > 0)
        memcpy(to, p, n);
    *at += n;
    return to;
}

static uint64_t target_identity(struct str job, struct str url, struct str unix_socket, struct labels labels)
{
    struct buf b = {0};
    buf_add_str(&b, job);
    buf_add_char(&b, 0);
    buf_add_str(&b, url);
    buf_add_char(&b, 0);
    buf_add(&b, labels.p, labels.n);
    buf_add_str(&b, unix_socket); /* empty: the identity is that of a target without it */
    uint64_t id = hash_bytes(b.p, b.n);
    buf_free(&b);
    return id ? id : 1; /* 0 means "pushed" to a sink */
}

static struct target_discovered *target_discovered_new(struct labels labels)
{
    struct target_discovered *d = mem_alloc(sizeof *d + labels.n);
    refs_init(&d->refs);
    if (labels.n > 0)
        memcpy(d + 1, labels.p, labels.n);
    d->labels = (struct labels){(uint8_t *)(d + 1), labels.n, labels.count};
    return d;
}

/* A single allocation, but for the labels that may change: there may be ten thousand targets. */
static struct target *target_assemble(const struct target_settings *settings, struct str job, struct str url,
                                      struct str unix_socket, struct labels discovered, struct labels labels)
{
    size_t tables = target_labels_size(labels.count), texts = job.n + url.n + 1 + unix_socket.n + 1 + labels.n;
    struct target *t = mem_zalloc(sizeof *t + tables + texts);
    t->settings = *settings;
    refs_init(&t->refs);
    char *tables_at = (char *)(t + 1), *at = tables_at + tables;
    t->job_name = str_n(target_copy_bytes(&at, job.p, job.n), job.n);
    t->url = str_n(target_copy_bytes(&at, url.p, url.n), url.n);
    *at++ = 0;
    if (unix_socket.n > 0)
        t->unix_socket = target_copy_bytes(&at, unix_socket.p, unix_socket.n);
    *at++ = 0;
    t->discovered = target_discovered_new(discovered);
    target_labels_init(&t->labels, tables_at,
                       (struct labels){(uint8_t *)target_copy_bytes(&at, labels.p, labels.n), labels.n, labels.count});
    list_init(&t->kept);
    t->id = t->source = target_identity(job, url, unix_socket, labels);
    return t;
}

/* Xor, then multiplication by an odd constant, spreads similar ids. Only the id determines the lane; this hash
 * determines the time. */
static uint64_t target_offset_hash(uint64_t id, uint64_t seed) { return (id ^ seed) * 0x9e3779b97f4a7c15ull; }

static bool target_check_socket(struct str path, struct err *err)
{
    return path.n <= CLIENT_SOCKET_MAX ||
           err_set(err, ERR_BAD_DATA, "label " SOCKET ": the path has more than %d bytes", CLIENT_SOCKET_MAX);
}

static enum target_result target_finish(struct target_builder *m, const struct scrape_job *job, struct buf *url,
                                        struct target **out, struct err *err)
{
    struct target_settings settings;
    struct labels labels;
    struct str unix_socket = arena_str(&m->scratch, builder_get(&m->builder, STR(SOCKET)));
    if (!target_read_settings(&m->builder, job, &settings, err) || !target_make_url(m, job, url, err) ||
        !target_check_socket(unix_socket, err) || !finish_labels(m, job, &labels, err)) return TARGET_INVALID;
    struct labels shown = job->targets_kept.without_discovered ? (struct labels){0} : m->discovered;
    *out = target_assemble(&settings, job->job_name, buf_str(url), unix_socket, shown, labels);
    return TARGET_CREATED;
}

/* As in vmagent: its members, and those of another cluster, scrape the same target at other times. */
static uint64_t cluster_place(const struct scrape_job *job, const struct target *t)
{
    struct buf key = {0};
    struct labels_iter it = labels_iter(t->labels.wire);
    const char *separator = "";
    buf_printf(&key, "clusterName=%.*s, clusterMemberID=%u, ScrapeURL=%.*s, Labels={", STR_ARG(job->cluster.name),
               job->cluster.owner.member, STR_ARG(t->url));
    for (struct label l; labels_next(&it, &l); separator = ",") {
        buf_printf(&key, "%s%.*s=", separator, STR_ARG(l.name));
        labels_quote(&key, l.value);
    }
    buf_add_char(&key, '}');
    uint64_t place = hash_xxh64(key.p, key.n);
    buf_free(&key);
    return place;
}

static const struct cluster_span always = {INT64_MIN, INT64_MAX};

/* A member without a view scrapes nothing: it does not know what the others do. */
struct cluster_span target_span_of(const struct scrape_job *job, const struct target_environment *env, uint64_t key)
{
    return env->view ? cluster_view_span(env->view, key, env->now, job->cluster.replicas) : (struct cluster_span){0};
}

static struct cluster_span target_span(const struct target_builder *m, const struct scrape_job *job,
                                       const struct target_environment *env, struct buf *text, uint64_t *key)
{
    const struct scrape_cluster *c = &job->cluster;
    if (!c->by_view)
        return ownership_has(&c->owner, &m->builder, text) ? always : (struct cluster_span){0};
    if (!c->by_job)
        ownership_key(&(struct ownership_labels){c->key_labels, c->other_labels}, &m->builder, text);
    buf_add_str(text, job->job_name);
    *key = hash_bytes(text->p, text->n);
    return target_span_of(job, env, *key);
}

struct cluster_span target_lead_of(const struct scrape_job *job, const struct target_environment *env, uint64_t key)
{
    if (!job->cluster.hands_over)
        return always;
    if (env->view == NULL)
        return (struct cluster_span){0};
    if (!job->cluster.standby)
        return cluster_view_span(env->view, key, env->now, job->cluster.replicas);
    return cluster_view_lead(env->view, key, env->now, env->now - job->cluster.keep_ms, job->cluster.replicas);
}

/* In a cluster each member scrapes at the same times: the labels that their own configurations add do not count. */
static uint64_t target_place(const struct scrape_job *job, const struct target_environment *env, const struct target *t)
{
    return job->cluster.by_view ? target_offset_hash(t->id, 0)
         : scrape_cluster_active(&job->cluster) ? cluster_place(job, t) : target_offset_hash(t->id, env->seed);
}

enum target_result target_make(struct target_builder *m, const struct scrape_job *job, const struct target_environment *env,
                               const struct target_source *from, struct target **out, struct err *err)
{
    arena_release(&m->scratch, (struct arena_mark){0});
    m->builder.scratch = &m->scratch;
    target_start(m, job, from);
    if (!relabel_apply(relabel_rules(job->relabel_configs), &m->builder))
        return TARGET_DROPPED;
    struct buf url = {0};
    uint64_t key = 0;
    struct cluster_span span = target_span(m, job, env, &url, &key);
    buf_clear(&url);
    enum target_result made = span.from < span.until ? target_finish(m, job, &url, out, err) : TARGET_NOT_OWNED;
    buf_free(&url);
    m->key = key;
    if (made == TARGET_CREATED) {
        (*out)->place = target_place(job, env, *out);
        (*out)->key = key;
        (*out)->span = span;
        (*out)->lead = target_lead_of(job, env, key);
        (*out)->mechanism = from->mechanism;
    }
    return made;
}

void target_builder_free(struct target_builder *m)
{
    builder_free(&m->builder);
    arena_free(&m->scratch);
}

struct target *target_ref(struct target *t)
{
    refs_take(&t->refs);
    return t;
}

void target_unref(struct target *t)
{
    if (!refs_drop(&t->refs))
        return;
    if (t->series) {
        series_limit_clear(t->series);
        mem_free(t->series);
    }
    target_error_unref(t->live.last_error);
    target_discovered_unref(t->discovered);
    mem_free(t);
}

struct target_discovered *target_discovered_ref(struct target_discovered *d)
{
    refs_take(&d->refs);
    return d;
}

void target_discovered_unref(struct target_discovered *d)
{
    if (d && refs_drop(&d->refs))
        mem_free(d);
}

void target_take_discovered(struct target *t, struct target *again)
{
    struct target_discovered *before = t->discovered;
    if (labels_equal(before->labels, again->discovered->labels))
        return;
    t->discovered = again->discovered;
    again->discovered = before;
}

struct target_error *target_error_new(const char *text)
{
    size_t n = strlen(text) + 1;
    struct target_error *e = mem_alloc(sizeof *e + n);
    refs_init(&e->refs);
    memcpy(e->text, text, n);
    return e;
}

struct target_error *target_error_ref(struct target_error *e)
{
    if (e)
        refs_take(&e->refs);
    return e;
}

void target_error_unref(struct target_error *e)
{
    if (e && refs_drop(&e->refs))
        mem_free(e);
}
