// SPDX-License-Identifier: Apache-2.0
/* What a remote write response means: its status, and for some statuses the words of its body. Pure; any thread.
 */
#ifndef WRITER_SEND_RESPONSE_H
#define WRITER_SEND_RESPONSE_H

#include "base/compress.h"

enum response_verdict {
    RESPONSE_DELIVERED,
    RESPONSE_RETRY,         /* the same request later: servers, routes and credentials get mended */
    RESPONSE_RECODE,        /* the codec may be the reason: once more as snappy */
    RESPONSE_TOO_LARGE,     /* in smaller requests */
    RESPONSE_REJECTED,      /* something in the block is rejected, and nothing of the block is stored */
    RESPONSE_PARTLY_STORED, /* something in the block is rejected, and the rest is stored */
    RESPONSE_DROP           /* no request with these samples can succeed */
};
struct write_response { int status; struct str text; /* the beginning of the body */ };

enum response_verdict response_verdict(const struct write_response *r, enum codec codec);
/* It says that a sample is there already or that a newer one is. */
bool response_blames_time(struct str text);
/* What to change when retrying alone cannot help; NULL for outages that pass. */
const char *response_remedy(int status);

#endif
