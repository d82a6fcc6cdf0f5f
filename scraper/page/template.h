// SPDX-License-Identifier: Apache-2.0
/* Templates: the parts of series that targets have in common are stored once per lane.
 *
 * Template group: the targets of a lane for which a series text yields labels in the same way: same job, same names of
 * target labels, same values of those that metric_relabel_configs read, and same label_limit. In a group each series text has an *entry*:
 * the text, and its final labels with offsets at which the target's own labels are inserted. A target stores 4 bytes
 * per series: the entry's id.
 *
 * Identity: two final label sets are the same series exactly when the sums of the hashes of their pairs are equal (64
 * bits; hash_keyed of the wire bytes of each pair). A sum depends on neither order nor splicing: identity = the entry's
 * sum + the target's.
 *
 * Memory: entries used by a single target are counted, and above INTERN_PRIVATE_MAX bytes a lane no more are created.
 * Further series are *uncached*: the target stores hashes, and the text is parsed at every scrape. A text used by a
 * second target is always cached; `seen`, a table of fixed size that may forget texts, detects those among the uncached
 * ones.
 *
 * Lane's thread only.
 */
#ifndef SCRAPER_TEMPLATE_H
#define SCRAPER_TEMPLATE_H

#include "base/map.h"
#include "base/mem_release.h"
#include "scraper/jobs/job.h"

enum { INTERN_PRIVATE_MAX = 4 << 20 };

/* The labels of a target, prepared for splicing. */
struct target_labels {
    struct labels wire;
    uint64_t *sums;   /* hash of each pair */
    uint32_t *at;     /* count + 1 offsets of the pairs in wire */
    uint64_t sum;     /* sum of `sums` */
};
size_t target_labels_size(uint32_t count); /* bytes of the two tables */
void target_labels_init(struct target_labels *t, void *tables, struct labels wire); /* wire is not copied */

/* Type of the family that a series belongs to: with page_rules.spells_bounds it decides whether le or quantile is
 * normalized. */
enum bounds_type { BOUNDS_OTHER, BOUNDS_HISTOGRAM, BOUNDS_SUMMARY };
enum { BOUNDS_ANY = 7 };

enum { LABEL_ABSENT = UINT32_MAX };
struct template_entry {
    uint64_t sum;          /* of the fixed pairs */
    uint32_t refs;         /* number of lines in scrape caches; 0 until the page that created it is complete */
    uint32_t text_n, fixed_n;
    uint16_t fixed_count;
    bool dropped : 1;      /* by metric_relabel_configs */
    bool has_all_labels : 1;        /* contains all target labels */
    uint8_t types;          /* bits: enum bounds_type for which the text has these labels */
    /* per target label: its offset in the fixed part, or LABEL_ABSENT; then text, then fixed bytes */
    uint32_t offsets[];
};
_Static_assert(sizeof(struct template_entry) == offsetof(struct template_entry, offsets),
               "the text follows the cuts without a gap");

struct template_group {
    uint32_t refs;
    uint32_t n_labels;
    struct running_job *job;
    uint32_t label_limit;   /* 0: none */
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
    struct seen_text *seen; /* NULL until the budget is exhausted */
    struct zstd *zstd;      /* likewise; for the texts of uncached lines */
    struct labels_builder builder;
    struct arena scratch;
    struct arena_mark mark;
    struct buf wire;
    struct mem_release release; /* large blocks of caches and pages, which the lane frees in slices */
};
void interner_init(struct interner *in);
void interner_free(struct interner *in); /* all groups must be unreferenced */
struct zstd *interner_zstd(struct interner *in);
void interner_clear_scratch(struct interner *in); /* what the builder has made is no longer valid */

/* Returns a reference. */
struct template_group *template_group_get(struct interner *in, struct running_job *job, const struct target_labels *t,
                                          uint32_t label_limit);
struct template_group *template_group_ref(struct template_group *c);
void template_group_unref(struct interner *in, struct template_group *c);

static inline const char *entry_text(const struct template_group *c, const struct template_entry *e)
{
    return (const char *)(e->offsets + c->n_labels);
}
static inline struct str template_group_text(const struct template_group *c, uint32_t id)
{
    return str_n(entry_text(c, c->entries[id]), c->entries[id]->text_n);
}
bool template_group_find(const struct template_group *c, struct str text, uint32_t *id);
void entry_ref(struct interner *in, struct template_group *c, uint32_t id);
void entry_unref(struct interner *in, struct template_group *c, uint32_t id);
void entry_sweep(struct interner *in, struct template_group *c, uint32_t id); /* frees it if unreferenced */

/* Result of deriving labels from a text. False: the series violates a rule or a limit; err is set. */
struct derived {
    bool dropped;
    struct labels labels; /* final; valid until the next call */
    uint64_t sum;         /* identity of the series */
    uint8_t types;         /* as in struct template_entry */
};
bool template_derive(struct interner *in, const struct template_group *c, const struct target_labels *t,
                     struct str text, enum bounds_type type, struct derived *out, struct err *err) MUST_USE;
/* Adds the result of the last template_derive as an entry. */
uint32_t template_add(struct interner *in, struct template_group *c, const struct target_labels *t, struct str text,
                      const struct derived *d);
/* True if there is budget for one more entry, or another target has used the text before. `owner` identifies the
 * target. */
bool interner_should_cache(struct interner *in, uint64_t text_hash, uint64_t owner);

uint64_t entry_identity(const struct template_entry *e, const struct target_labels *t);
uint64_t labels_identity(struct labels l);
/* The final labels of an entry for a target, written to `out`, which is cleared. */
struct labels entry_splice(const struct template_group *c, const struct template_entry *e,
                           const struct target_labels *t, struct buf *out);

#endif
