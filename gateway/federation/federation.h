// SPDX-License-Identifier: Apache-2.0
/* Responses of /federate in the formats that Prometheus offers: the text format 0.0.4, and protobuf (MetricFamily
 * messages, each after its length), which native histograms need. The Accept header chooses the format, and how names
 * outside the legacy character set are written.
 */
#ifndef GATEWAY_FEDERATION_FEDERATION_H
#define GATEWAY_FEDERATION_FEDERATION_H

#include "base/buf.h"
#include "model/query_work.h"
#include "model/series.h"

enum federation_format { FEDERATION_TEXT, FEDERATION_PROTOBUF };
/* Prometheus' names: underscores (each character an underscore), allow-utf-8 (quoted), dots (also "." as _dot_),
 * values (U__ and _hex_, which can be reversed). */
enum federation_escaping { ESCAPE_UNDERSCORES, ESCAPE_NOTHING, ESCAPE_DOTS, ESCAPE_VALUES };
struct federation_accept { enum federation_format format; enum federation_escaping escaping; };
/* Entries with a higher q come first. An entry decides the escaping even if its format is not offered. */
struct federation_accept federation_negotiate(struct str accept);
const char *federation_content_type(struct federation_accept a);

void federation_escape(struct buf *out, struct str name, enum federation_escaping escaping);

struct federated { /* the newest sample of a series; duplicates are skipped */
    struct labels labels;
    int64_t t;
    double v;
    const struct histogram *h; /* NULL: a float */
};
/* items are sorted by name, then by labels; n of them. False: the query must end. Series without a label instance get
 * an empty one. */
bool federation_write_text(struct buf *out, const struct federated *items, size_t n, enum federation_escaping escaping,
                           struct query_work *work, struct err *err) MUST_USE;
bool federation_write_protobuf(struct buf *out, const struct federated *items, size_t n,
                               enum federation_escaping escaping, struct query_work *work, struct err *err) MUST_USE;

#endif
