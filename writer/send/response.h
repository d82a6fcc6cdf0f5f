// SPDX-License-Identifier: Apache-2.0
/* Classification of remote write responses by status and, for some statuses, by the text of the body. Pure; any
 * thread. */
#ifndef WRITER_SEND_RESPONSE_H
#define WRITER_SEND_RESPONSE_H

#include "writer/queue/block.h"

enum response_class {
    RESPONSE_DELIVERED,
    RESPONSE_RETRY,         /* the same request later: the server, route or credentials may recover */
    RESPONSE_RECODE,        /* the codec or message may be the reason: send once more as snappy, or as 1.0 */
    RESPONSE_TOO_LARGE,     /* send in smaller requests */
    RESPONSE_REJECTED,      /* a sample is rejected, and nothing of the block is stored */
    RESPONSE_PARTLY_STORED, /* a sample is rejected, and the rest of the block is stored */
    RESPONSE_DROP           /* no request with these samples can succeed */
};
struct write_response {
    int status;
    struct str text; /* beginning of the body */
    bool has_written; uint64_t written; /* as in struct client_reply */
};

enum response_class response_classify(const struct write_response *r, struct block_form sent);
/* Whether the text reports that the sample, or a newer one, exists already. */
bool response_about_time(struct str text);
/* Whether a rejection names the codec, encoding or message of the request as its reason. */
bool response_blames_encoding(const struct write_response *r);
/* Whether a rejection names the contents as its reason: a part of them, then. */
bool response_blames_contents(const struct write_response *r);
/* The configuration to change when retrying cannot succeed; NULL for temporary errors. */
const char *response_remedy(int status);

#endif
