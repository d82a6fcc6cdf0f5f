// SPDX-License-Identifier: Apache-2.0
/* The members of OpenTelemetry's JSON and the fields that they are; those that no series comes of, as ids of traces, are
 * skipped. */
#include "gateway/ingest/otlp/otlp.h"

#define FIELDS(name, ...)                                                    \
    static const struct json_field name##_fields[] = {__VA_ARGS__};          \
    static const struct json_message name = {name##_fields, LEN(name##_fields)}
#define ONE(member, n, kind_) {.name = member, .number = n, .kind = JSON_FIELD_##kind_}
#define MANY(member, n, kind_) {.name = member, .number = n, .kind = JSON_FIELD_##kind_, .repeated = true}
#define INNER(member, n, type) {.name = member, .number = n, .kind = JSON_FIELD_MESSAGE, .message = &type}
#define INNERS(member, n, type) {.name = member, .number = n, .kind = JSON_FIELD_MESSAGE, .repeated = true, .message = &type}

static const struct json_message otlp_any_json, otlp_key_value_json;
FIELDS(otlp_array_json, INNERS("values", 1, otlp_any_json));
FIELDS(otlp_map_json, INNERS("values", 1, otlp_key_value_json));
FIELDS(otlp_any_json, ONE("stringValue", 1, TEXT), ONE("boolValue", 2, BOOL), ONE("intValue", 3, INT), ONE("doubleValue", 4, DOUBLE),
       INNER("arrayValue", 5, otlp_array_json), INNER("kvlistValue", 6, otlp_map_json), ONE("bytesValue", 7, BASE64));
FIELDS(otlp_key_value_json, ONE("key", 1, TEXT), INNER("value", 2, otlp_any_json));

FIELDS(otlp_number_json, INNERS("attributes", 7, otlp_key_value_json), ONE("startTimeUnixNano", 2, FIXED64),
       ONE("timeUnixNano", 3, FIXED64), ONE("asDouble", 4, DOUBLE), ONE("asInt", 6, FIXED64), ONE("flags", 8, INT));
FIELDS(otlp_histogram_json, INNERS("attributes", 9, otlp_key_value_json), ONE("startTimeUnixNano", 2, FIXED64),
       ONE("timeUnixNano", 3, FIXED64), ONE("count", 4, FIXED64), ONE("sum", 5, DOUBLE), MANY("bucketCounts", 6, FIXED64),
       MANY("explicitBounds", 7, DOUBLE), ONE("flags", 10, INT));
FIELDS(otlp_buckets_json, ONE("offset", 1, SINT), MANY("bucketCounts", 2, INT));
FIELDS(otlp_exponential_json, INNERS("attributes", 1, otlp_key_value_json), ONE("startTimeUnixNano", 2, FIXED64),
       ONE("timeUnixNano", 3, FIXED64), ONE("count", 4, FIXED64), ONE("sum", 5, DOUBLE), ONE("scale", 6, SINT),
       ONE("zeroCount", 7, FIXED64), INNER("positive", 8, otlp_buckets_json), INNER("negative", 9, otlp_buckets_json),
       ONE("flags", 10, INT), ONE("zeroThreshold", 14, DOUBLE));
FIELDS(otlp_quantile_json, ONE("quantile", 1, DOUBLE), ONE("value", 2, DOUBLE));
FIELDS(otlp_summary_json, INNERS("attributes", 7, otlp_key_value_json), ONE("startTimeUnixNano", 2, FIXED64),
       ONE("timeUnixNano", 3, FIXED64), ONE("count", 4, FIXED64), ONE("sum", 5, DOUBLE),
       INNERS("quantileValues", 6, otlp_quantile_json), ONE("flags", 8, INT));

static const char *const otlp_temporalities[] = {"AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA",
                                                 "AGGREGATION_TEMPORALITY_CUMULATIVE", NULL};
#define TEMPORALITY {.name = "aggregationTemporality", .number = 2, .kind = JSON_FIELD_ENUM, .names = otlp_temporalities}
FIELDS(otlp_gauge_json, INNERS("dataPoints", 1, otlp_number_json));
FIELDS(otlp_sum_json, INNERS("dataPoints", 1, otlp_number_json), TEMPORALITY, ONE("isMonotonic", 3, BOOL));
FIELDS(otlp_histograms_json, INNERS("dataPoints", 1, otlp_histogram_json), TEMPORALITY);
FIELDS(otlp_exponentials_json, INNERS("dataPoints", 1, otlp_exponential_json), TEMPORALITY);
FIELDS(otlp_summaries_json, INNERS("dataPoints", 1, otlp_summary_json));
FIELDS(otlp_metric_json, ONE("name", 1, TEXT), ONE("description", 2, TEXT), ONE("unit", 3, TEXT), INNER("gauge", 5, otlp_gauge_json),
       INNER("sum", 7, otlp_sum_json), INNER("histogram", 9, otlp_histograms_json),
       INNER("exponentialHistogram", 10, otlp_exponentials_json), INNER("summary", 11, otlp_summaries_json));

FIELDS(otlp_scope_json, ONE("name", 1, TEXT), ONE("version", 2, TEXT), INNERS("attributes", 3, otlp_key_value_json));
FIELDS(otlp_scope_metrics_json, INNER("scope", 1, otlp_scope_json), INNERS("metrics", 2, otlp_metric_json), ONE("schemaUrl", 3, TEXT));
FIELDS(otlp_resource_json, INNERS("attributes", 1, otlp_key_value_json));
FIELDS(otlp_resource_metrics_json, INNER("resource", 1, otlp_resource_json), INNERS("scopeMetrics", 2, otlp_scope_metrics_json));
static const struct json_field otlp_request_fields[] = {INNERS("resourceMetrics", 1, otlp_resource_metrics_json)};
const struct json_message otlp_request_json = {otlp_request_fields, LEN(otlp_request_fields)};
