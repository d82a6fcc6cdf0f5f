// SPDX-License-Identifier: Apache-2.0
/* What a server answered, decoded while its bytes arrive.
 *
 * A decoder belongs to one HTTP answer: feed takes bytes as they come, finish says that there will be no more (an
 * answer cut short is an error then), free may come at any time. Errors say what is wrong with the answer, not whose
 * it is. Nothing in an answer is trusted. Series go to a struct response, in the query's arena, each allocated once at
 * its final size.
 */
#ifndef GATEWAY_UPSTREAM_RESPONSE_H
#define GATEWAY_UPSTREAM_RESPONSE_H

#include "gateway/upstream/group.h"
#include "model/notes.h"
#include "model/query_work.h"
#include "model/remote_write.h"
#include "model/source.h"

struct decoder {
    bool (*feed)(struct decoder *d, struct str piece, struct err *err);
    bool (*finish)(struct decoder *d, struct err *err);
    void (*free)(struct decoder *d);
};

struct response { /* series of one server; several requests may fill one answer */
    struct query_work work;      /* decoding and merging it is charged here */
    struct arena *arena;
    const struct group *group;   /* whose labels are added */
    struct notes *notes;         /* warnings and infos that came along */
    const struct server *server; /* whose secrets are hidden in notes; NULL: none */
    struct labels external;      /* taken away from series that have them with these values */
    unsigned own;                /* bits: of these labels, those that the series have themselves; they stay */
    int64_t t_min, t_max;        /* samples outside are dropped */
    size_t budget;               /* bytes that the samples of one series may take; 0 = no limit */
    struct series *series; size_t n, cap;
    uint64_t n_samples;
    bool lossy;                  /* there were native histograms in a form that does not carry them whole */
};
/* A warning or info of a server, without the secrets that it repeats. */
void answer_warn(struct notes *n, const struct server *from, struct str text);
void answer_info(struct notes *n, const struct server *from, struct str text);
/* May a series that is being read have more samples than these n? They are not in the arena yet. */
bool response_check_budget(const struct response *a, size_t n, struct err *err) MUST_USE;
/* One more series. labels and the arrays may be scratch memory; histograms' contents are the arena's. Samples that
 * are not in order of time are an error. A series without samples in the window is left out. */
bool response_add(struct response *a, struct labels labels, const struct sample *samples, size_t n,
                  const struct hist_sample *hists, size_t n_hists,
                  struct err *err) MUST_USE;
/* The same label set twice, because the answer came in pieces: their samples in one series. False: they overlap in
 * time, so that they are two series which only our labels made equal. */
bool response_unite(struct response *a, struct err *err) MUST_USE;

struct decoder *json_decoder_new(struct response *a); /* of /api/v1/query and query_range: vector or matrix */
struct decoder *export_decoder_new(struct response *a); /* of VictoriaMetrics' /api/v1/export */
/* of remote_read: snappy, at most max bytes unpacked */
struct decoder *remote_read_decoder_new(struct response *a, size_t max);

/* Lists: data of /api/v1/labels, label/NAME/values (strings), series (label sets), metadata. Small things appended to
 * `items`. */
struct label_list {
    struct arena *arena;
    const struct group *group;
    struct notes *notes;
    const struct server *server;
    bool probe;                  /* the request has a limit of ours: warnings that it was reached are dropped */
    struct str *strings; size_t n_strings, cap_strings;
    struct labels *labels; size_t n_labels, cap_labels;
    struct metadata *metadata; size_t n_metadata, cap_metadata;
    struct exemplar_series *exemplars; size_t n_exemplars, cap_exemplars;
};
void label_list_warn(const struct label_list *l, struct str text); /* a warning of the server */
struct decoder *strings_decoder_new(struct label_list *a);
struct decoder *series_decoder_new(struct label_list *a);
struct decoder *metadata_decoder_new(struct label_list *a);
struct decoder *exemplars_decoder_new(struct label_list *a);

/* What /api/v1/status/buildinfo tells of a server. */
struct server_build { enum server_kind kind; unsigned version; /* SERVER_VERSION */ };
struct decoder *buildinfo_decoder_new(struct server_build *out);
/* global.external_labels of /api/v1/status/config, in the arena. */
struct decoder *external_labels_decoder_new(struct arena *a, struct labels *out);

#endif
