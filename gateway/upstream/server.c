// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/server.h"

#include "base/hash.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/url.h"

#include <stdio.h>

#define API "api/v1"

static struct str without_slashes(struct str s)
{
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    for (; s.n > 0 && s.p[0] == '/'; s.n--)
        s.p++;
    return s;
}

/* Users set path_prefix: /api/v1, the path of their queries; remove it, since the API's path is added. */
static struct str server_normalize_prefix(struct str prefix)
{
    prefix = without_slashes(prefix);
    if (str_is(prefix, API) || str_ends(prefix, STR("/" API)))
        prefix.n -= sizeof API - 1;
    return without_slashes(prefix);
}

static struct str server_join_url(struct arena *a, struct str base, struct str path)
{
    struct buf out = {0};
    if (path.n > 0)
        url_join(&out, base, path);
    else
        buf_add_str(&out, base);
    struct str url = arena_str(a, buf_str(&out));
    buf_free(&out);
    return url;
}

static struct str server_url_redacted(struct arena *a, struct str url)
{
    struct buf out = {0};
    url_redact(&out, url);
    struct str shown = arena_str(a, buf_str(&out));
    buf_free(&out);
    return shown;
}

static struct str form_of(struct arena *a, const struct multimap *params)
{
    struct buf out = {0};
    for (size_t i = 0; i < params->n; i++)
        for (size_t k = 0; k < params->values[i].n; k++) {
            buf_add_char(&out, out.n ? '&' : '?');
            url_encode(&out, params->keys[i]);
            buf_add_char(&out, '=');
            url_encode(&out, params->values[i].items[k]);
        }
    struct str form = arena_str(a, buf_str(&out));
    buf_free(&out);
    return form;
}

static struct str_map join_maps(struct arena *a, const struct str_map *x, const struct str_map *y)
{
    size_t n = x->n + y->n;
    struct str_map out = {ARENA_ARRAY(a, struct str, n), ARENA_ARRAY(a, struct str, n), n};
    for (size_t i = 0; i < out.n; i++) {
        const struct str_map *from = i < x->n ? x : y;
        out.keys[i] = from->keys[i < x->n ? i : i - x->n];
        out.values[i] = from->values[i < x->n ? i : i - x->n];
    }
    return out;
}

/* The group's http_headers are sent with every request, including remote_read. */
static struct client_profile *make_profile(struct arena *a, const struct server_group_conf *conf, struct err *err)
{
    struct http_conf http = conf->client.http;
    const struct http_headers *more = &conf->group_http_headers;
    http.http_headers.values = join_maps(a, &conf->client.http.http_headers.values, &more->values);
    http.http_headers.files = join_maps(a, &conf->client.http.http_headers.files, &more->files);
    return http_conf_profile(&http, err);
}

static void add_pairs(struct buf *out, const struct str_map *map)
{
    for (size_t i = 0; i < map->n; i++) {
        buf_add_str(out, map->keys[i]);
        buf_add_char(out, '\0');
        buf_add_str(out, map->values[i]);
        buf_add_char(out, '\0');
    }
}

/* A header may select the tenant. */
static uint64_t server_key(const struct server *s, const struct server_group_conf *conf)
{
    struct buf all = {0};
    buf_add_str(&all, s->sent_url);
    buf_add_char(&all, '\0');
    add_pairs(&all, &conf->client.http.http_headers.values);
    add_pairs(&all, &conf->group_http_headers.values);
    uint64_t key = hash_bytes(all.p, all.n);
    buf_free(&all);
    return key;
}

/* The key that identifies a server over configurations: everything that its health depends on. */
static struct server_health *server_find_health(const struct server *s, const struct server_group_conf *conf)
{
    struct buf key = {0};
    buf_printf(&key, "%d %016llx ", conf->kind, (unsigned long long)client_profile_hash(s->profile));
    buf_add_str(&key, s->sent_url);
    buf_add_char(&key, '\0');
    buf_add_str(&key, s->read_url);
    struct server_health *health = server_health_get(s->registry, buf_str(&key));
    int unknown = SERVER_AUTO;
    atomic_compare_exchange_strong(&health->kind, &unknown, conf->kind);
    buf_free(&key);
    return health;
}

static bool server_on_this_host(const struct url *url)
{
    return str_is(url->host, "localhost") || str_is(url->host, "::1") || str_starts(url->host, STR("127."));
}

