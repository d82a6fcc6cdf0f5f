// SPDX-License-Identifier: Apache-2.0
/* Requests of remote_read that are malformed, and the limits of its responses. That responses are right is tested
 * beside a real Prometheus (tests/system/test_remote_read.py). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compress.h"
#include "base/crc32c.h"
#include "base/protobuf.h"
#include "gateway/read/read_chunk.h"
#include "gateway/read/read_write.h"
#include "tests/unit/model/rng.h"

static bool decode(struct arena *a, struct str message, struct read_call *out, struct err *err)
{
    struct buf packed = {0};
    compress_snappy(&packed, message);
    bool ok = read_call_decode(a, buf_str(&packed), out, err);
    buf_free(&packed);
    return ok;
}

static void add_matcher(struct buf *query, int type, const char *name, const char *value)
{
    struct buf m = {0};
    pb_add_int(&m, 1, type);
    pb_add_bytes(&m, 2, str_of(name));
    pb_add_bytes(&m, 3, str_of(value));
    pb_add_bytes(query, 3, buf_str(&m));
    buf_free(&m);
}

static void a_request_is_decoded(void **state UNUSED)
{
    struct arena a;
    struct read_call call;
    struct err err;
    struct buf query = {0}, hints = {0}, message = {0};
    arena_init(&a, 0);
    pb_add_int(&query, 1, -5);
    pb_add_int(&query, 2, 1000);
    add_matcher(&query, 0, "a", "b");
    add_matcher(&query, 3, "c", "d.*");
    pb_add_int(&hints, 1, 15000);
    pb_add_bytes(&hints, 2, STR("rate"));
    pb_add_int(&hints, 3, -4);
    pb_add_int(&hints, 4, 999);
    pb_add_bytes(&hints, 5, STR("ignored"));
    pb_add_int(&hints, 7, 60000);
    pb_add_bytes(&query, 4, buf_str(&hints));
    pb_add_bytes(&message, 1, buf_str(&query));
    pb_add_bytes(&message, 1, STR(""));
    pb_add_int(&message, 2, 5);
    pb_add_int(&message, 2, READ_CHUNKS);
    pb_add_int(&message, 2, READ_SAMPLES);
    assert_true(decode(&a, buf_str(&message), &call, &err));
    assert_int_equal(call.n, 2);
    assert_int_equal(call.form, READ_CHUNKS);
    const struct read_query *q = call.queries;
    assert_true(q->start == -5 && q->end == 1000 && q->n_matchers == 2 && q->has_hints);
    assert_true(q->step == 15000 && q->range == 60000 && q->hint_start == -4 && q->hint_end == 999);
    assert_true(str_is(q->func, "rate"));
    assert_true(matcher_value(&q->matchers[0], STR("b")) && !matcher_value(&q->matchers[1], STR("dd")));
    assert_int_equal(call.queries[1].n_matchers, 0);
    buf_free(&query);
    buf_free(&hints);
    buf_free(&message);
    arena_free(&a);
}

static void malformed_requests_are_refused(void **state UNUSED)
{
    static const char *const messages[] = {
        "\x0a",                 /* a length is missing */
        "\x0a\x7f",             /* a query that is longer than the message */
        "\x0a\x02\x1a\x09",     /* a matcher that is longer than its query */
        "\x0a\x04\x1a\x02\x12\x09", /* a name that is longer than its matcher */
        "\x0a\x04\x1a\x02\x08\x04", /* no such type of matcher */
        "\x0a\x04\x22\x02\x12\x09", /* a function that is longer than the hints */
        "\x0a\x09\x1a\x07\x08\x02\x12\x01" "a\x1a\x00", /* an empty regular expression is valid */
        "\x0a\x0a\x1a\x08\x08\x02\x12\x01" "a\x1a\x01(", /* an invalid one */
        "\x10\x07",             /* no known response type */
        "\x12\x01\x80",         /* packed, without its end */
    };
    for (size_t i = 0; i < LEN(messages); i++) {
        struct arena a;
        struct read_call call;
        struct err err = {0};
        arena_init(&a, 0);
        struct str message = str_n(messages[i], i == 6 ? 11 : i == 7 ? 12 : strlen(messages[i]));
        assert_int_equal(decode(&a, message, &call, &err), i == 6);
        assert_int_equal(err.kind, i == 6 ? ERR_NONE : ERR_BAD_DATA);
        arena_free(&a);
    }
}

