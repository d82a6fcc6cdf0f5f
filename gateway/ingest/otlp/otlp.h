// SPDX-License-Identifier: Apache-2.0
/* What the files of this directory share: the state of a request of OpenTelemetry. format_otlp.c reads resources, scopes and
 * metrics, otlp_points.c data points, and reports their series. */
#ifndef GATEWAY_INGEST_OTLP_OTLP_H
#define GATEWAY_INGEST_OTLP_OTLP_H

#include "base/protobuf.h"
#include "gateway/config/otlp_conf.h"
#include "gateway/ingest/ingest_json.h"
#include "gateway/ingest/otlp/otlp_attributes.h"
#include "gateway/ingest/otlp/otlp_delta.h"
#include "gateway/ingest/otlp/otlp_names.h"
#include "model/exposition/classic_histogram.h"
#include "model/histogram/histogram.h"

enum otlp_kind { OTLP_GAUGE = 5, OTLP_SUM = 7, OTLP_HISTOGRAM = 9, OTLP_EXPONENTIAL = 10, OTLP_SUMMARY = 11 };
enum { OTLP_NS_PER_MS = 1000000, OTLP_NO_VALUE = 1 /* of a point's flags */ };

struct otlp_point { /* the numbers of its fields differ by kind */
    struct otlp_labels attributes;
    int64_t start, t;                 /* ms */
    uint64_t flags, count;
    double sum, value;
    bool has_sum;
    struct str bounds, counts;        /* packed, of a histogram */
    struct str positive, negative;    /* Buckets of an exponential one */
    int32_t scale;
    uint64_t zero_count;
    double zero_threshold;
};
struct otlp_state {
    struct pb_cursor request, resource, scope, data;
    struct arena arena;         /* labels of the resource, the scope and the data point */
    struct arena_mark resource_end, scope_end;
    struct otlp_labels labels;  /* of the resource, then of the scope */
    struct otlp_labels resource_labels;
    struct str name, description, unit;
    bool prometheus;            /* as Prometheus' receiver stores them, by `otlp` of the configuration: */
    struct config *config; const struct otlp_conf *conf; /* a reference; NULL: not `prometheus` */
    struct otlp_labels promoted; /* of the resource: its series get those that they lack */
    bool temporality;           /* of the metric: cumulative, summed up, or none needed */
    struct otlp_labels target;  /* of target_info; n 0: there is none */
    int64_t target_from, target_to; /* ms: of the data points of the resource; from > to: there are none */
    struct buf full_name;       /* that its series have, without suffixes */
    enum otlp_kind kind;
    bool monotonic, delta;      /* delta: its points are to be summed up */
    struct buf text;            /* a name or a bound */
    bool is_json;
    struct ingest_json json;
    size_t n_skipped;           /* data points, since the document has been read from its start */
    struct err skipped;         /* why the first data point was skipped; kind ERR_NONE: none was */
    struct otlp_point point;    /* the current one */
    struct { /* of a point with many buckets or quantiles, of which a step reports some */
        bool left;
        struct buf values;
        struct pb_cursor quantiles;
        size_t at;
        double below;
    } rest;
    struct buf histogram;
    struct classic_histogram classic; /* becomes a native one */
};

static inline bool otlp_bad(struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_DATA, "%s is no valid protobuf message", what);
}

static inline bool otlp_list_has(const struct str_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i], name))
            return true;
    return false;
}

/* A label of the scope; none if the value is empty. */
void otlp_add_scope_label(struct otlp_state *s, const char *name, struct str value);

/* ---- otlp_points.c ---- */

/* A data point of the current metric: reads it and reports its series. False: the message is corrupted. One that cannot be
 * stored, because its labels or the shape of a histogram are invalid, is skipped and counted. */
bool otlp_point(struct ingest *in, struct str message, struct err *err) MUST_USE;
void otlp_point_more(struct ingest *in); /* reports further series of the point, if rest.left */
/* Gives the labels from this index on the names that they are stored with. */
void otlp_store_label_names(struct ingest *in, struct arena *a, struct otlp_labels *labels, size_t from);

/* ---- otlp_prometheus.c ---- */

/* Makes job and instance the labels of the resource, its other attributes those of target_info, and some promoted ones. */
bool otlp_prometheus_resource(struct otlp_state *s, struct err *err) MUST_USE;
/* Sorts attributes, gives them the names of labels, and joins the values of those that become the same by a semicolon. */
bool otlp_prometheus_labels(const struct otlp_conf *c, struct arena *a, struct otlp_labels *l, struct err *err) MUST_USE;
/* Adds the labels of a ScopeMetrics, if they are promoted. */
bool otlp_prometheus_scope(struct otlp_state *s, struct str scope_metrics, struct err *err) MUST_USE;
/* Sets the name of the current metric. */
void otlp_prometheus_name(struct otlp_state *s, enum otlp_name_kind kind);
/* Reports target_info for the times of the resource's data points. */
void otlp_prometheus_target(struct ingest *in);

/* otlp_sums.c: adds a point of delta temporality to what its series has, whose labels are set. False: the point is too old, or
 * there is no memory for the series. values: at most OTLP_SUM_VALUES, with a shape (a hash) that says what they are. */
enum { OTLP_SUM_VALUES = HISTOGRAM_MAX_BUCKETS + 2 };
bool otlp_sum_values(struct ingest *in, const struct otlp_point *p, uint64_t shape, double *values, size_t n,
                     struct err *err) MUST_USE;
bool otlp_sum_histogram(struct ingest *in, const struct otlp_point *p, struct histogram *h, struct err *err) MUST_USE;

extern const struct json_message otlp_request_json; /* ExportMetricsServiceRequest */

#endif