bool server_init(struct server *s, struct arena *a, const struct server_group_conf *conf,
                 struct server_registry *registry, struct str scheme, struct str address, struct str path_prefix,
                 struct err *err)
{
    struct url parsed;
    struct str host = arena_printf(a, "%.*s://%.*s", STR_ARG(scheme), STR_ARG(address));
    if (!url_parse(host, &parsed, err))
        return false; /* the error names the URL, without its password */
    *s = (struct server){.group = conf->name, .wants_read = conf->remote_read,
                         .wants_gzip = conf->compression == COMPRESSION_ON ||
                                       (conf->compression == COMPRESSION_AUTO && !server_on_this_host(&parsed)),
                         .kind_configured = conf->kind != SERVER_AUTO,
                         .timeout = conf->timeout, .dial_timeout = conf->client.dial_timeout};
    s->url = server_join_url(a, host, server_normalize_prefix(path_prefix));
    s->read_url = server_join_url(a, s->url, conf->remote_read_path);
    s->params = form_of(a, &conf->query_params);
    s->shown = server_url_redacted(a, host);
    s->shown_url = server_url_redacted(a, s->url);
    s->sent_url = arena_printf(a, "%.*s%.*s", STR_ARG(s->url), STR_ARG(s->params));
    s->slot = (uint32_t)hash_bytes(host.p, host.n);
    s->key = server_key(s, conf);
    s->profile = make_profile(a, conf, err);
    if (s->profile == NULL)
        return false;
    s->registry = registry;
    s->health = server_find_health(s, conf);
    s->traffic = server_traffic_get(registry, s->group, s->shown_url);
    return true;
}

void server_free(struct server *s)
{
    client_profile_unref(s->profile);
    server_health_put(s->registry, s->health);
    server_traffic_put(s->registry, s->traffic);
}

enum server_state server_state(struct server *s)
{
    if (!atomic_load(&s->health->answered))
        return SERVER_UNKNOWN;
    return breaker_failing(&s->health->breaker) ? SERVER_DOWN : SERVER_UP;
}

static const char *server_state_name(enum server_state state)
{
    static const char *const names[] = {
        [SERVER_UNKNOWN] = "unknown", [SERVER_UP] = "up", [SERVER_DOWN] = "down"};
    return names[state];
}

/* One line when a server becomes unreachable and one when it is reachable again, by the first worker to notice; log.c
 * limits them if the state flaps. */
static void log_unreachable(struct server *s, const char *why)
{
    int64_t none = 0;
    if (!atomic_compare_exchange_strong(&s->health->failing_since, &none, clock_wall_ms()))
        return;
    log_warn("upstream", "cannot reach server of a server group; reading from its replicas and retrying with later "
             "queries", LOG_STR("group", s->group), LOG_STR("server", s->shown_url), "err", why);
}

/* After an outage another program may be listening at the server's address. */
static void server_forget(struct server *s)
{
    if (!s->kind_configured)
        atomic_store(&s->health->kind, SERVER_AUTO);
    atomic_store(&s->health->version, 0);
    atomic_store(&s->health->lookback_until, 0);
    atomic_store(&s->health->cannot_read, false);
    atomic_store(&s->health->blocks, BLOCKS_UNKNOWN);
    mutex_lock(&s->health->mutex);
    s->health->external_until = 0;
    mutex_unlock(&s->health->mutex);
}

static void server_reached(struct server *s)
{
    int64_t since = atomic_load_explicit(&s->health->failing_since, memory_order_relaxed);
    if (since == 0 || !atomic_compare_exchange_strong(&s->health->failing_since, &since, 0))
        return;
    server_forget(s);
    int64_t ms = clock_wall_ms() - since;
    log_info("upstream", "server of a server group is reachable again", LOG_STR("group", s->group),
             LOG_STR("server", s->shown_url), LOG_DURATION("failed_for", ms > 0 ? ms : 0));
}

void server_note_clock(struct server *s, const struct client_reply *reply)
{
    struct server_clock *clock = &s->health->clock;
    int64_t sent = clock_wall_ms() - reply->total_ms;
    if (reply->status != 0 && reply->date == 0 && server_clock_wrong(clock))
        server_clock_forget(clock);
    if (reply->status == 0 || reply->date <= 0 ||
        !server_clock_take(clock, reply->date, sent, sent + reply->first_byte_ms, clock_mono_ms()))
        return;
    if (server_clock_wrong(clock))
        log_warn("upstream", "the clock of a server of a server group differs from this host's; reading from replicas "
                 "whose clocks do not, except if they have copies of one stream", LOG_STR("group", s->group),
                 LOG_STR("server", s->shown_url), LOG_DURATION("ahead", atomic_load(&clock->off)));
    else
        log_info("upstream", "the clock of a server of a server group is right again", LOG_STR("group", s->group),
                 LOG_STR("server", s->shown_url));
}

