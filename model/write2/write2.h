// SPDX-License-Identifier: Apache-2.0
/* Remote write 2.0. A body is read through struct rw_walk, so code that stores remote write 1.0 stores 2.0 as well; a
 * body of 1.0 can be converted to 2.0. Field numbers and rules are those of the newest draft. A receiver of 2.0 stores
 * what it can of a request and reports how much it stored.
 *
 *   Request { repeated string symbols = 4; repeated TimeSeries timeseries = 5; }
 *   TimeSeries { repeated uint32 labels_refs = 1; repeated Sample samples = 2; repeated Histogram histograms = 3;
 *                repeated Exemplar exemplars = 4; Metadata metadata = 5; int64 created_timestamp = 6 (earlier drafts); }
 *   Sample { double value = 1; int64 timestamp = 2; int64 start_timestamp = 3; }
 *   Exemplar { repeated uint32 labels_refs = 1; double value = 2; int64 timestamp = 3; }
 *   Metadata { MetricType type = 1; uint32 help_ref = 3; uint32 unit_ref = 4; }
 *   Histogram: as in 1.0, and start_timestamp = 17.
 *
 * Texts are in the table of symbols, each once, the empty one first; labels refer to it in pairs of name and value.
 *
 * Source: https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/
 */
#ifndef MODEL_WRITE2_H
#define MODEL_WRITE2_H

#include "base/map.h"
#include "model/remote_write.h"

/* ---- reading ---- */

enum { RW2_MAX_SYMBOLS = 1 << 20 };
/* Labels and metadata may be this many times as large as the body that refers to them (and 1 MiB): a few bytes could name
 * long texts again and again. */
enum { RW2_MAX_EXPANSION = 64 };
enum { RW2_MAX_EXEMPLAR_BYTES = 4 << 20 }; /* exemplars of one series, as messages of 1.0 */
/* Instead of rw_walk_start; the other functions of the walk remain the same. RW_METADATA precedes the first series of
 * several with equal metadata; its family is that of the series' name. Exemplars become messages of 1.0. */
void rw2_walk_start(struct rw_walk *w, struct str body);
enum { RW2_MAX_CONTENTS = 256 << 20 }; /* as RAW_LIMIT of blocks */
/* Appends the body of 1.0 that has the same contents, but invalid series. For bodies that rw2_encode made: what they expand
 * to is limited to RW2_MAX_CONTENTS bytes only. False: the body is corrupted, see w->err. */
bool rw2_to_rw1(struct rw_walk *w, struct str body, struct buf *out) MUST_USE;

/* ---- making ---- */

/* Metadata by family, remembered from earlier bodies, since 2.0 has it with each series. At most RW2_FAMILIES_BYTES:
 * when they are used up, all is forgotten (senders of 1.0 repeat metadata every few minutes). */
enum { RW2_FAMILIES_BYTES = 4 << 20 };
struct rw2_families { struct map by_name; size_t bytes; };
void rw2_families_free(struct rw2_families *f);
void rw2_families_set(struct rw2_families *f, const struct metadata *m);
/* Of the family that a series of this name belongs to: its own, or the one of a histogram, summary or counter that it is
 * a part of. NULL: unknown. */
const struct metadata *rw2_families_find(const struct rw2_families *f, struct str series_name);
/* The name of the family that a series of this name belongs to. */
struct str rw2_family_name(struct str series_name, enum metric_type type);

struct rw2_encoder { /* of one thread; zeroed, then reused */
    struct rw2_families families;
    struct rw_walk walk;
    struct buf series, one;         /* the series so far; the series being made */
    struct str *symbols; size_t n_symbols, _cap_symbols;
    struct rw2_slot { uint32_t hash, ref; } *slots; size_t n_slots; /* ref 0 = empty */
    struct rw2_meta { uint32_t help, unit; enum metric_type type; bool known; } *metas; size_t _cap_metas;
    struct { struct labels labels; uint32_t *refs; size_t _cap; } last; /* the current labels, with their references */
    uint32_t name_ref;              /* of __name__ */
    uint32_t *refs; size_t n_refs, _cap_refs; /* being made */
    struct arena texts;             /* of labels that are not canonical in the body */
};
void rw2_encoder_free(struct rw2_encoder *e);
/* Appends the body of 2.0 that has the contents of a body of 1.0; metadata goes to the series that belong to it, in this
 * body and later ones. Series that have only exemplars are left out, since 2.0 forbids them. *n_series: number of series
 * appended; 0 = there is nothing to send. canonical: the labels need no check, and come first in a series. False: the
 * body is corrupted. */
bool rw2_encode(struct rw2_encoder *e, struct str body, bool canonical, struct buf *out, size_t *n_series, struct err *err) MUST_USE;
/* Removes the metadata from a body of 1.0 and remembers it. False: the body is corrupted. */
bool rw2_strip_metadata(struct rw2_encoder *e, struct buf *body) MUST_USE;

#endif
