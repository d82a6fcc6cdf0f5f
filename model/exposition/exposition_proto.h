// SPDX-License-Identifier: Apache-2.0
/* Protobuf exposition: a response of delimited io.prometheus.client.MetricFamily messages becomes a page of the text
 * format, which is then parsed as any other. What text cannot express, native histograms and exemplars, are messages of
 * remote write beside the page, each with the place of its series in the text. Targets send this format when native
 * histograms are requested; it costs a second pass over each sample.
 *
 *   MetricFamily { name = 1; help = 2; type = 3; repeated Metric metric = 4; unit = 5; }
 *   Metric { repeated LabelPair label = 1; Gauge gauge = 2; Counter counter = 3; Summary summary = 4;
 *            Untyped untyped = 5; timestamp_ms = 6; Histogram histogram = 7; }
 *
 * Names and order of the series, and what counts as a native histogram, are those of Prometheus. Works in steps: a page
 * may have 100,000 series. Pure; any thread. Source:
 * https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
 */
#ifndef MODEL_EXPOSITION_PROTO_H
#define MODEL_EXPOSITION_PROTO_H

#include "model/exposition/classic_histogram.h"
#include "model/exposition/page_copy.h"

struct proto_page_options {
    bool native;        /* histograms that have native buckets become native ones; otherwise these are ignored */
    bool custom;        /* classic histograms become native ones with custom buckets */
    bool classic_too;   /* and classic ones as well, if they have classic buckets */
    bool starts;        /* start times of series become extras */
    bool family_labels; /* series get the labels __type__ and __unit__ */
    bool own_times;     /* the time of a metric is that of its histogram */
    int max_schema;     /* of native histograms: finer ones are merged; HISTOGRAM_SCHEMA_MAX: as they are */
    uint32_t bucket_limit; /* 0: none; those that have more are merged until they fit, or the page is invalid */
    int64_t t;          /* time of samples and exemplars without their own */
    size_t max_bytes;   /* of the text, and of the messages */
};
struct proto_page {
    struct page_copy copy;
    /* Internal: */
    struct proto_page_options _options;
    const uint8_t *_p, *_end;      /* families that are not yet begun */
    const uint8_t *_metric, *_metric_end; /* fields of the family whose metrics are being converted; NULL: none */
    struct proto_family {
        struct str name, help, unit; unsigned type; size_t metrics;
        struct family_labels labels;
    } _family;
    struct classic_histogram _classic;
};
void proto_page_init(struct proto_page *p);
void proto_page_free(struct proto_page *p);
/* Forgets the last page, keeping its memory. `body` is borrowed until the page is complete. */
void proto_page_start(struct proto_page *p, struct str body, const struct proto_page_options *options);
/* Converts up to this number of metrics. */
enum copy_state proto_page_convert(struct proto_page *p, size_t metrics);

#endif
