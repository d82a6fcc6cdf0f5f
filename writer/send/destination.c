// SPDX-License-Identifier: Apache-2.0
/* A destination's settings, identity, generations of shards and counters. */
#include "writer/send/destination.h"

#include "base/hash.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "writer/send/shard.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

/* --- settings ----------------------------------------------------------------------------------------------------- */

struct dest_settings *destination_settings(const struct destination_conf *c, struct err *err)
{
    struct http_conf http = c->http;
    struct buf url = {0};
    struct url parts;
    enum place_lookup lookup = places_of_url(c->url, c->round_robin_dns, &url);
    char *host = lookup == PLACES_ADDRESSES && url_parse(buf_str(&url), &parts, NULL) ? str_dup(parts.host) : NULL;
    if (host && http.tls.server_name.n == 0) /* requests are sent to addresses */
        http.tls.server_name = str_of(host);
    struct client_profile *profile = http_conf_profile(&http, err);
    mem_free(host);
    if (profile == NULL) {
        buf_free(&url);
        err_wrap(err, "remote_write %.*s", STR_ARG(c->name));
        return NULL;
    }
    char *url_z = str_dup(lookup != PLACES_NONE ? buf_str(&url) : c->url);
    buf_free(&url);
    struct dest_settings s = {
        .url = url_z, .lookup = lookup, .profile = profile, .timeout = c->remote_timeout,
        .min_backoff = c->queue.min_backoff, .max_backoff = c->queue.max_backoff,
        .age_limit = c->queue.sample_age_limit, .protocol = (enum wire_protocol)c->protocol,
        .message = c->protobuf_message == WRITE_MESSAGE_2 ? MESSAGE_WRITE_2 : MESSAGE_WRITE_1,
        .durability = (enum durability)c->durability, .on_full = (enum queue_full)c->on_full,
        .max_disk_bytes = (uint64_t)c->max_disk_bytes, .max_memory_bytes = (size_t)c->max_memory_bytes,
        .follow_redirects = c->http.follow_redirects, .drops_429 = !c->queue.retry_on_http_429,
        .drain = (enum drain_order)c->drain, .drain_rate = (uint64_t)c->drain_rate, .rate_limit = (uint64_t)c->rate_limit};
    return mem_dup(&s, sizeof s);
}

struct dest_settings *dest_settings_copy(const struct dest_settings *s)
{
    struct dest_settings *copy = mem_dup(s, sizeof *s);
    copy->url = mem_strdup(s->url);
    copy->profile = client_profile_ref(s->profile);
    return copy;
}

void dest_settings_free(struct dest_settings *s)
{
    client_profile_unref(s->profile);
    mem_free(s->url);
    mem_free(s);
}

/* --- identity ----------------------------------------------------------------------------------------------------- */

/* Name of the queue's directory: the configured name, else the URL without query and fragment. Not the position in the
 * list: reordering must not orphan or swap queues. The hash distinguishes names that differ only in characters not
 * allowed in the directory name. */
char *destination_identity(const struct destination_conf *c)
{
    struct url u = {0};
    struct buf key = {0}, name = {0};
    if (c->queue_name.n > 0)
        return str_dup(c->queue_name);
    if (c->name.n > 0)
        buf_printf(&key, "name %.*s", STR_ARG(c->name));
    else if (url_parse(c->url, &u, NULL))
        buf_printf(&key, "url %.*s://%.*s:%.*s%.*s", STR_ARG(u.scheme), STR_ARG(u.host), STR_ARG(u.port),
                   STR_ARG(u.path));
    struct str shown = c->name.n > 0 ? c->name : u.host;
    for (size_t i = 0; i < shown.n && i < 40; i++) {
        char ch = shown.p[i];
        buf_add_char(&name, isalnum((unsigned char)ch) || ch == '-' || (ch == '.' && i > 0) ? ch : '_');
    }
    buf_printf(&name, "-%016llx", (unsigned long long)hash_bytes(key.p, key.n));
    char *identity = str_dup(buf_str(&name));
    buf_free(&key);
    buf_free(&name);
    return identity;
}

static char *destination_url_redacted(struct str url)
{
    struct buf shown = {0};
    url_redact(&shown, url);
    char *copy = str_dup(buf_str(&shown));
    buf_free(&shown);
    return copy;
}

char *writer_destination_name(const struct destination_conf *c, size_t position, bool show_urls)
{
    char text[64];
    if (c->name.n > 0)
        return str_dup(c->name);
    if (show_urls)
        return destination_url_redacted(c->url);
    snprintf(text, sizeof text, "%zu:" SECRET_URL, position + 1);
    return mem_strdup(text);
}

