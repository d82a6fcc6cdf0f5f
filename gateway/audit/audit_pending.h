// SPDX-License-Identifier: Apache-2.0
/* Which destination fills each server of a group, and since when its samples may be in a queue still. */
#ifndef GATEWAY_AUDIT_AUDIT_PENDING_H
#define GATEWAY_AUDIT_AUDIT_PENDING_H

#include "gateway/upstream/group.h"
#include "writer/writer.h"

struct audit_fill {
    const struct destination_conf *by; /* NULL: it is not known which of the group's */
    int64_t pending_since;             /* Unix ms; INT64_MAX: nothing is pending for long */
};
struct audit_writer {
    struct writer *writer;
    const struct destination_conf *destinations; size_t n;
};
/* Of each server, in the arena. */
struct audit_fill *audit_fills(struct arena *a, const struct group *g, const struct audit_writer *w);

#endif
