// SPDX-License-Identifier: Apache-2.0
/* The instances that are stored in etcd, as texts: an immutable set, replaced when one of them changes. Any thread.
 *
 * A document is YAML, plain or compressed by gzip as Grafana Agent writes it. It is named by its key, whatever name its
 * text has.
 */
#ifndef GATEWAY_AGENT_INSTANCE_SET_H
#define GATEWAY_AGENT_INSTANCE_SET_H

#include "base/conf/conf.h"
#include "base/refs.h"

enum { INSTANCE_TEXT_MAX = 8 << 20, INSTANCE_NAME_MAX = 1024 };

struct instance_jobs;
struct instance_doc {
    struct refs refs;
    struct str name, text;        /* owned, with a NUL */
    uint64_t mod_revision;        /* of its key */
    _Atomic(struct instance_jobs *) _jobs;
};
struct instance_set {
    struct refs refs;
    struct instance_doc **docs; size_t n; /* by name, ascending */
    uint64_t revision;            /* of etcd */
};
/* value: that of the key. NULL: it is too large, or no valid gzip. */
struct instance_doc *instance_doc_new(struct str name, struct str value, uint64_t mod_revision,
                                      struct err *err) MUST_USE;
struct instance_doc *instance_doc_ref(struct instance_doc *d);
void instance_doc_unref(struct instance_doc *d);
/* Names of its jobs, as far as they can be read; lives as long as the document. */
const struct str_list *instance_doc_jobs(struct instance_doc *d);
/* Appends the value of a key for a text, as the Agent writes it. */
bool instance_encode(struct str text, struct buf *out) MUST_USE;

/* Sorts; refers to the documents. */
struct instance_set *instance_set_new(struct instance_doc *const *docs, size_t n, uint64_t revision);
struct instance_set *instance_set_ref(struct instance_set *s);
void instance_set_unref(struct instance_set *s); /* NULL is fine */
/* Borrowed; NULL: there is none. */
struct instance_doc *instance_set_find(const struct instance_set *s, struct str name);
/* The first job of the list that an instance of another name has; NULL: none is. */
const struct str *instance_set_duplicate(const struct instance_set *s, struct str name, const struct str_list *jobs);

#endif
