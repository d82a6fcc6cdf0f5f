// SPDX-License-Identifier: Apache-2.0
/* A page made from another one, in steps: its text, and its messages and start times (struct page_extra).
 * exposition_proto.h makes it from protobuf, page_rewrite.h from text. Its memory is kept for the next page. Pure; any
 * thread. */
#ifndef MODEL_EXPOSITION_PAGE_COPY_H
#define MODEL_EXPOSITION_PAGE_COPY_H

#include "base/mem_release.h"
#include "model/exposition/exposition.h"
#include "model/exposition/exposition_scan.h"
#include "model/metadata.h"

enum copy_state { COPY_MORE, COPY_COMPLETE, COPY_INVALID /* err is set */ };
struct page_copy {
    struct buf text;
    struct buf messages;           /* in which the extras are */
    struct page_extra *extras; size_t n_extras, _cap;
    struct err err;
    struct labels_builder builder; /* scratch, as is the arena */
    struct arena scratch;
};
void page_copy_init(struct page_copy *c);
void page_copy_free(struct page_copy *c);
void page_copy_start(struct page_copy *c, size_t max_bytes); /* of the text, and of the messages */
/* Memory beyond what a usual page takes is returned, in slices; the page is no longer valid. */
void page_copy_release(struct page_copy *c, struct mem_release *release);
/* The page; valid until the next start. */
struct page_text page_copy_text(const struct page_copy *c, enum exposition_format format);

/* Completes an extra whose message begins at extra.message and ends the messages. False: err is set. */
bool page_copy_extra(struct page_copy *c, struct page_extra extra) MUST_USE;
/* An exemplar of the series at `at`, with these labels. hash: of what was received. */
bool page_copy_exemplar(struct page_copy *c, uint32_t at, struct labels labels, double value, int64_t t,
                        uint64_t hash) MUST_USE;
bool page_copy_start_time(struct page_copy *c, uint32_t at, int64_t start) MUST_USE;
/* Sorts the exemplars from this extra on by time: receivers require it of those of a series. */
void page_copy_sort_exemplars(struct page_copy *c, size_t from);
bool page_copy_fits(struct page_copy *c) MUST_USE; /* false: the text is too long, and err is set */

bool copy_name_plain(struct str name, enum name_kind kind);
/* Escapes \ and newline, and with `quotes` also ". */
void copy_add_escaped(struct buf *out, struct str s, bool quotes);
void copy_add_quoted(struct buf *out, struct str s);
/* name="value", after a comma unless *first; the name is quoted if necessary. */
void copy_add_label(struct buf *out, struct str name, struct str value, bool *first);

/* Labels for the type and unit of a family. family_labels_replace: whether the label is one of them and has a value. */
#define TYPE_LABEL "__type__"
#define UNIT_LABEL "__unit__"
struct family_labels { enum metric_type type; struct str unit; };
bool family_labels_replace(const struct family_labels *f, struct str label);
/* Appends those that have a value. */
void copy_add_family_labels(struct buf *out, const struct family_labels *f, bool *first);

#endif
