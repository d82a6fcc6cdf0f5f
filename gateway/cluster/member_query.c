// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/member_query.h"

#include "base/json/json_tree.h"

enum { MEMBER_BODY_MAX = 1 << 16 };

/* Whole numbers of at least 0; -1: it is missing, or another. */
static int64_t member_number(const struct json_tree *data, const char *key)
{
    double v;
    return json_tree_number(json_tree_get(data, key), &v) && v >= 0 && v < 0x1p53 ? (int64_t)v : -1;
}

static void member_query_done(void *arg, const struct client_reply *reply)
{
    struct member_query *q = arg;
    struct err err;
    struct json_tree *doc = reply->status == 200 ? json_tree_parse(buf_str(&q->body), &err) : NULL;
    const struct json_tree *data = json_tree_get(doc, "data");
    struct str role = json_tree_str(json_tree_get(data, "role"));
    int64_t sent_until = member_number(data, "sentUntilMs");
    q->call = NULL;
    buf_free(&q->body);
    q->done(q, &(struct member_report){
        .responded = doc != NULL, .process = json_tree_str(json_tree_get(data, "process")),
        .scrapes = str_is(role, "active") || str_is(role, "leaving"),
        .renewed_ago = member_number(data, "leaseRenewedMsAgo"), .complete = member_number(data, "completeMs"),
        .sent_until = sent_until > 0 ? sent_until : 0});
    json_tree_free(doc);
}

static bool member_query_data(void *arg, const struct client_reply *reply UNUSED, struct str piece, struct err *err UNUSED)
{
    buf_add_str(&((struct member_query *)arg)->body, piece);
    return true;
}

void member_query_send(struct member_query *q, struct client *client, struct client_profile *profile, struct str address,
                       int64_t timeout_ms)
{
    struct buf url = {0};
    buf_printf(&url, "%.*s/api/v1/cluster/member", STR_ARG(address));
    q->call = client_send(client, &(struct client_request){
        .method = "GET", .url = buf_z(&url), .profile = profile, .timeout_ms = timeout_ms,
        .connect_timeout_ms = timeout_ms, .max_body = MEMBER_BODY_MAX, .data = member_query_data,
        .done = member_query_done, .arg = q});
    buf_free(&url);
}

void member_query_cancel(struct member_query *q)
{
    if (q->call)
        client_cancel(q->call);
    q->call = NULL;
    buf_free(&q->body);
}
