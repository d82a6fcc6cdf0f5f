// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/groups/sd_stats.h"

struct stats_group sd_stats = STATS_GROUP(SD_STATS);
