// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/sent_times.h"

#include "base/etcd/etcd_txn.h"
#include "base/json/json_tree.h"
#include "base/json/json_write.h"
#include "base/text/duration.h"

#include <math.h>

enum { CLOCK_MS = 2 }; /* the writer's times are differences of two clocks in whole milliseconds */

struct sent_times {
    struct sent_times_conf conf;
    char *key, *member_key, *boot;
    struct loop *loop;
    struct etcd_request put;
    struct sent_notes notes;
    int64_t put_at, put_until;  /* loop_mono of the last request, and its value */
};

/* ---- notes ---- */

/* Never the oldest or the newest one. */
static void sent_notes_thin(struct sent_notes *n)
{
    size_t least = 1;
    double least_share = INFINITY;
    for (size_t i = 1; i + 1 < n->n; i++) {
        int64_t age = n->items[n->n - 1].at - n->items[i].at, apart = n->items[i + 1].at - n->items[i - 1].at;
        double share = (double)apart / (double)(age > 0 ? age : 1);
        if (share < least_share) {
            least_share = share;
            least = i;
        }
    }
    n->n--;
    memmove(&n->items[least], &n->items[least + 1], (n->n - least) * sizeof *n->items);
}

void sent_notes_add(struct sent_notes *n, struct sent_note note)
{
    if (n->n == SENT_NOTES)
        sent_notes_thin(n);
    n->items[n->n++] = note;
}

void sent_notes_settle(struct sent_notes *n, int64_t delivered)
{
    size_t left = 0;
    for (size_t i = 0; i < n->n; i++) {
        if (n->items[i].at > delivered)
            n->items[left++] = n->items[i];
        else if (n->items[i].complete > n->until)
            n->until = n->items[i].complete;
    }
    n->n = left;
}

/* ---- records ---- */

void sent_record_write(struct str boot, int64_t until, struct buf *out)
{
    struct json_writer w = {.out = out};
    json_begin_object(&w);
    json_field_str(&w, "boot", boot);
    json_field_i64(&w, "until", until);
    json_end_object(&w);
}

bool sent_record_read(struct str text, struct str boot, int64_t *until)
{
    struct err err;
    struct json_tree *doc = json_tree_parse(text, &err);
    double v = 0;
    bool ok = str_eq(json_tree_str(json_tree_get(doc, "boot")), boot) &&
              json_tree_number(json_tree_get(doc, "until"), &v) &&
              v > 0 && v < 0x1p53;
    *until = ok ? (int64_t)v : 0;
    json_tree_free(doc);
    return ok;
}

/* ---- the key ---- */

static void sent_put_done(struct etcd_request *r UNUSED, const struct etcd_response *response UNUSED)
{
    /* the next one follows */
}

static void sent_put(struct sent_times *s, uint64_t lease)
{
    struct buf body = {0}, value = {0};
    struct json_writer w = {.out = &body};
    sent_record_write(str_of(s->boot), s->notes.until, &value);
    json_begin_object(&w);
    etcd_put_condition(&w, &(struct etcd_condition){.key = str_of(s->member_key), .target = ETCD_LEASE, .value = lease});
    etcd_begin_operation(&w, "success", "request_put", str_of(s->key));
    etcd_put_bytes(&w, "value", buf_str(&value));
    etcd_end_operation(&w);
    json_end_object(&w);
    s->put.done = sent_put_done;
    s->put_at = loop_mono(s->loop);
    s->put_until = s->notes.until;
    etcd_send(s->conf.etcd, &s->put, ETCD_TXN_PATH, buf_str(&body));
    buf_free(&body);
    buf_free(&value);
}

void sent_times_delete(struct sent_times *s)
{
    struct buf body = {0};
    struct json_writer w = {.out = &body};
    if (s->put_until == 0)
        return;
    etcd_cancel(&s->put);
    json_begin_object(&w);
    etcd_put_bytes(&w, "key", str_of(s->key));
    json_end_object(&w);
    s->put.done = sent_put_done;
    etcd_send(s->conf.etcd, &s->put, "/v3/kv/deleterange", buf_str(&body));
    buf_free(&body);
}

void sent_times_tick(struct sent_times *s, uint64_t lease)
{
    int64_t complete = s->conf.complete(s->conf.arg), mono = loop_mono(s->loop);
    if (complete == INT64_MAX)
        return;
    /* Not loop_now: that is the begin of this turn, and scrapes may have been committed since. */
    sent_notes_add(&s->notes, (struct sent_note){clock_wall_ms() + CLOCK_MS, complete});
    sent_notes_settle(&s->notes, s->conf.delivered(s->conf.arg));
    if (lease != 0 && s->notes.until > s->put_until && mono - s->put_at >= SENT_EVERY_MS && !etcd_request_runs(&s->put))
        sent_put(s, lease);
}

int64_t sent_times_until(const struct sent_times *s) { return s->notes.until; }

struct sent_times *sent_times_new(const struct sent_times_conf *conf)
{
    struct sent_times *s = mem_zalloc(sizeof *s);
    s->conf = *conf;
    s->key = str_dup(conf->key);
    s->member_key = str_dup(conf->member_key);
    s->boot = str_dup(conf->boot);
    s->loop = etcd_loop(conf->etcd);
    return s;
}

void sent_times_free(struct sent_times *s)
{
    etcd_cancel(&s->put);
    mem_free(s->key);
    mem_free(s->member_key);
    mem_free(s->boot);
    mem_free(s);
}
