// SPDX-License-Identifier: Apache-2.0
/* The body of a transaction (POST /v3/kv/txn): an object with
 *
 *   "compare"   conditions, here one                             etcd_put_condition()
 *   "success"   what is done if it holds, here one operation     etcd_begin_operation(), fields, etcd_end_operation()
 *   "failure"   what is done otherwise                           likewise
 */
#ifndef BASE_ETCD_ETCD_TXN_H
#define BASE_ETCD_ETCD_TXN_H

#include "base/etcd/etcd.h"

#define ETCD_TXN_PATH "/v3/kv/txn"

struct etcd_condition {
    struct str key;
    bool prefix;           /* it must hold for all keys that begin with `key` */
    enum { ETCD_CREATE_REVISION, ETCD_MOD_REVISION, ETCD_LEASE } target;
    enum { ETCD_EQUAL, ETCD_LESS } result;
    uint64_t value;        /* 0 = the key is absent, or has no lease */
};
void etcd_put_condition(struct json_writer *w, const struct etcd_condition *c);
/* when: "success" or "failure"; operation: "request_put", ...; the caller adds further fields of the operation. */
void etcd_begin_operation(struct json_writer *w, const char *when, const char *operation, struct str key);
void etcd_end_operation(struct json_writer *w);

#endif
