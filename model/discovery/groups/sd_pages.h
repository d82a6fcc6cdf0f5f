// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: the pages of a list, each of which names the next one by a token or link. A list that
 * leads back to an earlier page, or has more than SD_PAGES_MAX, is refused as endless. */
#ifndef MODEL_DISCOVERY_GROUPS_SD_PAGES_H
#define MODEL_DISCOVERY_GROUPS_SD_PAGES_H

#include "base/arena.h"
#include "base/map.h"

enum { SD_PAGES_MAX = 10000 };
struct sd_pages { struct map seen; struct arena arena; }; /* zeroed: before the first page */
/* Notes the next page; false with err: it was read before, or there are too many. shown: the list, for err. */
bool sd_pages_next(struct sd_pages *p, struct str token, const char *shown, struct err *err) MUST_USE;
void sd_pages_clear(struct sd_pages *p); /* before the first page again */

#endif
