// SPDX-License-Identifier: Apache-2.0
/* Remote write 1.0: appends series to a prometheus.WriteRequest, and walks a received body in place, without
 * generated code. (Measured against protobuf-c with identical bytes: encoding from known label bytes is 32-70 times
 * faster, decoding 5-30 times; the tests compare both with protobuf-c.) Pure; any thread.
 *
 *   WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
 *   TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; repeated Exemplar exemplars = 3;
 *                repeated Histogram histograms = 4; }
 *   Sample { double value = 1; int64 timestamp = 2; }
 *   Exemplar { repeated Label labels = 1; double value = 2; int64 timestamp = 3; }
 *
 * Source: https://prometheus.io/docs/specs/prw/remote_write_spec/
 */
#ifndef MODEL_REMOTE_WRITE_H
#define MODEL_REMOTE_WRITE_H

#include "model/metadata.h"
#include "model/series.h"

/* Appending. Histograms and exemplars are copied as the messages received (lossless). `starts` has the start time of
 * each sample (0: none), or is NULL. It becomes the field start_timestamp = 3 of the Sample, which remote write 2.0
 * defines and receivers of 1.0 skip. */
void rw_append_series(struct buf *out, struct labels labels, const struct sample *samples, size_t n);
struct rw_contents { /* of a series */
    const struct sample *samples; const int64_t *starts; size_t n_samples;
    const struct str *hists; size_t n_hists;         /* prometheus.Histogram messages */
    const struct str *exemplars; size_t n_exemplars; /* prometheus.Exemplar messages */
};
void rw_append_full(struct buf *out, struct labels labels, const struct rw_contents *c);
void rw_append_metadata(struct buf *out, const struct metadata *m);
void rw_append_exemplar(struct buf *out, struct labels labels, double value, int64_t t); /* an Exemplar message */

/* Walking. Only the arrays in `w` are allocated, and reused for every series. */
enum { RW_MAX_ITEMS = 1 << 20 }; /* samples, histograms or exemplars of one series in one body; more is an error */
enum rw_item { RW_END, RW_SERIES, RW_METADATA, RW_ERROR, RW_MORE /* of rw_walk_some only */ };
struct rw_walk {
    const uint8_t *p, *end;
    bool twice;                 /* set by the caller, before the start: rw_walk_again will be called */
    /* RW_SERIES: */
    /* the label fields as received, when contiguous, else NULL: see labels */
    const uint8_t *label_bytes; size_t label_n;
    struct labels labels;       /* canonical; when rebuilt, valid until the next call */
    /* false: duplicate name, invalid UTF-8, empty name, no labels or too many; `reason` says which, and the caller
     * drops the series */
    bool labels_ok;
    const char *reason;
    struct sample *samples; size_t n_samples;
    int64_t *starts;            /* start times of the samples, 0 = none; NULL: none has one */
    struct str *hists; size_t n_hists;          /* prometheus.Histogram messages */
    struct str *exemplars; size_t n_exemplars;
    size_t bad_exemplars;       /* of remote write 2.0: those left out, of which `bad_exemplar` says why */
    const char *bad_exemplar;
    size_t expanded;            /* of remote write 2.0: bytes so far of labels, exemplars and metadata, which refer to symbols; else 0 */
    struct metadata metadata;   /* RW_METADATA */
    struct err err;             /* RW_ERROR */
    size_t _cap_samples, _cap_starts, _cap_hists, _cap_exemplars;
    int64_t *_starts;
    const uint8_t *_start;
    /* The series that rw_walk_some has begun: its bytes, the next field, and the run of labels; begin NULL: none. */
    struct rw_series { const uint8_t *begin, *end, *at, *run, *run_end; bool split; } _series;
    /* The labels that each of the first series begins with, if the rest is samples in the usual form; else n = 0. */
    struct rw_mark { uint32_t n, count; } *_marks; size_t _n_marks, _next_mark, _cap_marks;
    struct labels_builder _builder;
    struct buf _label_buf;
    /* NULL: the body is remote write 1.0 */
    enum rw_item (*_other)(struct rw_walk *w, size_t fields);
    struct rw2_state { /* of a body of remote write 2.0 (write2/write2_walk.c) */
        struct rw2_symbol { uint32_t at, n; } *symbols; size_t n_symbols, _cap_symbols;
        uint32_t *refs; size_t n_refs, _cap_refs; /* of the current series' labels, or of an exemplar's */
        struct buf exemplar_text;
        const uint8_t *next_symbol; /* NULL: the table is complete */
        size_t most, most_exemplars; /* limits of `expanded`, and of exemplar_text */
        int64_t created;            /* created_timestamp of the series */
        struct metadata metadata; uint32_t help_ref, unit_ref;
        uint64_t last_metadata;     /* hash of the metadata returned last */
        bool series_waits;          /* its metadata was returned before it */
    } _two;
};
void rw_walk_init(struct rw_walk *w);
void rw_walk_free(struct rw_walk *w);
void rw_walk_start(struct rw_walk *w, struct str body); /* the uncompressed body; borrowed */
void rw_walk_again(struct rw_walk *w); /* from the beginning of the same body */
enum rw_item rw_walk_next(struct rw_walk *w); /* after RW_ERROR: returns RW_ERROR again */
/* The same in steps: at most `fields` samples, histograms, exemplars and labels are read; RW_MORE: the series has more. */
enum rw_item rw_walk_some(struct rw_walk *w, size_t fields);
int64_t rw_hist_time(struct str hist); /* timestamp of a prometheus.Histogram message */
int64_t rw_exemplar_time(struct str exemplar);

#endif
