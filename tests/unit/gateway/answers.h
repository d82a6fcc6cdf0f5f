// SPDX-License-Identifier: Apache-2.0
/* What the tests of answers share: an answer to fill, a way to feed a decoder in pieces, and series as text. */
#ifndef TESTS_UNIT_GATEWAY_ANSWERS_H
#define TESTS_UNIT_GATEWAY_ANSWERS_H

#include "gateway/upstream/response.h"

struct answers { struct arena arena; struct notes notes; struct group group; struct response response; struct err err; };
void answers_begin(struct answers *t);
void answers_end(struct answers *t);
/* Feeds `text` in pieces of `piece` bytes and finishes; frees the decoder. */
bool answers_feed(struct decoder *d, struct str text, size_t piece, struct err *err);
/* "name{a="b"} 1@1000 NaN@2000 stale@3000; ..." in the answer's order; histograms as h(count)@t. In the arena. */
const char *answers_text(struct answers *t);
const char *series_text(struct arena *a, const struct series *s, size_t n);
/* "m 1@10 2@20 stale@30": one series named m. */
struct series series_of(struct arena *a, const char *text);

#endif
