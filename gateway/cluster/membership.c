// SPDX-License-Identifier: Apache-2.0
/* One request at a time; its response says what the next one is (enum membership_step). */
#include "gateway/cluster/membership.h"

#include "base/etcd/etcd_txn.h"
#include "base/telemetry/log.h"


enum { MEMBERSHIP_RETRY_MS = 1000, RENEWALS_A_LEASE = 3 };
enum membership_step {
    STEP_GRANT,    /* a lease */
    STEP_CREATE,   /* the key, if it does not exist */
    STEP_REPLACE,  /* the key, which is this process's, of a lost lease or response */
    STEP_RENEW,    /* the lease, RENEWALS_A_LEASE times in its length */
    STEP_UPDATE,   /* the value, if the key still has this lease */
    STEP_REVOKE,   /* the lease, and with it the key */
};

struct membership {
    struct membership_conf conf;
    char *key;
    struct loop *loop;
    struct loop_timer due;
    struct etcd_request request;
    enum membership_step step;
    uint64_t lease;              /* 0: none */
    int64_t sent, renewed;       /* loop_mono: of the request in progress, and of the last one that renewed the lease */
    bool registered, outdated;   /* etcd has another value than it should */
    bool sends_value;            /* the request in progress has the newest value */
    char *error;
    void (*left)(void *arg);
    void *left_arg;
};

static void membership_next(struct membership *m);

static void membership_set_error(struct membership *m, const char *text)
{
    bool news = text && (m->error == NULL || strcmp(m->error, text) != 0);
    if (news)
        log_warn("cluster", "this member cannot register in etcd; retrying", "key", m->key, "err", text);
    mem_free(m->error);
    m->error = text ? mem_strdup(text) : NULL;
}

/* ---- requests ---- */

static void write_put(struct membership *m, struct json_writer *w)
{
    struct buf value = {0};
    m->conf.write(m->conf.arg, &value);
    m->sends_value = true;
    etcd_begin_operation(w, "success", "request_put", str_of(m->key));
    etcd_put_bytes(w, "value", buf_str(&value));
    etcd_put_u64(w, "lease", m->lease);
    etcd_end_operation(w);
    buf_free(&value);
}

/* Puts the value if the condition holds; otherwise the response has the key. NULL: in any case. */
static void write_transaction(struct membership *m, struct json_writer *w, const struct etcd_condition *c)
{
    json_begin_object(w);
    if (c)
        etcd_put_condition(w, c);
    write_put(m, w);
    etcd_begin_operation(w, "failure", "request_range", str_of(m->key));
    etcd_end_operation(w);
    json_end_object(w);
}

static const char *write_step(struct membership *m, struct json_writer *w)
{
    const struct etcd_condition absent = {.key = str_of(m->key), .target = ETCD_CREATE_REVISION};
    const struct etcd_condition leased = {.key = str_of(m->key), .target = ETCD_LEASE, .value = m->lease};
    switch (m->step) {
    case STEP_CREATE: write_transaction(m, w, &absent); return ETCD_TXN_PATH;
    case STEP_UPDATE: write_transaction(m, w, &leased); return ETCD_TXN_PATH;
    case STEP_REPLACE: write_transaction(m, w, NULL); return ETCD_TXN_PATH;
    case STEP_GRANT:
        json_begin_object(w);
        json_field_i64(w, "TTL", (m->conf.lease_ms + 999) / 1000);
        json_end_object(w);
        return "/v3/lease/grant";
    case STEP_RENEW:
    case STEP_REVOKE: break;
    }
    json_begin_object(w);
    etcd_put_u64(w, "ID", m->lease);
    json_end_object(w);
    return m->step == STEP_RENEW ? "/v3/lease/keepalive" : "/v3/lease/revoke";
}

/* ---- responses ---- */

static void membership_lose(struct membership *m)
{
    if (m->registered)
        log_warn("cluster", "this member's lease in etcd has ended; registering again", "key", m->key);
    m->lease = 0;
    m->renewed = 0;
    m->registered = false;
    m->step = STEP_GRANT;
}

static void membership_take_transaction(struct membership *m, const struct json_value *doc, struct err *err)
{
    const struct json_value *succeeded = json_value_get(doc, "succeeded");
    struct buf value = {0};
    if (succeeded && succeeded->kind == JSON_TRUE) {
        if (!m->registered)
            log_info("cluster", "this member is registered in etcd", "key", m->key);
        m->registered = true;
        m->outdated = m->outdated && !m->sends_value;
        m->step = STEP_RENEW;
        return;
    }
    if (m->step == STEP_UPDATE) { /* the key is gone, or has another lease */
        membership_lose(m);
        return;
    }
    const struct json_value *range = json_value_get(json_value_items(json_value_get(doc, "responses")), "response_range");
    const struct json_value *kv = json_value_items(json_value_get(range, "kvs"));
    if (kv == NULL) /* both are one transaction: the key cannot be gone since */
        err_set(err, ERR_BAD_GATEWAY, "etcd neither wrote the key nor has it");
    else if (etcd_bytes(kv, "value", &value) && m->conf.is_own(m->conf.arg, buf_str(&value)))
        m->step = STEP_REPLACE;
    else
        err_set(err, ERR_UNAVAILABLE, "another process has this id; waiting until its lease ends, at most %lld s if it "
                "has crashed. Give each member another id", (long long)(m->conf.lease_ms / 1000));
    buf_free(&value);
}