static void limits_of_a_request(void **state UNUSED)
{
    struct arena a;
    struct read_call call;
    struct err err;
    struct buf message = {0}, large = {0}, packed = {0};
    arena_init(&a, 0);
    for (int i = 0; i <= READ_QUERIES_MAX; i++)
        pb_add_bytes(&message, 1, STR(""));
    assert_false(decode(&a, buf_str(&message), &call, &err));
    assert_non_null(strstr(err.text, "1025 queries"));
    assert_true(buf_reserve(&large, READ_BODY_MAX + 1));
    memset(large.p, 0, READ_BODY_MAX + 1);
    large.n = READ_BODY_MAX + 1;
    compress_snappy(&packed, buf_str(&large));
    assert_false(read_call_decode(&a, buf_str(&packed), &call, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_false(read_call_decode(&a, STR("not snappy"), &call, &err));
    assert_int_equal(err.kind, ERR_BAD_DATA);
    buf_free(&message);
    buf_free(&large);
    buf_free(&packed);
    arena_free(&a);
}

/* Whatever was changed in a request: it is decoded or refused. */
static void damaged_requests(void **state UNUSED)
{
    struct buf query = {0}, message = {0};
    uint64_t random = 7;
    unsigned refused = 0;
    pb_add_int(&query, 1, 1);
    add_matcher(&query, 0, "name", "value");
    add_matcher(&query, 2, "other", "a|b");
    pb_add_bytes(&query, 4, STR("\x08\x01\x12\x04" "rate\x18\x02"));
    pb_add_bytes(&message, 1, buf_str(&query));
    pb_add_bytes(&message, 2, STR("\x01\x00"));
    for (int i = 0; i < 20000; i++) {
        struct str damaged = rng_damage(&random, buf_str(&message), 3, STR_NONE);
        struct arena a;
        struct read_call call;
        struct err err;
        arena_init(&a, 0);
        refused += !decode(&a, damaged, &call, &err);
        arena_free(&a);
        mem_free((char *)(uintptr_t)damaged.p);
    }
    assert_in_range(refused, 1000, 19000); /* the others are valid requests again */
    buf_free(&query);
    buf_free(&message);
}

/* ---- responses ---- */

struct fixture {
    struct arena arena;
    struct query_ctx q;
    struct query_work work;
    struct series_set set;
    struct buf out;
    struct read_writer w;
    struct err err;
    unsigned flushed;
};

static bool count_flush(void *arg, struct err *err UNUSED)
{
    struct fixture *f = arg;
    f->flushed++;
    return true;
}

/* `n` series of n_samples samples that compress badly, named in descending order. */
static void fixture_init(struct fixture *f, size_t n, uint32_t n_samples)
{
    *f = (struct fixture){0};
    arena_init(&f->arena, 0);
    f->q.arena = &f->arena;
    f->work.q = &f->q;
    f->work.where = "a test";
    f->set.series = ARENA_ARRAY(&f->arena, struct series, n);
    f->set.n = n;
    struct sample *samples = ARENA_ARRAY(&f->arena, struct sample, n_samples);
    uint64_t random = 1;
    for (uint32_t i = 0; i < n_samples; i++)
        samples[i] = (struct sample){(int64_t)i * 15000 + (int64_t)rng_below(&random, 1024), (double)(rng_next(&random) >> 11)};
    for (size_t i = 0; i < n; i++) {
        struct label name = {STR(METRIC_NAME), arena_printf(&f->arena, "m%03zu", n - i)};
        f->set.series[i] = (struct series){.labels = labels_from(&f->arena, &name, 1), .samples = samples,
                                           .n_samples = n_samples};
    }
    f->w = (struct read_writer){.q = &f->q, .work = &f->work, .out = &f->out, .flush = count_flush, .arg = f};
}

static void fixture_free(struct fixture *f)
{
    buf_free(&f->out);
    arena_free(&f->arena);
}

/* The next frame's message; its checksum is right. */
static struct str next_frame(struct str *rest)
{
    const uint8_t *p = (const uint8_t *)rest->p, *end = p + rest->n;
    uint64_t n = 0;
    unsigned shift = 0;
    do {
        assert_true(p < end);
        n |= (uint64_t)(*p & 0x7f) << shift;
        shift += 7;
    } while (*p++ & 0x80);
    assert_true((size_t)(end - p) >= n + 4);
    struct str message = str_n(p + 4, n);
    assert_int_equal(crc32c(message), (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]);
    *rest = str_skip(*rest, (size_t)(p - (const uint8_t *)rest->p) + 4 + n);
    return message;
}

static void long_series_have_several_frames(void **state UNUSED)
{
    enum { SERIES = 3, SAMPLES = 200000 };
    struct fixture f;
    fixture_init(&f, SERIES, SAMPLES);
    assert_true(read_write_chunks(&f.w, &f.set, 1, &f.err));
    assert_int_equal(f.flushed, SERIES);
    struct str rest = buf_str(&f.out);
    size_t frames = 0, chunks = 0, longest = 0;
    while (rest.n > 0) {
        struct str message = next_frame(&rest);
        struct pb_field series, field;
        const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
        assert_true(pb_next(&p, end, &series) && p == end && series.number == 1);
        p = (const uint8_t *)series.bytes.p;
        end = p + series.bytes.n;
        assert_true(pb_next(&p, end, &field) && field.number == 1);
        assert_true(memmem(field.bytes.p, field.bytes.n, "m00", 3) != NULL); /* each frame begins with the labels */
        while (pb_next(&p, end, &field))
            chunks++;
        longest = message.n > longest ? message.n : longest;
        frames++;
    }
    assert_true(frames > SERIES);
    assert_int_equal(chunks, SERIES * ((SAMPLES + READ_CHUNK_SAMPLES - 1) / READ_CHUNK_SAMPLES));
    assert_true(longest < (1 << 20) + (1 << 17));
    fixture_free(&f);
}

static void responses_have_limits(void **state UNUSED)
{
    struct fixture f;
    fixture_init(&f, 4, 1000);
    f.w.max_samples = 3999;
    assert_false(read_write_samples(&f.w, &f.set, 1, &f.err));
    assert_int_equal(f.err.kind, ERR_BAD_DATA);
    f.w.max_samples = 4000;
    assert_true(read_write_samples(&f.w, &f.set, 1, &f.err));
    buf_clear(&f.out);
    f.w.max_bytes = 10000;
    assert_false(read_write_samples(&f.w, &f.set, 1, &f.err));
    assert_int_equal(f.err.kind, ERR_LIMIT);
    f.w.max_bytes = 1000;
    assert_false(read_write_chunks(&f.w, &f.set, 1, &f.err));
    assert_int_equal(f.err.kind, ERR_LIMIT);
    f.w.max_bytes = 0;
    f.q.deadline_mono = 1; /* has passed */
    f.work._left = 0;
    assert_false(read_write_chunks(&f.w, &f.set, 1, &f.err));
    assert_int_equal(f.err.kind, ERR_TIMEOUT);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_decoded),
        cmocka_unit_test(malformed_requests_are_refused),
        cmocka_unit_test(limits_of_a_request),
        cmocka_unit_test(damaged_requests),
        cmocka_unit_test(long_series_have_several_frames),
        cmocka_unit_test(responses_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