void destination_set_name(struct destination *d, const struct destination_conf *c, size_t position, bool show_urls)
{
    char *name = writer_destination_name(c, position, show_urls), *before = d->name;
    mem_free(d->shown_url);
    d->shown_url = show_urls ? destination_url_redacted(c->url) : mem_strdup(SECRET_URL);
    if (before && strcmp(before, name) == 0) {
        mem_free(name);
        return;
    }
    atomic_store(&d->name, name);
    if (before == NULL)
        return;
    mem_grow(&d->old_names, &d->_cap_old_names, d->n_old_names + 1, sizeof *d->old_names);
    d->old_names[d->n_old_names++] = before;
}

/* --- open and close ----------------------------------------------------------------------------------------------- */

/* The queue's array moves when it grows: a pointer into it is valid until the next change. */
static bool destination_queue_has(const struct destination *d, const struct queue_generation *g)
{
    const struct queue_generation *found;
    size_t n = queue_generations(d->queue, &found);
    return (uintptr_t)g >= (uintptr_t)found && (uintptr_t)g < (uintptr_t)(found + n);
}

/* Other threads may be reading the array. */
static void destination_extend_generations(struct destination *d)
{
    struct destination_generation **before = d->generations;
    d->_cap_generations = d->_cap_generations > 0 ? 2 * d->_cap_generations : 4;
    struct destination_generation **longer = mem_zalloc(d->_cap_generations * sizeof *longer);
    for (size_t i = 0; i < d->n_generations; i++)
        longer[i] = before[i];
    atomic_store(&d->generations, longer);
    if (before == NULL)
        return;
    mem_grow(&d->_old_generations, &d->_cap_old_generations, d->_n_old_generations + 1, sizeof *d->_old_generations);
    d->_old_generations[d->_n_old_generations++] = before;
}

void destination_add_generation(struct destination *d, const struct queue_generation *from)
{
    assert(destination_queue_has(d, from));
    struct destination_generation *g = mem_zalloc(sizeof *g);
    g->number = from->number;
    g->n_shards = from->n_shards;
    g->shards = mem_zalloc(from->n_shards * sizeof(struct shard *));
    atomic_init(&g->undrained, from->n_shards);
    for (unsigned i = 0; i < from->n_shards; i++)
        g->shards[i] = shard_new(d, g, d->n_generations, i, from->shards[i]);
    if (d->n_generations == d->_cap_generations)
        destination_extend_generations(d);
    d->generations[d->n_generations++] = g;
    atomic_store(&d->published, d->n_generations);
    drain_end_request(&d->drain);
}

struct destination_generation *destination_generation(struct destination *d, size_t at)
{
    return atomic_load(&d->generations)[at];
}

struct destination_generation *destination_newest(struct destination *d)
{
    return destination_generation(d, atomic_load(&d->published) - 1);
}

/* Every shard may keep a block or two in memory, however small the limit. */
static uint64_t destination_memory(const struct destination_conf *c)
{
    uint64_t least = (uint64_t)c->queue.shards * SHARD_MIN_MEMORY, set = (uint64_t)c->max_memory_bytes;
    return set > least ? set : least;
}

struct queue_limits destination_limits(const struct destination_conf *c)
{
    return (struct queue_limits){.max_bytes = (uint64_t)c->max_disk_bytes,
                                 .max_memory = destination_memory(c),
                                 .max_quarantine = c->durability == DURABILITY_MEMORY ? 0
                                                                                     : (uint64_t)c->max_quarantine_bytes,
                                 .sync_writes = c->durability == DURABILITY_ALWAYS,
                                 .keep_all = c->on_full == FULL_PUSH_BACK};
}

struct destination *destination_new(const struct destination_conf *c, size_t position, const struct writer_env *env,
                                    struct queue *queue)
{
    struct destination *d = mem_zalloc(sizeof *d);
    d->identity = destination_identity(c);
    destination_set_name(d, c, position, env->show_urls);
    d->lanes = env->lanes;
    d->n_lanes = env->n_lanes;
    d->process_id = env->id;
    drain_begin(&d->drain, env);
    d->per_lane = mem_zalloc(env->n_lanes * sizeof *d->per_lane);
    mutex_init(&d->lock, RANK_DESTINATION);
    d->outage.period = OUTAGE_PERIOD;
    atomic_init(&d->zstd, c->protocol != PROTOCOL_SNAPPY);
    d->queue = queue;
    const struct queue_generation *found;
    size_t n = queue_generations(d->queue, &found);
    for (size_t i = 0; i < n; i++)
        destination_add_generation(d, &found[i]);
    return d;
}

