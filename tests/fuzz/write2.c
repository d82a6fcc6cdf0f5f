// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a body of remote write 2.0: walking ends, accepted labels are canonical, and what it becomes as 1.0 is
 * walked without an error, made into 2.0 again, and remains the same from then on. */
#include "model/write2/write2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool rw1_of(struct rw_walk *w, struct str two, struct buf *out)
{
    buf_clear(out);
    return rw2_to_rw1(w, two, out);
}

static void check_walk(struct rw_walk *w, struct str body)
{
    struct labels again;
    rw2_walk_start(w, body);
    for (enum rw_item item; (item = rw_walk_some(w, 7)) != RW_END && item != RW_ERROR;)
        if (item == RW_SERIES && w->labels_ok && !labels_check(w->labels.p, w->labels.n, &again))
            __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rw_walk w;
    struct rw2_encoder e = {0};
    struct buf one = {0}, two = {0}, other = {0};
    struct err err;
    size_t series, more;
    rw_walk_init(&w);
    check_walk(&w, str_n(data, n));
    if (rw1_of(&w, str_n(data, n), &one)) {
        if (!rw2_encode(&e, buf_str(&one), true, &two, &series, &err) || !rw1_of(&w, buf_str(&two), &one))
            __builtin_trap();
        if (!rw2_encode(&e, buf_str(&one), false, &other, &more, &err) || more != series || !str_eq(buf_str(&two), buf_str(&other)))
            __builtin_trap();
    }
    rw_walk_free(&w);
    rw2_encoder_free(&e);
    buf_free(&one);
    buf_free(&two);
    buf_free(&other);
    return 0;
}
