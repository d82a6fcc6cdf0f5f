// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/member_record.h"

#include "base/json/json_tree.h"
#include "base/json/json_write.h"
#include "base/text/url.h"

void member_record_write(const struct member_record *r, struct buf *out)
{
    const struct cluster_member *m = &r->member;
    struct json_writer w = {.out = out};
    json_begin_object(&w);
    json_field_str(&w, "address", m->address);
    json_field_str(&w, "zone", m->zone);
    json_key(&w, "weight");
    json_double(&w, m->weight);
    json_field_i64(&w, "from", m->from == INT64_MAX ? 0 : m->from);
    json_field_i64(&w, "until", m->until == INT64_MAX ? 0 : m->until);
    json_field_str(&w, "boot", r->boot);
    json_field_i64(&w, "time", r->time);
    json_field_str(&w, "version", r->version);
    json_end_object(&w);
}

/* 0 and what no time can be: not set. */
static int64_t record_time(const struct json_tree *doc, const char *key)
{
    double v;
    return json_tree_number(json_tree_get(doc, key), &v) && v > 0 && v < 0x1p53 ? (int64_t)v : INT64_MAX;
}

bool member_record_read(struct arena *a, struct str text, struct member_record *out, struct err *err)
{
    struct json_tree *doc = json_tree_parse(text, err);
    if (doc == NULL)
        return false;
    struct cluster_member *m = &out->member;
    double weight = 0;
    *out = (struct member_record){.boot = arena_str(a, json_tree_str(json_tree_get(doc, "boot"))),
                                  .version = arena_str(a, json_tree_str(json_tree_get(doc, "version"))),
                                  .time = record_time(doc, "time")};
    *m = (struct cluster_member){.address = arena_str(a, json_tree_str(json_tree_get(doc, "address"))),
                                 .zone = arena_str(a, json_tree_str(json_tree_get(doc, "zone"))),
                                 .from = record_time(doc, "from"), .until = record_time(doc, "until")};
    bool has_weight = json_tree_number(json_tree_get(doc, "weight"), &weight);
    m->weight = weight;
    json_tree_free(doc);
    if (!has_weight || !(weight > 0 && weight <= 1000))
        return err_set(err, ERR_BAD_DATA, "its weight is no number over 0, at most 1000");
    return url_is_http(m->address) || err_set(err, ERR_BAD_DATA, "its address is no http(s) URL");
}
