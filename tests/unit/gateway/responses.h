// SPDX-License-Identifier: Apache-2.0
/* For tests of responses: a response to fill, a decoder fed in pieces, series as text. */
#ifndef TESTS_UNIT_GATEWAY_RESPONSES_H
#define TESTS_UNIT_GATEWAY_RESPONSES_H

#include "gateway/upstream/decode/response.h"

struct responses {
    struct arena arena;
    struct notes notes;
    struct response response;
    struct err err;
};
void responses_begin(struct responses *t);
void responses_end(struct responses *t);
/* Feeds `text` in pieces of `piece` bytes and finishes; frees the decoder. */
bool responses_feed(struct decoder *d, struct str text, size_t piece, struct err *err);
/* "name{a="b"} 1@1000 NaN@2000 stale@3000; ..." in the response's order; histograms as h(count)@t. In the arena. */
const char *responses_text(struct responses *t);
const char *series_text(struct arena *a, const struct series *s, size_t n);
/* "m 1@10 2@20 stale@30": one series named m. */
struct series series_of(struct arena *a, const char *text);

#endif
