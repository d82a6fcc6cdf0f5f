// SPDX-License-Identifier: Apache-2.0
/* What targets have in common is kept once.
 *
 * A *cohort* is the targets of a lane whose series texts become labels in the same way: same job, same names of target
 * labels, same values of those that metric_relabel_configs read. Per cohort a series text is an *entry*: the text, and
 * its final labels with holes where the target's own labels go (a splice plan). A target then keeps 4 bytes per
 * series, the entry's id.
 *
 * Identity. Two final label sets are the same series exactly when the sums of the hashes of their pairs are equal (64
 * bits; hash_keyed of the wire bytes of each pair). A sum needs no order and no splicing: identity = the entry's sum +
 * the target's.
 *
 * Memory. Entries that one target alone uses are counted, and over INTERN_PRIVATE_MAX bytes a lane no more are made:
 * such a series is *cold*: the target keeps hashes and it is parsed again at every scrape. A text that a second target
 * shows is worth keeping whatever the budget; `seen` finds those among the cold ones (a table of fixed size that may
 * forget, not lie often).
 *
 * All of it belongs to a lane's thread.
 */
#ifndef SCRAPER_TEMPLATE_H
#define SCRAPER_TEMPLATE_H

#include "base/map.h"
#include "scraper/job.h"

enum { INTERN_PRIVATE_MAX = 4 << 20 };

/* The labels of a target, ready to be spliced. */
struct target_labels {
    struct labels wire;
    uint64_t *sums;   /* hash of each pair */
    uint32_t *at;     /* count + 1 offsets of the pairs in wire */
    uint64_t sum;     /* of all sums */
};
size_t target_labels_size(uint32_t count); /* bytes of the two tables */
void target_labels_init(struct target_labels *t, void *tables, struct labels wire); /* wire stays where it is */

/* The TYPE line above a series: with page_rules.spells_bounds it decides whether le or quantile is respelled. */
enum bounds_type { BOUNDS_OTHER, BOUNDS_HISTOGRAM, BOUNDS_SUMMARY };
enum { BOUNDS_ANY = 7 };

enum { CUT_ABSENT = UINT32_MAX };
struct template_entry {
    uint64_t sum;          /* of the fixed pairs */
    uint32_t refs;         /* places in targets' lists; 0 while a page that brought it is not whole yet */
    uint32_t text_n, fixed_n;
    uint16_t fixed_count;
    bool dropped : 1;      /* by metric_relabel_configs */
    bool whole : 1;        /* has all target labels */
    uint8_t fits;          /* a bit for each enum bounds_type under which the text has these labels */
    /* per target label: at which byte of the fixed part it goes, or CUT_ABSENT; then text, then fixed bytes */
    uint32_t cuts[];
};
_Static_assert(sizeof(struct template_entry) == offsetof(struct template_entry, cuts),
               "the text follows the cuts without a gap");

struct template_group {
    uint32_t refs;
    uint32_t n_labels;
    struct job_run *job;
    struct str key;
    struct template_entry **entries; /* by id; NULL = free */
    uint32_t n, n_free;
    size_t cap, free_cap;
    uint32_t *free;
    struct map ids;         /* text -> id */
};

struct seen_text { uint32_t text, target; };
struct interner {
    struct map template_groups;
    size_t private_bytes, private_max;
    struct seen_text *seen; /* NULL until the budget was reached */
    struct labels_builder builder;
    struct arena scratch;
    struct arena_mark mark;
    struct buf wire;
};
void intern_init(struct interner *in);
void intern_free(struct interner *in); /* no cohort may be left */

/* a reference */
struct template_group *template_group_get(struct interner *in, struct job_run *job, const struct target_labels *t);
struct template_group *template_group_ref(struct template_group *c);
void template_group_unref(struct interner *in, struct template_group *c);

static inline const char *entry_text(const struct template_group *c, const struct template_entry *e)
{
    return (const char *)(e->cuts + c->n_labels);
}
static inline struct str template_group_text(const struct template_group *c, uint32_t id)
{
    return str_n(entry_text(c, c->entries[id]), c->entries[id]->text_n);
}
bool template_group_find(const struct template_group *c, struct str text, uint32_t *id);
void entry_ref(struct interner *in, struct template_group *c, uint32_t id);
void entry_unref(struct interner *in, struct template_group *c, uint32_t id);
void entry_sweep(struct interner *in, struct template_group *c, uint32_t id); /* frees it when nobody refers to it */

/* A text met for the first time. False: the series breaks a rule or a limit, err says which. */
struct derived {
    bool dropped;
    struct labels labels; /* final; valid until the next call */
    uint64_t sum;         /* identity of the series */
    uint8_t fits;         /* as in struct template_entry */
};
bool template_derive(struct interner *in, const struct template_group *c, const struct target_labels *t,
                     struct str text, enum bounds_type type, struct derived *out, struct err *err) MUST_USE;
/* Keeps what template_derive just worked out. */
uint32_t template_add(struct interner *in, struct template_group *c, const struct target_labels *t, struct str text,
                      const struct derived *d);
/* Is there room for one more text, or did another target show it? `owner` tells targets apart. */
bool intern_worth(struct interner *in, uint64_t text_hash, uint64_t owner);

uint64_t entry_identity(const struct template_entry *e, const struct target_labels *t);
uint64_t labels_identity(struct labels l);
/* The final labels of an entry for a target, written to `out` (which is cleared). */
struct labels entry_splice(const struct template_group *c, const struct template_entry *e,
                           const struct target_labels *t, struct buf *out);

#endif
