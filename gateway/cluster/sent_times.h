// SPDX-License-Identifier: Apache-2.0
/* The time before which all scrapes of this member have reached their destinations. The member writes it to etcd; if it
 * crashes, the members that keep the same scrapes (replica_mode `standby`) know which of them to send (gone_members.h).
 *
 * 1. sent_times_tick, some times a second, notes the time before which all scrapes are committed to the writer.
 * 2. Once the writer has delivered what was committed until that note, the time of the note is `until`.
 * 3. Every SENT_EVERY_MS `until` is written to the key `sent/ID` if it has grown and the member is registered with its
 *    lease: once the lease has ended, the key no longer changes. These keys are not watched and have no lease: they are
 *    read when a member is gone, and deleted by the member when it leaves, or else by another.
 *
 * Threads: the loop's.
 */
#ifndef GATEWAY_CLUSTER_SENT_TIMES_H
#define GATEWAY_CLUSTER_SENT_TIMES_H

#include "base/etcd/etcd.h"

enum { SENT_EVERY_MS = 400, SENT_NOTES = 64 };
struct sent_times;
struct sent_times_conf {
    struct etcd *etcd;
    struct str key, member_key, boot; /* copied */
    int64_t (*complete)(void *arg);   /* Unix ms; all earlier scrapes are committed. INT64_MAX: there are none */
    int64_t (*delivered)(void *arg);  /* Unix ms; what was committed before is delivered */
    void *arg;
};
struct sent_times *sent_times_new(const struct sent_times_conf *conf);
void sent_times_free(struct sent_times *s);
/* lease: of the member's key; 0: it is not registered, or nobody would read the key. */
void sent_times_tick(struct sent_times *s, uint64_t lease);
int64_t sent_times_until(const struct sent_times *s);       /* Unix ms; 0: not known */
void sent_times_delete(struct sent_times *s);               /* the key, without waiting */

/* The notes that are not delivered yet, in the order of their making, and the time of the last one that is. When there
 * are too many, one of those is dropped that are closest to each other for their age: with a destination that is behind
 * by an hour they are at most some minutes apart. */
struct sent_note { int64_t at, complete; };
struct sent_notes { struct sent_note items[SENT_NOTES]; size_t n; int64_t until; };
void sent_notes_add(struct sent_notes *n, struct sent_note note);
void sent_notes_settle(struct sent_notes *n, int64_t delivered);

/* False: the text is no record, or of another process. */
bool sent_record_read(struct str text, struct str boot, int64_t *until) MUST_USE;
void sent_record_write(struct str boot, int64_t until, struct buf *out);

#endif
