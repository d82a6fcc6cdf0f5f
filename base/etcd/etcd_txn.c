// SPDX-License-Identifier: Apache-2.0
#include "base/etcd/etcd_txn.h"

void etcd_put_condition(struct json_writer *w, const struct etcd_condition *c)
{
    static const struct { const char *target, *field; } targets[] = {
        [ETCD_CREATE_REVISION] = {"CREATE", "create_revision"}, [ETCD_MOD_REVISION] = {"MOD", "mod_revision"},
        [ETCD_LEASE] = {"LEASE", "lease"}};
    json_key(w, "compare");
    json_begin_array(w);
    json_begin_object(w);
    if (c->prefix)
        etcd_put_prefix(w, c->key);
    else
        etcd_put_bytes(w, "key", c->key);
    json_field_z(w, "target", targets[c->target].target);
    json_field_z(w, "result", c->result == ETCD_LESS ? "LESS" : "EQUAL");
    etcd_put_u64(w, targets[c->target].field, c->value);
    json_end_object(w);
    json_end_array(w);
}

void etcd_begin_operation(struct json_writer *w, const char *when, const char *operation, struct str key)
{
    json_key(w, when);
    json_begin_array(w);
    json_begin_object(w);
    json_key(w, operation);
    json_begin_object(w);
    etcd_put_bytes(w, "key", key);
}

void etcd_end_operation(struct json_writer *w)
{
    json_end_object(w);
    json_end_object(w);
    json_end_array(w);
}
