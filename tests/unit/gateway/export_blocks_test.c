// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gateway/responses.h"

#include "base/varint.h"
#include "gateway/upstream/decode/export_blocks.h"

#include <stdio.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* Responses of VictoriaMetrics 1.145: 12 samples of m{a="x\1y"}, 40 of c{b="1"}. */
static const char GAUGE[] =
    "000003179fcac830000003179fe95480000000096d01610178003179010000004380a0abfef962f4cbacfef962ac020c030506400cd20f000506"
    "0005060005060022f41c879b04e8e534c0a38601af8ab701f335e4a305e0b60da0eae1018997f401ca43";
static const char COUNTER[] =
    "000003179fcac830000003179fe95480000000066301620131010000003e80a0abfef962d0d4f2fef96200280002054003b0ea01270204040404"
    "04040404040404040404040404040404040404040404040404040404040404040404";
enum { HEAD = 16, COUNTER_NAME = 4 + 6 }; /* bytes before the first name; of the second response's name */

struct bytes { char p[2048]; size_t n; };

static struct bytes bytes_of(const char *hex)
{
    struct bytes b = {.n = strlen(hex) / 2};
    for (size_t i = 0; i < b.n; i++) {
        unsigned value = 0;
        for (size_t k = 0; k < 2; k++)
            value = value * 16 + (unsigned)(hex[2 * i + k] <= '9' ? hex[2 * i + k] - '0' : hex[2 * i + k] - 'a' + 10);
        b.p[i] = (char)value;
    }
    return b;
}

static bool decode_blocks(struct responses *t, const struct bytes *b, size_t piece, enum blocks_refusal *refusal)
{
    return responses_feed(blocks_decoder_new(&t->response, refusal), str_n(b->p, b->n), piece, &t->err);
}

static void is_text(const struct bytes *b, int64_t from, int64_t to, const char *wanted)
{
    for (size_t piece = 1; piece < 200; piece += piece < 40 ? 1 : 17) {
        struct responses t;
        enum blocks_refusal refusal;
        responses_begin(&t);
        t.response.t_min = from;
        t.response.t_max = to;
        if (!decode_blocks(&t, b, piece, &refusal))
            fail_msg("in pieces of %zu: %s", piece, t.err.text);
        assert_string_equal(responses_text(&t), wanted);
        responses_end(&t);
    }
}

static void responses_of_a_server(void **state UNUSED)
{
    struct bytes b = bytes_of(GAUGE);
    is_text(&b, INT64_MIN, INT64_MAX,
            "m{a=\"x\\x01y\"} 1.5@1700000000000 20@1700000001001 -325@1700000002002 4000@1700000003000 "
            "15000@1700000004001 2@1700000005002 -32.5@1700000006000 400@1700000007001 1500@1700000008002 "
            "20000@1700000009000 -3.25@1700000010001 40@1700000011002");
    is_text(&b, 1700000003000, 1700000005001,
            "m{a=\"x\\x01y\"} 4000@1700000003000 15000@1700000004001");
    is_text(&b, 1700000011003, INT64_MAX, "");
    b = bytes_of(COUNTER);
    is_text(&b, 1700000015000, 1700000045000, "c{b=\"1\"} 1@1700000015000 4@1700000030000 9@1700000045000");
    b.n = HEAD;
    is_text(&b, INT64_MIN, INT64_MAX, "");
}

/* Appends a block of a series "c" with n samples that are 1 s apart, the first at `from`. */
static void add_block(struct bytes *b, int64_t from, unsigned n, int64_t first, int exponent, unsigned step)
{
    uint8_t block[64], *p = block;
    int64_t to = from + 1000 * ((int64_t)n - 1);
    const int64_t zigzag[] = {from, to, first};
    for (size_t i = 0; i < 3; i++)
        p = varint_put(p, (uint64_t)zigzag[i] << 1 ^ (zigzag[i] < 0 ? UINT64_MAX : 0));
    p = varint_put(p, n);
    p = varint_put(p, (uint64_t)(exponent < 0 ? -2 * exponent - 1 : 2 * exponent));
    *p++ = 2;                /* differences are the same */
    *p++ = step ? 2 : 3;
    *p++ = 64;
    p = varint_put(p, 2);
    p = varint_put(p, 2000); /* 1,000 ms */
    p = varint_put(p, step ? 1 : 0);
    if (step)
        p = varint_put(p, 2 * step);
    const char name[] = {0, 0, 0, 2, 'c', 1, 0, 0, 0, (char)(p - block)};
    memcpy(b->p + b->n, name, sizeof name);
    memcpy(b->p + b->n + sizeof name, block, (size_t)(p - block));
    b->n += sizeof name + (size_t)(p - block);
}