void destination_log_backlog(const struct destination *d)
{
    static const char msg[] = "queue has undelivered samples; sending them first";
    struct queue_backlog b = queue_backlog(d->queue);
    if (b.blocks > 0 && b.oldest > 0)
        log_info("remote_write", msg, "name", d->name, LOG_U64("blocks", b.blocks), LOG_U64("samples", b.samples),
                 LOG_U64("bytes", b.bytes), LOG_TIME("oldest", b.oldest));
    else if (b.blocks > 0) /* of vmagent: times and samples are known when they are read */
        log_info("remote_write", msg, "name", d->name, LOG_U64("blocks", b.blocks), LOG_U64("bytes", b.bytes));
}

bool destination_grow(struct destination *d, unsigned shards, const struct queue_generation **grown, struct err *err)
{
    *grown = NULL;
    bool requested = drain_requested(&d->drain);
    bool same = d->generations[d->n_generations - 1]->n_shards == shards;
    if (same && !requested)
        return true;
    *grown = queue_grow(d->queue, shards, err);
    if (*grown == NULL)
        drain_end_request(&d->drain);
    if (*grown == NULL && same) { /* the next accepted block requests it again */
        log_warn("remote_write", "cannot send new samples first; sending them after the backlog", "name", d->name, "err",
                 err->text);
        return true;
    }
    return *grown != NULL;
}

/* The shards belong to lanes and have been freed by them. */
void destination_close(struct destination *d)
{
    drain_end(&d->drain);
    if (d->queue)
        queue_close(d->queue);
    for (size_t i = 0; i < d->n_generations; i++) {
        mem_free(d->generations[i]->shards);
        mem_free(d->generations[i]);
    }
    mem_free(d->generations);
    while (d->_n_old_generations > 0)
        mem_free(d->_old_generations[--d->_n_old_generations]);
    mem_free(d->_old_generations);
    mem_free(d->per_lane);
    mem_free(d->name);
    mem_free(d->identity);
    mem_free(d->shown_url);
    mem_free(d->carried);
    while (d->n_old_names > 0)
        mem_free(d->old_names[--d->n_old_names]);
    mem_free(d->old_names);
    mutex_free(&d->lock);
    mem_free(d);
}

int64_t destination_oldest_pending(struct destination *d)
{
    int64_t oldest = 0;
    for (size_t g = 0, n = atomic_load(&d->published); g < n; g++) {
        const struct destination_generation *part = destination_generation(d, g);
        for (unsigned i = 0; i < part->n_shards; i++) {
            int64_t since = atomic_load_explicit(&part->shards[i]->since, memory_order_relaxed);
            if (since > 0 && (oldest == 0 || since < oldest))
                oldest = since;
        }
    }
    return oldest;
}

/* --- counters ----------------------------------------------------------------------------------------------------- */

void destination_count_dropped(struct destination *d, const struct block *b, enum drop_reason reason)
{
    atomic_fetch_add_explicit(&d->dropped_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->dropped_samples[reason], b->n_samples, memory_order_relaxed);
}

uint64_t destination_dropped(const struct destination *d)
{
    uint64_t n = queue_stats(d->queue)->samples_dropped;
    for (int i = 0; i < DROP_REASONS; i++)
        n += atomic_load_explicit(&d->dropped_samples[i], memory_order_relaxed);
    return n;
}

void destination_note_status(struct destination *d, int status)
{
    if (status >= 200 && status < 300)
        status = 200; /* vmagent's dashboards expect one value, 2XX */
    mutex_lock(&d->lock);
    size_t i = 0, n = atomic_load_explicit(&d->n_statuses, memory_order_relaxed);
    while (i < n && atomic_load_explicit(&d->statuses[i].status, memory_order_relaxed) != status)
        i++;
    if (i == n && i < LEN(d->statuses)) {
        atomic_store_explicit(&d->statuses[i].status, status, memory_order_relaxed);
        atomic_store_explicit(&d->n_statuses, ++n, memory_order_release);
    }
    if (i < n)
        atomic_fetch_add_explicit(&d->statuses[i].n, 1, memory_order_relaxed);
    mutex_unlock(&d->lock);
}

void destination_note_origins(struct destination *d, struct str via, int64_t now)
{
    mutex_lock(&d->lock);
    origins_note(&d->origins, via, now);
    mutex_unlock(&d->lock);
}

void destination_via_header(struct destination *d, int64_t now, struct buf *out)
{
    if (d->process_id == NULL)
        return;
    mutex_lock(&d->lock);
    origins_header(&d->origins, d->process_id, now, out);
    mutex_unlock(&d->lock);
}

void destination_note_error(struct destination *d, int64_t now, const char *text)
{
    mutex_lock(&d->lock);
    last_error_set(&d->last_error, now, text);
    mutex_unlock(&d->lock);
}
