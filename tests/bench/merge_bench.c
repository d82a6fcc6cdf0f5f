// SPDX-License-Identifier: Apache-2.0
/* What the merge of two replicas costs: 5,000 series of 240 samples at 15 s. Nanoseconds per sample that a replica
 * holds, the least of many rounds. The argument selects cases by a part of their name. */
#include "base/text/duration.h"
#include "gateway/merge/copies.h"
#include "gateway/merge/merge.h"

#include <stdio.h>
#include <string.h>

enum { SERIES = 5000, SAMPLES = 240, ROUNDS = 15, INTERVAL_MS = 15000, TARGET = 50 /* series that share timestamps */ };

struct side { struct series series[SERIES]; struct sample samples[SERIES][SAMPLES]; };
static struct side left, right;

/* Each target has its own offset. gaps: of every tenth target the replica has a gap of 20 scrapes at first_gap. */
static void side_fill(struct side *side, int64_t shift, bool gaps, uint32_t first_gap)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        uint32_t target = i / TARGET, n = 0;
        int64_t offset = target * 7919 % INTERVAL_MS;
        for (uint32_t k = 0; k < SAMPLES; k++)
            if (!gaps || target % 10 || k < first_gap || k >= first_gap + 20)
                side->samples[i][n++] = (struct sample){offset + shift + (int64_t)k * INTERVAL_MS, (double)k * i};
        side->series[i] = (struct series){.samples = side->samples[i], .n_samples = n};
    }
}

static void merge_once(bool copies, struct arena *arena)
{
    static const struct merge_rule automatic = {.ms = MERGE_DEFAULT_MS, .automatic = true};
    struct merge_job job = {.rule = &automatic, .arena = arena, .from = 0, .to = (int64_t)SAMPLES * INTERVAL_MS};
    struct evidence seen = {0};
    for (uint32_t i = 0; i < SERIES; i++) {
        struct series into = left.series[i];
        copies_compare(&seen, &left.series[i], &right.series[i]);
        merge_replicas(&job, (const struct series *const[]){&left.series[i], &right.series[i]},
                       (unsigned[]){0, !copies}, 2, &into);
    }
}

static const char *selected = "";

static void measure(const char *what, bool copies, int64_t shift, bool gaps)
{
    struct arena_spare spare = {.most = 16}; /* as query workers have */
    int64_t least = INT64_MAX;
    if (strstr(what, selected) == NULL)
        return;
    side_fill(&left, 0, gaps, 60);
    side_fill(&right, shift, gaps, 140);
    for (int i = 0; i < ROUNDS; i++) {
        struct arena arena;
        arena_init(&arena, 0);
        arena.spare = &spare;
        int64_t start = clock_mono_ns();
        merge_once(copies, &arena);
        int64_t took = clock_mono_ns() - start;
        least = took < least ? took : least;
        arena_free(&arena);
    }
    arena_spare_free(&spare);
    printf("%-52s %8.2f ns\n", what, (double)least / (2.0 * SERIES * SAMPLES));
}

int main(int argc, char **argv)
{
    selected = argc > 1 ? argv[1] : "";
    measure("independent replicas, complete", false, 6000, false);
    measure("independent replicas, one target in ten with gaps", false, 6000, true);
    measure("copies, complete", true, 0, false);
    measure("copies, one target in ten with gaps", true, 0, true);
    return 0;
}
