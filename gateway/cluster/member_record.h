// SPDX-License-Identifier: Apache-2.0
/* What a member's key in etcd has: JSON, times in Unix milliseconds; members of later versions may add fields.
 *
 *   {"address": "http://a:8429", "zone": "", "weight": 1, "from": 1764000000000, "until": 0, "boot": "4f...", "time": ...,
 *    "version": "0.1.0"}
 *
 * from and until are those of struct cluster_member, 0: not known yet, and not planned. boot: the process. time: when the
 * record was made, by the member's clock. */
#ifndef GATEWAY_CLUSTER_MEMBER_RECORD_H
#define GATEWAY_CLUSTER_MEMBER_RECORD_H

#include "base/buf.h"
#include "model/cluster/cluster_view.h"

struct member_record {
    struct cluster_member member; /* without the id */
    struct str boot, version;
    int64_t time;
};
void member_record_write(const struct member_record *r, struct buf *out);
/* Texts are in the arena. False: it is no record. */
bool member_record_read(struct arena *a, struct str text, struct member_record *out, struct err *err) MUST_USE;

#endif
