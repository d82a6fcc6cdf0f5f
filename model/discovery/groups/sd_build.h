// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: builds the targets that an API lists, each a group with its own labels. */
#ifndef MODEL_DISCOVERY_GROUPS_SD_BUILD_H
#define MODEL_DISCOVERY_GROUPS_SD_BUILD_H

#include "base/json/json_value.h"
#include "model/discovery/groups/sd_groups.h"

struct sd_build { struct sd_groups *groups; size_t cap, keys_cap, values_cap; };
/* Whether the groups need more than SD_GROUPS_MAX. Then nothing more is added, and sd_poll_succeeded() treats them as a
 * failure. Loops over products of lists check it, to end early. */
bool sd_build_is_full(struct sd_build *b);
void sd_build_start(struct sd_build *b);
void sd_build_target(struct sd_build *b, struct str address); /* the following labels are those of this target */
/* All strings are copied. An empty value is a label that relabeling does not see, and is left out. */
void sd_build_label(struct sd_build *b, const char *name, struct str value);
/* The members of an object, each as a label: prefix and key, in which what is no letter, digit or `_` becomes `_`. */
void sd_build_labels(struct sd_build *b, const char *prefix, const struct json_value *object);
/* The same names with the value "true". */
void sd_build_present(struct sd_build *b, const char *prefix, const struct json_value *object);
/* One such label: prefix and key. */
void sd_build_label_of(struct sd_build *b, const char *prefix, struct str key, struct str value);
struct str sd_build_address(struct sd_build *b, struct str host, unsigned port); /* host:port, [host]:port for IPv6 */
struct arena *sd_build_arena(struct sd_build *b);
void sd_build_drop(struct sd_build *b); /* if the groups are not used */

#endif
