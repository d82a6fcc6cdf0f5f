// SPDX-License-Identifier: Apache-2.0
/* A label set is the bytes it is sent as.
 *
 * Labels are kept, compared for equality, hashed and copied in their remote-write 1.0 form: for each label, sorted
 * by name, `0a LEN 0a LEN name 12 LEN value`, lengths as shortest varints; no empty value, no name twice. memcmp
 * over these bytes is equality, not Prometheus' order: ordering walks the labels (labels_cmp). (Measured: appending
 * a known series 21 ns, through a protobuf-c object graph 3,800 ns, the same bytes.)
 * Whoever takes label bytes from outside calls labels_check, and rebuilds them with a builder only when it fails.
 * All functions are pure; any thread. A zeroed struct labels is the valid empty set.
 */
#ifndef MODEL_LABELS_H
#define MODEL_LABELS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct labels { const uint8_t *p; uint32_t n, count; }; /* n bytes, count labels; borrowed */
struct label { struct str name, value; };

enum { LABELS_MAX_BYTES = 1 << 20, LABELS_MAX_COUNT = 4096 };
#define METRIC_NAME "__name__"

struct labels_iter { const uint8_t *p, *end; };
static inline struct labels_iter labels_iter(struct labels l)
{
    return (struct labels_iter){l.p, l.n ? l.p + l.n : l.p};
}
bool labels_next(struct labels_iter *it, struct label *out); /* trusts the bytes: only for checked labels */

/* Reads one label of unchecked bytes; false when they are not of the form above (any order is accepted here). */
bool labels_next_checked(struct labels_iter *it, struct label *out);
/* True when the bytes are canonical (form, order, no duplicates, no empty value or name, valid UTF-8); fills count. */
bool labels_check(const uint8_t *p, size_t n, struct labels *out) MUST_USE;

struct str labels_get(struct labels l, struct str name); /* {NULL,0} when absent */
static inline struct str labels_name(struct labels l) { return labels_get(l, STR(METRIC_NAME)); }
static inline bool labels_equal(struct labels a, struct labels b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
uint64_t labels_hash(struct labels l);          /* XXH3-64 of the bytes; never 0 */
/* labels.Hash() of Prometheus (XXH64 over lengths and texts): limit_ratio */
uint64_t labels_hash_prometheus(struct labels l);
/* Prometheus' order: name, value, name, value ...; then the shorter */
int labels_cmp(struct labels a, struct labels b);
struct labels labels_copy(struct arena *a, struct labels l);

/* name{a="b", c="d"}, quoted where needed: {"a.b", "c d"="e"}; {} */
void labels_print(struct buf *out, struct labels l);
void labels_print_name(struct buf *out, struct str name); /* in quotes unless it is a legacy name */
/* "..." with \\ \" \n \t and other control bytes escaped as Go does */
void labels_quote(struct buf *out, struct str s);
/* one more pair of wire bytes; the caller keeps the order */
void labels_append(struct buf *out, struct str name, struct str value);
size_t labels_pair_size(struct str name, struct str value);

bool label_name_valid(struct str name);         /* UTF-8, not empty (Prometheus 3) */
bool label_name_legacy(struct str name);        /* [a-zA-Z_][a-zA-Z0-9_]* */
bool metric_name_legacy(struct str name);       /* ... with : too */

/* Changing labels. Slices put in are borrowed until labels_build, except those made by builder_copy. Keeps its memory
 * from one use to the next. */
struct label_slot { struct label label; bool gone; };
struct labels_builder {
    struct label_slot *slots; /* not sorted */
    size_t n, _cap;
    struct arena *scratch;    /* where new values live; the caller resets it */
    struct buf _text;         /* where they are put together */
};
void builder_free(struct labels_builder *b);
void builder_start(struct labels_builder *b, struct labels from); /* forgets what was there */
struct str builder_get(const struct labels_builder *b, struct str name);
void builder_set(struct labels_builder *b, struct str name, struct str value); /* an empty value deletes */
void builder_del(struct labels_builder *b, struct str name);
/* For readers of foreign labels: adds without looking whether the name is there; then builder_twice tells (it
 * sorts). */
void builder_add(struct labels_builder *b, struct str name, struct str value);
bool builder_twice(struct labels_builder *b, struct str *name);
size_t builder_size(const struct labels_builder *b, size_t *count); /* wire bytes and number of the labels now there */
/* Sorted wire bytes appended to out (or into the arena). */
struct labels builder_labels(struct labels_builder *b, struct arena *a);
struct labels builder_append(struct labels_builder *b, struct buf *out); /* points into out: valid until it grows */

/* Shapes that PromQL and routing need; results in the arena. names are sorted, n_names of them. */
struct labels labels_keep(struct arena *a, struct labels l, const struct str *names, size_t n_names);
struct labels labels_drop(struct arena *a, struct labels l, const struct str *names, size_t n_names);
/* set or, empty, delete */
struct labels labels_with(struct arena *a, struct labels l, struct str name, struct str value);
struct labels labels_from(struct arena *a, const struct label *items, size_t n);  /* any order */

#endif
