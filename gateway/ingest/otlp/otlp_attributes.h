// SPDX-License-Identifier: Apache-2.0
/* Attributes of OpenTelemetry's protocol as labels: KeyValue { key = 1, AnyValue value = 2 }. A map becomes a label for
 * each of its values, `name.key`; a list, or a map in it, its JSON. Texts are in the arena or point into the message.
 * Source: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto */
#ifndef GATEWAY_INGEST_OTLP_OTLP_ATTRIBUTES_H
#define GATEWAY_INGEST_OTLP_OTLP_ATTRIBUTES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/labels.h"

struct otlp_labels { /* items in the arena, with so many bytes of texts */
    struct label *items; size_t n, cap, bytes;
    bool whole_maps; /* set by the caller: a map is its JSON, too */
};
/* Limits the texts that are made of a message: a short one can repeat a long name. Before n bytes of them are made. */
bool otlp_reserve_text(struct otlp_labels *l, size_t n, struct err *err) MUST_USE;
bool otlp_attribute_key(struct str key_value, struct str *key, struct err *err) MUST_USE;
/* Adds the labels of one KeyValue, their names with this prefix. */
bool otlp_add_attribute(struct arena *a, struct otlp_labels *out, struct str prefix, struct str key_value,
                        struct err *err) MUST_USE;

#endif
