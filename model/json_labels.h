// SPDX-License-Identifier: Apache-2.0
/* Builds label bytes from a JSON object of label names and values, member by member. Servers send them sorted, so that
 * they are appended directly; only unsorted ones need a builder. */
#ifndef MODEL_JSON_LABELS_H
#define MODEL_JSON_LABELS_H

#include "model/labels.h"

struct json_labels { /* a zeroed one is ready to use */
    struct buf name, bytes;
    struct labels_builder builder;
    struct buf sorted;
};
void json_labels_start(struct json_labels *l);
void json_labels_name(struct json_labels *l, struct str name);
void json_labels_value(struct json_labels *l, struct str value); /* an empty value is skipped */
void json_labels_add(struct json_labels *l, struct str name, struct str value); /* both at once */
/* Points into l: valid until the next start. */
bool json_labels_end(struct json_labels *l, struct labels *out, struct err *err) MUST_USE;
void json_labels_free(struct json_labels *l);

#endif
