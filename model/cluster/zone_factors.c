// SPDX-License-Identifier: Apache-2.0
#include "model/cluster/zone_factors.h"

#include <math.h>

enum { ROUNDS = 60 };

/* The share of owners that each zone should have: in proportion to its weight, but at most one of each target. */
static void zone_goals(const double *first, size_t n, unsigned replicas, double *goals)
{
    double left = replicas, weight = 1;
    for (size_t i = 0; i < n; i++)
        goals[i] = 0;
    for (int full = 1; full;) {
        full = 0;
        for (size_t i = 0; i < n; i++) {
            if (goals[i] == 1 || first[i] == 0 || left * first[i] < weight)
                continue;
            goals[i] = 1;
            left -= 1;
            weight -= first[i];
            full = 1;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (goals[i] < 1)
            goals[i] = weight > 0 ? left * first[i] / weight : 0;
}

/* How often each zone is the second or third one. The third one is m after i and k with the probability of i and k,
 * times effective[m], over what is left without them: the sum over all pairs, less those that m is one of, so that a
 * view with many zones and changes takes milliseconds. */
static void zone_later(const double *first, const double *effective, size_t n, unsigned replicas, double *later)
{
    double sum = 0, pairs = 0, pairs_with[ZONES_MOST] = {0};
    for (size_t i = 0; i < n; i++) {
        sum += effective[i];
        later[i] = 0;
    }
    for (size_t i = 0; i < n; i++) {
        double rest = sum - effective[i];
        for (size_t k = 0; k < n && rest > 0; k++) {
            if (k == i || effective[k] == 0 || first[i] == 0)
                continue;
            double second = first[i] * effective[k] / rest, after = rest - effective[k];
            later[k] += second;
            if (replicas < 3 || after <= 1e-12 * rest)
                continue;
            pairs += second / after;
            pairs_with[i] += second / after;
            pairs_with[k] += second / after;
        }
    }
    for (size_t m = 0; m < n; m++)
        if (pairs > pairs_with[m])
            later[m] += effective[m] * (pairs - pairs_with[m]);
}

/* Rounded, so that members whose processors calculate differently agree. */
static double zone_round(double f) { return f < 1e-3 ? 1e-3 : f > 1e3 ? 1e3 : round(f * 65536) / 65536; }

void zone_factors(const double *weights, size_t n, unsigned replicas, double *out)
{
    double first[ZONES_MOST], goals[ZONES_MOST], effective[ZONES_MOST], later[ZONES_MOST], sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += weights[i];
        out[i] = 1;
    }
    if (sum <= 0)
        return;
    for (size_t i = 0; i < n; i++)
        first[i] = weights[i] / sum;
    zone_goals(first, n, replicas, goals);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < n; i++)
            effective[i] = first[i] * out[i];
        zone_later(first, effective, n, replicas, later);
        for (size_t i = 0; i < n; i++)
            if (later[i] > 0 && goals[i] > first[i])
                out[i] *= (goals[i] - first[i]) / later[i];
    }
    for (size_t i = 0; i < n; i++)
        out[i] = zone_round(out[i]);
}