void server_asked(struct server *s) { atomic_store(&s->health->asked_at, clock_mono_ms()); }

void server_succeeded(struct server *s, int64_t took_ms, uint64_t bytes)
{
    int64_t fastest = atomic_load(&s->traffic->fastest_ms);
    while ((fastest == 0 || took_ms + 1 < fastest) &&
           !atomic_compare_exchange_weak(&s->traffic->fastest_ms, &fastest, took_ms + 1)) {
    }
    breaker_succeed(&s->health->breaker, clock_mono_ms());
    if (!breaker_failing(&s->health->breaker))
        server_reached(s);
    atomic_store(&s->health->last_ok_at, clock_wall_ms());
    atomic_store(&s->health->answered, true);
    atomic_fetch_add(&s->traffic->requests, 1);
    atomic_fetch_add(&s->traffic->bytes, bytes);
    atomic_fetch_add(&s->traffic->nanoseconds, (uint64_t)took_ms * 1000000);
}

/* A proxy in front of the server reports by 502 and 504 that it cannot reach it. */
static bool server_was_reached(const struct client_reply *reply, bool damaged)
{
    bool by_proxy = reply->status == 502 || reply->status == 504;
    return (reply->status != 0 && !by_proxy) || damaged || reply->err.kind == ERR_TOO_LARGE;
}

static void server_note_error(struct server *s, const char *why)
{
    atomic_fetch_add(&s->traffic->requests, 1);
    atomic_fetch_add(&s->traffic->failures, 1);
    atomic_store(&s->health->last_error_at, clock_wall_ms());
    mutex_lock(&s->health->mutex);
    snprintf(s->health->last_error, sizeof s->health->last_error, "%s", why);
    mutex_unlock(&s->health->mutex);
}

void server_failed(struct server *s, const struct client_reply *reply, bool damaged, const char *why)
{
    server_note_error(s, why);
    if (server_was_reached(reply, damaged)) {
        breaker_succeed(&s->health->breaker, clock_mono_ms());
        if (!breaker_failing(&s->health->breaker))
            server_reached(s);
    } else {
        log_unreachable(s, why);
        breaker_fail(&s->health->breaker, clock_mono_ms());
        if (reply->err.kind == ERR_GATEWAY_TIME)
            breaker_suspect(&s->health->breaker); /* the query may have been too large, or the server hangs */
    }
    atomic_store(&s->health->answered, true); /* after counting failures: not shown as up in between */
}

void server_check_failed(struct server *s, unsigned call, bool late, const char *why)
{
    server_note_error(s, why);
    atomic_fetch_add(&s->traffic->hung, late);
    if (call == SERVER_ITSELF)
        log_unreachable(s, why);
    breaker_trip(server_breaker(s, call), clock_mono_ms(), late);
    atomic_store(&s->health->answered, true);
}

bool server_serves(const struct server *s, unsigned calls)
{
    bool serves = server_ready(s);
    for (unsigned call = 0; call < LATENCY_CALLS; call++)
        serves = serves && (!(calls >> call & 1) || breaker_closed(server_breaker(s, call)));
    return serves;
}

bool server_hangs(const struct server *s, unsigned calls)
{
    bool hangs = breaker_hangs(server_breaker(s, SERVER_ITSELF));
    for (unsigned call = 0; call < LATENCY_CALLS; call++)
        hangs = hangs || ((calls >> call & 1) && breaker_hangs(server_breaker(s, call)));
    return hangs;
}

enum breaker_state server_breaker_state(const struct server *s)
{
    int64_t now = clock_mono_ms();
    enum breaker_state worst = BREAKER_CLOSED;
    for (unsigned call = 0; call <= SERVER_ITSELF; call++) {
        enum breaker_state state = breaker_state(server_breaker(s, call), now);
        worst = state > worst ? state : worst;
    }
    return worst;
}

void server_log_loop(const struct server *s)
{
    log_error("upstream", "server of a server group leads back to this sluice; queries to it fail with 508, remove it "
              "from server_groups", LOG_STR("group", s->group), LOG_STR("server", s->shown_url));
}

bool server_external(struct server *s, struct arena *a, struct labels *out)
{
    mutex_lock(&s->health->mutex);
    bool known = clock_mono_ms() < s->health->external_until;
    struct str bytes = arena_str(a, buf_str(&s->health->external));
    mutex_unlock(&s->health->mutex);
    *out = (struct labels){0};
    return known && (bytes.n == 0 || labels_check((const uint8_t *)bytes.p, bytes.n, out));
}

