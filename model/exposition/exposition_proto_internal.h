// SPDX-License-Identifier: Apache-2.0
/* Parts of the conversion of protobuf exposition: exposition_proto.c has families, metrics and classic series,
 * exposition_proto_extras.c what goes beside the text. */
#ifndef MODEL_EXPOSITION_PROTO_INTERNAL_H
#define MODEL_EXPOSITION_PROTO_INTERNAL_H

#include "base/protobuf.h"
#include "base/varint.h"
#include "model/exposition/exposition_proto.h"
#include "model/series.h"

enum proto_type { PROTO_COUNTER, PROTO_GAUGE, PROTO_SUMMARY, PROTO_UNTYPED, PROTO_HISTOGRAM, PROTO_GAUGE_HISTOGRAM };
enum { HISTOGRAM_BUCKET = 3, HISTOGRAM_EXEMPLARS = 16, BUCKET_EXEMPLAR = 3 };

static inline const uint8_t *proto_begin(struct str message) { return (const uint8_t *)message.p; }
static inline const uint8_t *proto_end(struct str message)
{
    return message.n > 0 ? (const uint8_t *)message.p + message.n : proto_begin(message);
}
/* A number of type double; 0 when the field has another wire type. */
static inline double proto_double(const struct pb_field *f) { return f->wire == 1 ? double_from_bits(f->value) : 0; }

#define PROTO_OVER_BUCKETS "native_histogram_bucket_limit exceeded"
/* Sets err, with the name of the current family; false. */
bool proto_refuse(struct proto_page *p, enum err_kind kind, const char *why);

/* Both append an extra for the series whose text begins at `at`. */
bool proto_add_exemplar(struct proto_page *p, uint32_t at, struct str exemplar);
/* t: of the sample. False: err is set. */
bool proto_add_histogram(struct proto_page *p, uint32_t at, struct str histogram, int64_t t);
/* Exemplars of a native histogram: its own, or those of its classic buckets; only with a time. */
bool proto_add_histogram_exemplars(struct proto_page *p, uint32_t at, struct str histogram);
bool proto_is_native(struct str histogram);
int64_t proto_timestamp(struct str message); /* of a google.protobuf.Timestamp, in ms */

#endif
