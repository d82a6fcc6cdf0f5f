// SPDX-License-Identifier: Apache-2.0
/* A JSON document whose format is read as protobuf: it is transcoded (base/json/json_protobuf.h) in pieces, an item each, once
 * even if it is read again. */
#ifndef GATEWAY_INGEST_INGEST_JSON_H
#define GATEWAY_INGEST_INGEST_JSON_H

#include "base/json/json_protobuf.h"
#include "gateway/ingest/ingest_format.h"

struct ingest_json { /* zeroed: the document is no JSON */
    struct json_protobuf transcoder;
    struct buf message;
    struct str rest;   /* of the document */
    bool begun, ended;
};
/* In `begin`, when in->max_text is set: it is the limit of the message too. */
void ingest_json_init(struct ingest_json *j, struct ingest *in, const struct json_message *root, enum json_mapping mapping);
void ingest_json_free(struct ingest_json *j);
/* In `document`. The message, if it is complete; else empty. */
struct str ingest_json_document(struct ingest_json *j, struct str body);
static inline bool ingest_json_open(const struct ingest_json *j) { return j->begun && !j->ended; }
/* In `next`, while it is open: transcodes a piece. */
bool ingest_json_step(struct ingest *in, struct ingest_json *j, struct err *err) MUST_USE;

#endif
