// SPDX-License-Identifier: Apache-2.0
/* A JSON object of label names and values, member by member, into label bytes. Servers write them sorted, so that
 * they are put down as they come; only what is not sorted goes through a builder. */
#ifndef GATEWAY_UPSTREAM_JSON_LABELS_H
#define GATEWAY_UPSTREAM_JSON_LABELS_H

#include "model/labels.h"

struct json_labels { /* zeroed is ready */
    struct buf name, bytes;
    struct labels_builder builder;
    struct buf sorted;
};
void json_labels_start(struct json_labels *l);
void json_labels_name(struct json_labels *l, struct str name);
void json_labels_value(struct json_labels *l, struct str value); /* an empty one is no label */
/* Points into l: valid until the next start. */
bool json_labels_end(struct json_labels *l, struct labels *out, struct err *err) MUST_USE;
void json_labels_free(struct json_labels *l);

#endif
