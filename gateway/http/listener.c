// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/listener.h"

#include "base/text/duration.h"
#include "gateway/http/http_auth.h"
#include "gateway/http/http_tls.h"

/* The bucket is full at _full; each request takes an interval. */
bool http_rate_take(struct http_rate *r)
{
    if (r->interval == 0)
        return true;
    int64_t now = clock_mono_ns(), full = atomic_load(&r->_full), next;
    do {
        next = (full > now ? full : now) + r->interval;
        if (next - now > r->interval * r->burst)
            return false;
    } while (!atomic_compare_exchange_weak(&r->_full, &full, next));
    return true;
}

struct http_access *http_access_new(struct http_tls *tls, struct http_users *users,
                                    const struct access_header *headers, size_t n_headers)
{
    struct http_access *a = mem_zalloc(sizeof *a);
    *a = (struct http_access){.tls = tls, .users = users, .n_headers = n_headers,
                              .headers = mem_zalloc((n_headers + 1) * sizeof *headers)};
    refs_init(&a->refs);
    for (size_t i = 0; i < n_headers; i++)
        a->headers[i] = (struct access_header){mem_strdup(headers[i].name), mem_strdup(headers[i].value)};
    return a;
}

struct http_access *http_access_ref(struct http_access *a)
{
    if (a)
        refs_take(&a->refs);
    return a;
}

void http_access_unref(struct http_access *a)
{
    if (a == NULL || !refs_drop(&a->refs))
        return;
    for (size_t i = 0; i < a->n_headers; i++) {
        mem_free(a->headers[i].name);
        mem_free(a->headers[i].value);
    }
    mem_free(a->headers);
    http_tls_unref(a->tls);
    http_users_unref(a->users);
    mem_free(a);
}

void listener_init(struct listener *l, struct str address)
{
    *l = (struct listener){.address = address, .flag = "--web.listen-address"};
    mutex_init(&l->_lock, RANK_LEAF);
}

void listener_free(struct listener *l)
{
    http_access_unref(l->_access);
    mutex_free(&l->_lock);
}

struct http_access *listener_access(struct listener *l)
{
    mutex_lock(&l->_lock);
    struct http_access *a = http_access_ref(l->_access);
    mutex_unlock(&l->_lock);
    return a;
}

void listener_set_access(struct listener *l, struct http_access *a)
{
    mutex_lock(&l->_lock);
    struct http_access *before = l->_access;
    l->_access = a;
    mutex_unlock(&l->_lock);
    http_access_unref(before);
}
