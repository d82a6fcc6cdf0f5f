// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/members.h"

#include "base/http/client.h"
#include "base/text/duration.h"

enum { MEMBERS_TIMEOUT_MS = 5000, MEMBERS_AT_ONCE = 64, MEMBERS_POLL_MS = 50, MEMBERS_BODY_MAX = 1 << 30 };

struct member_call {
    struct members_run *run;
    const struct cluster_member *member;
    struct client_call *call;       /* NULL: it has ended */
    struct json_value_reader reader;
    const struct json_value *data;  /* NULL: none yet, or it failed */
};
struct members_run { /* one request to all */
    const struct members_question *q;
    struct loop *loop;
    struct client *client;
    struct member_call *calls; size_t n, left;
};

static bool member_call_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err)
{
    struct member_call *m = arg;
    struct arena *a = m->run->q->arena;
    if (reply->status != 200)
        return true;
    if (!json_value_reader_feed(&m->reader, piece, err))
        return false;
    return !arena_over(a, 0) || err_set(err, ERR_LIMIT, "the memory of reports is used up");
}

static bool member_call_finish(struct member_call *m, const struct client_reply *reply, struct err *err)
{
    if (reply->status != 200) {
        *err = reply->err;
        return reply->status > 0 ? err_set(err, ERR_BAD_GATEWAY, "HTTP %d", reply->status) : false;
    }
    const struct json_value *root = json_value_reader_finish(&m->reader, err);
    if (root == NULL)
        return false;
    m->data = json_value_get(root, "data");
    const struct json_value *w = json_value_items(json_value_get(root, "warnings"));
    for (; w; w = w->next)
        notes_warn(m->run->q->notes, "cluster member %.*s: %.*s", STR_ARG(m->member->id), STR_ARG(json_value_text(w)));
    return m->data || err_set(err, ERR_BAD_GATEWAY, "a response without data");
}

static void member_call_done(void *arg, const struct client_reply *reply)
{
    struct member_call *m = arg;
    struct err err;
    if (!member_call_finish(m, reply, &err))
        notes_warn(m->run->q->notes, "cluster member %.*s: %s; what it has is missing", STR_ARG(m->member->id), err.text);
    json_value_reader_free(&m->reader);
    m->call = NULL;
    m->run->left--;
}

static void members_send(struct members_run *run, struct client_profile *profile, int64_t timeout_ms)
{
    const struct members_question *q = run->q;
    struct buf url = {0};
    for (size_t i = 0; i < run->n; i++) {
        struct member_call *m = &run->calls[i];
        buf_clear(&url);
        buf_printf(&url, "%.*s%s?%.*s%sscope=member", STR_ARG(m->member->address), q->path, STR_ARG(q->form),
                   q->form.n > 0 ? "&" : "");
        json_value_reader_init(&m->reader, q->arena);
        m->call = client_send(run->client, &(struct client_request){
            .method = "GET", .url = buf_z(&url), .profile = profile, .timeout_ms = timeout_ms,
            .connect_timeout_ms = timeout_ms, .max_body = MEMBERS_BODY_MAX, .accept_gzip = true,
            .data = member_call_data, .done = member_call_done, .arg = m});
    }
    buf_free(&url);
}

static bool members_wait(struct members_run *run, struct err *err)
{
    const atomic_bool *canceled = run->q->canceled;
    while (run->left > 0) {
        if (canceled && atomic_load(canceled))
            return err_set(err, ERR_CANCELED, "the client has left");
        loop_turn(run->loop, MEMBERS_POLL_MS);
    }
    return true;
}

static bool members_run(struct members_run *run, struct err *err)
{
    const struct members_question *q = run->q;
    int64_t timeout_ms = MEMBERS_TIMEOUT_MS, left_ms = q->deadline_mono - clock_mono_ms();
    if (q->deadline_mono > 0 && left_ms < timeout_ms)
        timeout_ms = left_ms > 1 ? left_ms : 1;
    run->loop = loop_new();
    if (run->loop == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no descriptor is left for requests to the members");
    run->client = client_new(run->loop, &(struct client_settings){.max_inflight = MEMBERS_AT_ONCE});
    members_send(run, cluster_member_profile(q->cluster), timeout_ms);
    bool ok = members_wait(run, err);
    for (size_t i = 0; i < run->n; i++)
        if (run->calls[i].call) {
            client_cancel(run->calls[i].call);
            json_value_reader_free(&run->calls[i].reader);
        }
    client_free(run->client);
    loop_free(run->loop);
    return ok;
}

bool members_fetch(const struct members_question *q, struct member_answers *out, struct err *err)
{
    struct members_run run = {.q = q};
    struct arena_limits saved = arena_suspend_limit(q->arena); /* no callback of the client may jump */
    run.calls = ARENA_ARRAY(q->arena, struct member_call, q->view->n + 1);
    for (size_t i = 0; i < q->view->n; i++)
        if (i != q->view->self && !q->view->members[i].gone)
            run.calls[run.n++] = (struct member_call){.run = &run, .member = &q->view->members[i]};
    run.left = run.n;
    *out = (struct member_answers){.items = ARENA_ARRAY(q->arena, struct member_answer, run.n + 1)};
    bool ok = run.n == 0 || members_run(&run, err);
    for (size_t i = 0; i < run.n && ok; i++)
        if (run.calls[i].data)
            out->items[out->n++] = (struct member_answer){run.calls[i].member, run.calls[i].data};
    arena_restore_limit(q->arena, saved);
    return ok;
}
