// SPDX-License-Identifier: Apache-2.0
/* Responses of servers, decoded while their bytes arrive.
 *
 * A decoder belongs to one HTTP response: call feed with bytes as they arrive, then finish (a truncated response is an
 * error then); free at any time. Errors describe the response and do not name the server. Nothing in a response is
 * trusted. Series are appended to a struct response, in the query's arena, each allocated once at its final size.
 */
#ifndef GATEWAY_UPSTREAM_DECODE_RESPONSE_H
#define GATEWAY_UPSTREAM_DECODE_RESPONSE_H

#include "base/http/client.h"
#include "gateway/merge/merge.h"
#include "gateway/servers/server_kind.h"
#include "gateway/view/view.h"
#include "model/chunk.h"
#include "model/notes.h"
#include "model/query_work.h"
#include "model/remote_write.h"
#include "model/source.h"

struct decoder {
    bool (*feed)(struct decoder *d, struct str piece, struct err *err);
    bool (*finish)(struct decoder *d, struct err *err);
    void (*free)(struct decoder *d);
    void (*begin)(struct decoder *d, struct str content_type); /* before the first feed, or finish; may be NULL */
};

/* Work of a query that reads from servers, whose deadline ends it. */
static inline struct query_work reading_work(const struct query_ctx *q)
{
    return (struct query_work){.q = q, .where = "reading from servers"};
}

/* The server of a response. Zeroed: none. */
struct response_secrets {
    struct client_profile *profile; struct str url; /* what it may repeat in its notes and nobody may see: the arguments
                                                     * of client_hide_secrets */
    struct str group, shown;                        /* names of the server in notes */
};

struct response { /* series of one server; several requests may fill one response */
    struct query_work work;      /* work of decoding and merging is charged to it */
    struct arena *arena;
    const struct label_view *view; /* how the labels are shown; NULL: as they are */
    const struct merge_rule *rule; /* of series that the view unites; NULL if it unites none */
    struct notes *notes;         /* warnings and infos of the server */
    struct response_secrets secrets; /* masked in notes */
    struct labels external;      /* removed from series that have them with these values */
    unsigned own;                /* bits: those of these labels that the series have themselves; they are kept */
    int64_t t_min, t_max;        /* samples outside of it are dropped */
    bool newest;                 /* older samples of the window than the newest of a series may be left out */
    size_t budget;               /* maximum bytes of the samples of one series; 0 = no limit */
    size_t most_points;          /* of a series in one response: one for each step that was requested; 0 = no limit */
    bool packs;                  /* keeps samples in chunks, in a quarter of the memory and less: response_series */
    struct series *series; size_t n, cap;
    struct chunk **chunks; size_t chunks_cap; /* packs: by series, or NULL: it is in `samples` after all */
    struct chunk *scratch;
    uint64_t *sent; size_t sent_cap; /* by series, where labels are added or removed here: hash of the server's labels */
    struct labels *stored; size_t stored_cap; /* of each series, as the server has them; kept if the view unites series */
    uint64_t n_samples;
    bool lossy;                  /* the response had native histograms in a form that is incomplete */
};
/* Appends a warning or info of a server, which is named, and secrets that it repeats are masked. Annotations of PromQL,
 * and warnings of a limit of the request, are the same from all servers: they name none, and appear once. */
void response_warn(struct notes *n, struct response_secrets secrets, struct str text);
void response_info(struct notes *n, struct response_secrets secrets, struct str text);
/* The server says that its response is partial ("isPartial": true, as VictoriaMetrics clusters do): so is the result,
 * with a warning. False: the request denies it. */
bool response_partial(const struct query_ctx *q, struct notes *n, struct response_secrets from,
                      struct err *err) MUST_USE;
/* Whether a series being decoded may have n samples, which are not in the arena yet. */
bool response_check_budget(const struct response *a, size_t n, struct err *err) MUST_USE;
/* VictoriaMetrics returns duplicate samples. Of samples (sorted by time) with equal times the largest value is kept, as
 * in its deduplication, and a stale marker only if there is no other value. Returns the number of samples kept. */
size_t samples_drop_duplicates(struct sample *samples, size_t n);
/* Appends a series. labels and the arrays may be scratch memory; histograms' contents must be in the arena. Samples
 * that are out of order are an error. A series without samples in the window is skipped. */
bool response_add(struct response *a, struct labels labels, const struct sample *samples, size_t n,
                  const struct hist_sample *hists, size_t n_hists,
                  struct err *err) MUST_USE;
/* Each label set once. Duplicates are parts of one series, which are concatenated. If they overlap in time, the server
 * sent one series twice (ERR_BAD_GATEWAY), or several became equal: they are replicas if the view unites such series
 * (stored.h), otherwise an error (ERR_EXEC). */
bool response_unite(struct response *a, struct err *err) MUST_USE;
/* A series with its samples, which are unpacked into the arena `to` where the response packs them. */
struct series response_series(const struct response *a, size_t i, struct arena *to);
/* The same with only the newest samples: at least CHUNK_SAMPLES, if it has so many. */
struct series response_newest(const struct response *a, size_t i, struct arena *to);

/* Errors of responses that need not be read to their end: samples of a series that are out of order, mostly values of
 * unknown keys. */
bool response_disorder(struct labels labels, struct err *err);
bool response_waste(struct err *err);

struct decoder *json_decoder_new(struct response *a); /* for /api/v1/query and query_range: vector or matrix */
struct decoder *export_decoder_new(struct response *a); /* for VictoriaMetrics' /api/v1/export */

/* Lists: data of /api/v1/labels, label/NAME/values (strings), series (label sets), metadata, appended to `items`. */
struct label_list {
    struct arena *arena;
    const struct label_view *view; /* how label sets of series are shown; NULL: as they are */
    struct notes *notes;
    struct response_secrets secrets;
    const struct query_ctx *q;   /* whether it allows a partial result; NULL: it does */
    bool probe;                  /* the request has our own limit: warnings that it was reached are dropped */
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

/* Kind and version of a server by /api/v1/status/buildinfo. */
struct server_build { enum server_kind kind; unsigned version; /* SERVER_VERSION */ };
struct decoder *buildinfo_decoder_new(struct server_build *out);
/* Flags of Prometheus 2 by /api/v1/status/flags: query.lookback-delta, ms (0: not shown), and whether enable-feature has
 * native-histograms. */
struct server_flags { int64_t lookback; bool histograms; };
struct decoder *lookback_decoder_new(struct server_flags *out);
/* global.external_labels of /api/v1/status/config, in the arena. */
struct decoder *external_labels_decoder_new(struct arena *a, struct labels *out);

#endif
