// SPDX-License-Identifier: Apache-2.0
/* Equal shares for members of zones of different sizes.
 *
 * The first owner of a target is any member, the next ones are in other zones: a member of the largest zone is then
 * passed over more often than others, and owns less. A factor for each zone corrects that: the weights of its members,
 * when the second and the third owner are chosen, are multiplied by it. The factors are found by iteration over the
 * probabilities that a zone is the first, second or third one. A zone that has more than 1 / replicas of all weight
 * cannot have its share: it has one owner of each target, and the others share the rest.
 */
#ifndef MODEL_CLUSTER_ZONE_FACTORS_H
#define MODEL_CLUSTER_ZONE_FACTORS_H

#include <stddef.h>

enum { ZONES_MOST = 64 }; /* with more, none is so large that it matters */
/* weights: of the zones' members together, 0: none takes part; at most ZONES_MOST. replicas: 2 or 3. */
void zone_factors(const double *weights, size_t n, unsigned replicas, double *out);

#endif
