// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/ingest_json.h"

#include "gateway/ingest/ingest_internal.h"
#include "gateway/services/services.h"

enum { INGEST_JSON_PIECE = 16 << 10 };

void ingest_json_init(struct ingest_json *j, struct ingest *in, const struct json_message *root, enum json_mapping mapping)
{
    j->message.max = in->max_text;
    buf_charge_anyway(&j->message, &in->services->http.bodies);
    json_protobuf_init(&j->transcoder, root, mapping, &j->message);
}

void ingest_json_free(struct ingest_json *j)
{
    if (j->transcoder.out)
        json_protobuf_free(&j->transcoder);
    buf_free(&j->message);
}

struct str ingest_json_document(struct ingest_json *j, struct str body)
{
    if (!j->begun)
        j->rest = body;
    j->begun = true;
    return j->ended ? buf_str(&j->message) : STR_NONE;
}

bool ingest_json_step(struct ingest *in, struct ingest_json *j, struct err *err)
{
    struct str piece = str_first(j->rest, INGEST_JSON_PIECE);
    j->rest = str_skip(j->rest, piece.n);
    j->ended = j->rest.n == 0;
    bool ok = json_protobuf_feed(&j->transcoder, piece, j->ended, err);
    return ok || (j->message.starved && ingest_no_text_memory(in, j->message.cap, err));
}