static void blocks_of_one_series(void **state UNUSED)
{
    struct bytes b = {.n = HEAD};
    add_block(&b, 9000, 2, 90, 0, 1);
    add_block(&b, 1000, 3, 10, 0, 1);  /* arrives after later ones */
    add_block(&b, 2000, 2, 55, 0, 1);  /* overlaps: 11 and 12 are there twice */
    is_text(&b, INT64_MIN, INT64_MAX, "c 10@1000 55@2000 56@3000 90@9000 91@10000");
}

/* Blocks of more targets in turn than have their decoded times remembered. */
static void blocks_with_times_in_turn(void **state UNUSED)
{
    enum { TARGETS = 20, ROUNDS = 3 };
    struct bytes b = {.n = HEAD};
    char wanted[2048] = "c";
    for (int64_t round = 0; round < ROUNDS; round++)
        for (int64_t target = 0; target < TARGETS; target++)
            add_block(&b, 10000 * target + 1000, target % 2 ? 2 : 3, 100 * round + target, 0, 0);
    for (int target = 0; target < TARGETS; target++)
        for (int i = 0; i < (target % 2 ? 2 : 3); i++) /* of samples with equal times the largest counts */
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), " %d@%d", 100 * (ROUNDS - 1) + target,
                     10000 * target + 1000 * (i + 1));
    is_text(&b, INT64_MIN, INT64_MAX, wanted);
}

/* Of a window of which only the newest sample of each series counts. */
static void is_newest(const struct bytes *b, int64_t from, int64_t to, const char *wanted)
{
    struct responses t;
    enum blocks_refusal refusal;
    responses_begin(&t);
    t.response.packs = t.response.newest = true;
    t.response.t_min = from;
    t.response.t_max = to;
    assert_true(decode_blocks(&t, b, 50, &refusal));
    assert_string_equal(responses_text(&t), wanted);
    responses_end(&t);
}

static void the_newest_sample(void **state UNUSED)
{
    struct bytes b = {.n = HEAD};
    add_block(&b, 1000, 100, 10, 0, 1);
    is_newest(&b, INT64_MIN, INT64_MAX, "c 109@100000");
    is_newest(&b, 5000, 7999, "c 16@7000");
    is_newest(&b, 5001, 5999, "");
    add_block(&b, 7000, 1, 99, 0, 0); /* at the same time: the largest counts */
    add_block(&b, 6500, 1, 50, 0, 0); /* late */
    is_newest(&b, 5000, 7999, "c 50@6500 99@7000");
    b.n = HEAD;
    add_block(&b, 1000, 3, 10, 0, 1);
    add_block(&b, 4000, 1, INT64_MAX - 1, 0, 0);
    is_newest(&b, 1000, 5000, "c 12@3000 stale@4000");
}

static void values(void **state UNUSED)
{
    struct bytes b = {.n = HEAD};
    add_block(&b, 1000, 1, INT64_MAX, 0, 0);
    add_block(&b, 2000, 1, INT64_MIN, -3, 0);
    add_block(&b, 3000, 1, INT64_MAX - 1, 0, 0);
    add_block(&b, 4000, 2, 3, 2, 0);
    add_block(&b, 6000, 1, -7, -1, 0);
    add_block(&b, 7000, 1, 1, 400, 0);
    add_block(&b, 8000, 1, 1, -400, 0);
    is_text(&b, INT64_MIN, INT64_MAX, "c +Inf@1000 -Inf@2000 stale@3000 300@4000 300@5000 -0.7@6000 +Inf@7000 0@8000");
}

static void is_refused(const struct bytes *b)
{
    struct responses t;
    enum blocks_refusal refusal;
    responses_begin(&t);
    assert_false(decode_blocks(&t, b, 7, &refusal));
    assert_int_equal(refusal, BLOCKS_NOT_UNDERSTOOD);
    assert_non_null(strstr(t.err.text, "native export: "));
    responses_end(&t);
}