void server_set_external(struct server *s, struct labels labels)
{
    mutex_lock(&s->health->mutex);
    buf_clear(&s->health->external);
    buf_add(&s->health->external, labels.p, labels.n);
    s->health->external_until = clock_mono_ms() + SERVER_EXTERNAL_MS;
    mutex_unlock(&s->health->mutex);
}

enum server_blocks server_blocks(const struct server *s, int64_t window)
{
    const struct server_health *h = s->health;
    int64_t now = clock_mono_ms();
    enum server_blocks blocks = (enum server_blocks)atomic_load(&h->blocks);
    if (window <= atomic_load(&h->wasteful_window) && now < atomic_load(&h->wasteful_until))
        return BLOCKS_REFUSED;
    return now < atomic_load(&h->blocks_until) ? blocks : BLOCKS_UNKNOWN;
}

void server_set_blocks(struct server *s, enum server_blocks blocks)
{
    atomic_store(&s->health->blocks, (int)blocks);
    atomic_store(&s->health->blocks_until, clock_mono_ms() + SERVER_BLOCKS_MS);
}

void server_set_wasteful(struct server *s, int64_t window)
{
    atomic_store(&s->health->wasteful_window, window);
    atomic_store(&s->health->wasteful_until, clock_mono_ms() + SERVER_WASTEFUL_MS);
}

bool server_lookback(const struct server *s, int64_t *ms)
{
    *ms = atomic_load(&s->health->lookback);
    return clock_mono_ms() < atomic_load(&s->health->lookback_until);
}

bool server_may_have_histograms(const struct server *s)
{
    return atomic_load(&s->health->lookback_until) == 0 || atomic_load(&s->health->histograms);
}

void server_set_lookback(struct server *s, int64_t ms, bool histograms)
{
    atomic_store(&s->health->lookback, ms);
    atomic_store(&s->health->histograms, histograms);
    atomic_store(&s->health->lookback_until, clock_mono_ms() + SERVER_LOOKBACK_MS);
}

enum { USELESS_MS = 600000 };

static void server_remember_useless(const struct server *s, uint64_t hash)
{
    atomic_store(&s->health->useless[hash % SERVER_TEXTS].until, clock_mono_ms() + USELESS_MS);
    atomic_store(&s->health->useless[hash % SERVER_TEXTS].text, hash);
}

static bool server_remembers_useless(const struct server *s, uint64_t hash)
{
    return atomic_load(&s->health->useless[hash % SERVER_TEXTS].text) == hash &&
           clock_mono_ms() < atomic_load(&s->health->useless[hash % SERVER_TEXTS].until);
}

void server_saw_histograms(const struct server *s, struct str text)
{
    server_remember_useless(s, hash_bytes(text.p, text.n));
}

bool server_has_histograms(const struct server *s, struct str text)
{
    return text.n > 0 && server_remembers_useless(s, hash_bytes(text.p, text.n));
}

/* With the zero at its end, which no metric has. */
static uint64_t server_function_hash(const char *name) { return hash_bytes(name, strlen(name) + 1); }

void server_rejected_function(const struct server *s, const char *name)
{
    server_remember_useless(s, server_function_hash(name));
}

bool server_rejects_function(const struct server *s, const char *name)
{
    return server_remembers_useless(s, server_function_hash(name));
}

void server_blame(const struct server *s, struct err *err)
{
    err_wrap(err, "%.*s", STR_ARG(s->shown));
    err_wrap(err, "server group \"%.*s\"", STR_ARG(s->group));
}

const char *server_kind_name(enum server_kind kind)
{
    static const char *const names[] = {[SERVER_AUTO] = "unknown", [SERVER_PROMETHEUS] = "prometheus",
                                        [SERVER_VICTORIAMETRICS] = "victoriametrics"};
    return names[kind];
}

void server_show(struct server *s, struct arena *a, struct server_status *out)
{
    *out = (struct server_status){
        .group = arena_str(a, s->group), .url = arena_str(a, s->shown_url),
        .state = server_state_name(server_state(s)),
        .breaker = breaker_state_name(server_breaker_state(s)),
        .last_error_at = atomic_load(&s->health->last_error_at), .last_ok_at = atomic_load(&s->health->last_ok_at),
        .requests = atomic_load(&s->traffic->requests), .failures = atomic_load(&s->traffic->failures),
        .bytes = atomic_load(&s->traffic->bytes),
        .samples = atomic_load(&s->traffic->samples), .seconds = (double)atomic_load(&s->traffic->nanoseconds) / 1e9,
        .kind = server_kind_name(server_kind(s))};
    mutex_lock(&s->health->mutex);
    out->last_error = arena_str(a, str_of(s->health->last_error));
    mutex_unlock(&s->health->mutex);
}
