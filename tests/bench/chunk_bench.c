// SPDX-License-Identifier: Apache-2.0
/* What a sample of the recent store takes, and what it costs to append and to decode: bytes and nanoseconds of CPU,
 * the least of several rounds, for the kinds of series that there are.
 */
#include "base/text/duration.h"
#include "model/chunk.h"

#include <stdio.h>

enum { SERIES = 2000, ROUNDS = 15 };

static uint64_t seed;
static uint64_t next_random(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

static double counter(double v) { return v + (double)(next_random() % 100000); }
static double bucket(double v) { return v + (double)(next_random() % 60); }
static double slow_counter(double v) { return v + (double)(next_random() % 8 == 0); }
static double constant(double v) { return v; }
static double any(double v) { return v * 0 + (double)(next_random() >> 11) / 9007199254740992.0 * 1e6; }
static double decimals(double v) { return v * 0 + (double)(2000 + next_random() % 500) / 100; }

static const struct kind { const char *name; double (*next)(double v); int64_t jitter; } kinds[] = {
    {"counter", counter, 0}, {"bucket", bucket, 0}, {"slow counter", slow_counter, 0}, {"constant", constant, 0},
    {"gauge, all bits random", any, 0}, {"gauge, two decimals", decimals, 0}, {"counter, times jitter", counter, 5}};

static struct chunk *chunks[SERIES];
static struct sample samples[CHUNK_SAMPLES], decoded[CHUNK_SAMPLES];
static volatile double sink;

static void make_samples(const struct kind *k)
{
    double v = 7;
    for (int i = 0; i < CHUNK_SAMPLES; i++) {
        int64_t late = k->jitter ? (int64_t)next_random() % k->jitter : 0;
        v = k->next(v);
        samples[i] = (struct sample){1700000000000 + i * 15000 + late, v};
    }
}

static int64_t fill(const struct kind *k)
{
    int64_t spent = 0;
    seed = 1;
    for (int i = 0; i < SERIES; i++) {
        chunk_unref(chunks[i]);
        make_samples(k);
        int64_t start = clock_cpu_ns();
        struct chunk_tail tail = {0};
        struct chunk *c = chunk_new(CHUNK_SAMPLE_BYTES);
        for (int n = 0; n < CHUNK_SAMPLES; n++)
            c = chunk_append(c, &tail, samples[n].t, samples[n].v);
        chunks[i] = chunk_seal(c);
        spent += clock_cpu_ns() - start;
    }
    return spent;
}

static int64_t decode(void)
{
    int64_t start = clock_cpu_ns();
    for (int i = 0; i < SERIES; i++)
        sink = decoded[chunk_decode(chunks[i], INT64_MIN, INT64_MAX, decoded) - 1].v;
    return clock_cpu_ns() - start;
}

int main(void)
{
    const double n = (double)SERIES * CHUNK_SAMPLES;
    for (size_t k = 0; k < LEN(kinds); k++) {
        int64_t append = INT64_MAX, read = INT64_MAX, spent;
        size_t bytes = 0;
        for (int r = 0; r < ROUNDS; r++) {
            if ((spent = fill(&kinds[k])) < append)
                append = spent;
            for (int again = 0; again < 3; again++)
                if ((spent = decode()) < read)
                    read = spent;
        }
        for (int i = 0; i < SERIES; i++)
            bytes += chunks[i]->cap; /* with marks */
        printf("%-24s %5.2f bytes   append %5.2f ns   decode %5.2f ns\n", kinds[k].name, (double)bytes / n,
               (double)append / n, (double)read / n);
    }
    for (int i = 0; i < SERIES; i++)
        chunk_unref(chunks[i]);
    return 0;
}