static void what_is_not_understood(void **state UNUSED)
{
    for (size_t n = 0, size = strlen(COUNTER) / 2; n < size; n++) {
        struct bytes b = bytes_of(COUNTER);
        b.n = n;
        if (n != HEAD)
            is_refused(&b);
    }
    const struct { size_t at; char to; } changes[] = {
        {HEAD + 3, 60}, {HEAD, 1},                    /* lengths of the name, */
        {HEAD + COUNTER_NAME, 1},                     /* and of the block */
        {HEAD + COUNTER_NAME + 4 + 13, 41},           /* more samples */
        {HEAD + COUNTER_NAME + 4 + 13, 0},
        {HEAD + COUNTER_NAME + 4 + 15, 9},            /* packing of times, */
        {HEAD + COUNTER_NAME + 4 + 15, 4},
        {HEAD + COUNTER_NAME + 4 + 16, 0},            /* and of values */
        {HEAD + COUNTER_NAME + 4 + 16, 1},
        {HEAD + COUNTER_NAME + 4 + 17, 63},           /* precision */
        {HEAD + COUNTER_NAME + 4 + 19, 0x7f},         /* times beyond the last one */
        {HEAD + COUNTER_NAME + 4 + 18, 100},
    };
    for (size_t i = 0; i < LEN(changes); i++) {
        struct bytes b = bytes_of(COUNTER);
        assert_int_not_equal(b.p[changes[i].at], changes[i].to);
        b.p[changes[i].at] = changes[i].to;
        print_message("byte %zu = %d\n", changes[i].at, changes[i].to);
        is_refused(&b);
    }
}

/* 16,384 samples in a block, of which the window has few, until it is noticed. */
static void blocks_that_are_not_needed(void **state UNUSED)
{
    for (int wanted = 0; wanted < 2; wanted++) {
        struct responses t;
        enum blocks_refusal refusal;
        struct bytes b = {.n = HEAD};
        responses_begin(&t);
        t.response.t_max = wanted ? 1000000 : 100000;
        t.response.t_min = 0;
        struct decoder *d = blocks_decoder_new(&t.response, &refusal);
        bool ok = true;
        size_t sent = 0;
        for (int i = 0; ok && i < 40000; i++) {
            add_block(&b, 0, 16384, i, 0, 0);
            ok = d->feed(d, str_n(b.p, b.n), &t.err);
            sent += b.n;
            b.n = 0;
        }
        assert_int_equal(ok, wanted);
        assert_int_equal(refusal, wanted ? BLOCKS_WANTED : BLOCKS_WASTEFUL);
        assert_true(wanted || sent < 300 << 10);
        d->free(d);
        responses_end(&t);
    }
}

static void larger_than_the_budget(void **state UNUSED)
{
    struct responses t;
    enum blocks_refusal refusal;
    struct bytes b = bytes_of(COUNTER);
    responses_begin(&t);
    t.response.budget = 39 * sizeof(struct sample);
    assert_false(decode_blocks(&t, &b, 10, &refusal));
    assert_int_equal(t.err.kind, ERR_LIMIT);
    assert_int_equal(refusal, BLOCKS_WANTED);
    responses_end(&t);
}

static bool flags_say(const char *text)
{
    struct err err = {0};
    bool whole = true;
    for (size_t piece = 1; piece < 90; piece += 7)
        assert_true(responses_feed(flags_decoder_new(&whole), str_of(text), piece, &err));
    return whole;
}

#define INTERVAL(value) "flag{name=\"dedup.minScrapeInterval\", value=\"" value "\", is_set=\"true\"} 1\n"

static void flags_of_a_server(void **state UNUSED)
{
    assert_true(flags_say("# HELP x\nvm_app_version{version=\"v\"} 1\n" INTERVAL("0s") "flag{name=\"http.x\", value=\"\"} 1\n"));
    assert_true(flags_say(INTERVAL("0s") "flag{name=\"downsampling.period\", value=\"\", is_set=\"false\"} 1\n"));
    assert_false(flags_say(INTERVAL("0s") "flag{name=\"downsampling.period\", value=\"30d:5m\", is_set=\"true\"} 1\n"));
    assert_false(flags_say(INTERVAL("1ms")));
    assert_false(flags_say("vm_app_version{version=\"vmauth\"} 1\nflag{name=\"auth.config\", value=\"x\"} 1\n"));
    assert_false(flags_say(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_of_a_server), cmocka_unit_test(blocks_of_one_series),
        cmocka_unit_test(blocks_with_times_in_turn), cmocka_unit_test(the_newest_sample),
        cmocka_unit_test(values),
        cmocka_unit_test(what_is_not_understood), cmocka_unit_test(blocks_that_are_not_needed),
        cmocka_unit_test(larger_than_the_budget), cmocka_unit_test(flags_of_a_server)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