static void membership_take(struct membership *m, const struct json_value *doc, struct err *err)
{
    switch (m->step) {
    case STEP_GRANT:
        m->lease = etcd_u64(doc, "ID");
        if (m->lease == 0) {
            err_set(err, ERR_BAD_GATEWAY, "etcd granted no lease");
            return;
        }
        m->renewed = m->sent;
        m->step = STEP_CREATE;
        return;
    case STEP_RENEW:
        if (etcd_u64(json_value_get(doc, "result"), "TTL") > 0)
            m->renewed = m->sent;
        else
            membership_lose(m);
        return;
    case STEP_CREATE:
    case STEP_REPLACE:
    case STEP_UPDATE: membership_take_transaction(m, doc, err); return;
    case STEP_REVOKE: m->registered = false; return;
    }
}

static void membership_end_leave(struct membership *m)
{
    void (*left)(void *arg) = m->left;
    m->left = NULL;
    left(m->left_arg);
}

static void membership_done(struct etcd_request *r, const struct etcd_response *response)
{
    struct membership *m = CONTAINER(r, struct membership, request);
    struct err err = {0};
    if (response->doc)
        membership_take(m, response->doc, &err);
    else
        err = response->err;
    if (m->step == STEP_REVOKE) {
        membership_end_leave(m);
        return;
    }
    if (response->code == ETCD_NOT_FOUND) /* the lease */
        membership_lose(m);
    membership_set_error(m, err.kind != ERR_NONE ? err.text : NULL);
    if (err.kind != ERR_NONE)
        loop_timer_in(m->loop, &m->due, MEMBERSHIP_RETRY_MS);
    else
        membership_next(m);
    m->conf.changed(m->conf.arg);
}

/* ---- steps ---- */

static void membership_send(struct membership *m)
{
    struct buf body = {0};
    struct json_writer w = {.out = &body};
    loop_timer_stop(m->loop, &m->due);
    m->sent = loop_mono(m->loop);
    m->sends_value = false;
    const char *path = write_step(m, &w);
    m->request.done = membership_done;
    etcd_send(m->conf.etcd, &m->request, path, buf_str(&body));
    buf_free(&body);
}

static int64_t next_renewal(const struct membership *m) { return m->renewed + m->conf.lease_ms / RENEWALS_A_LEASE; }

/* While the id is another's, too, the lease must be renewed. */
static void membership_next(struct membership *m)
{
    int64_t now = loop_mono(m->loop);
    if (m->left)
        m->step = STEP_REVOKE;
    else if (m->registered)
        m->step = now < next_renewal(m) && m->outdated ? STEP_UPDATE : STEP_RENEW;
    else if (m->step == STEP_RENEW)
        m->step = STEP_CREATE;
    else if (m->lease != 0 && now >= next_renewal(m))
        m->step = STEP_RENEW;
    if (m->step == STEP_RENEW && m->registered && now < next_renewal(m))
        loop_timer_in(m->loop, &m->due, next_renewal(m) - now);
    else
        membership_send(m);
}

static void membership_due(struct loop_timer *t) { membership_next(CONTAINER(t, struct membership, due)); }

/* ---- public ---- */

struct membership *membership_new(const struct membership_conf *conf)
{
    struct membership *m = mem_zalloc(sizeof *m);
    m->conf = *conf;
    m->key = str_dup(conf->key);
    m->loop = etcd_loop(conf->etcd);
    m->due.run = membership_due;
    m->outdated = true;
    membership_send(m);
    return m;
}

void membership_free(struct membership *m)
{
    etcd_cancel(&m->request);
    loop_timer_stop(m->loop, &m->due);
    mem_free(m->key);
    mem_free(m->error);
    mem_free(m);
}

void membership_update(struct membership *m)
{
    m->outdated = true;
    m->sends_value = false; /* what is being sent is older */
    if (!etcd_request_runs(&m->request) && m->registered)
        membership_next(m);
}

bool membership_registered(const struct membership *m) { return m->registered; }
bool membership_written(const struct membership *m) { return m->registered && !m->outdated; }
uint64_t membership_lease(const struct membership *m) { return m->registered ? m->lease : 0; }
int64_t membership_renewed(const struct membership *m) { return m->renewed; }
const char *membership_error(const struct membership *m) { return m->error; }

void membership_leave(struct membership *m, void (*done)(void *arg), void *arg)
{
    m->left = done;
    m->left_arg = arg;
    loop_timer_stop(m->loop, &m->due);
    etcd_cancel(&m->request);
    if (m->lease == 0) {
        membership_end_leave(m);
        return;
    }
    m->step = STEP_REVOKE;
    membership_send(m);
}
