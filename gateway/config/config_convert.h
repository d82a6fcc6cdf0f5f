// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/config/: trees of YAML that are put together in an arena. */
#ifndef GATEWAY_CONFIG_CONFIG_CONVERT_H
#define GATEWAY_CONFIG_CONFIG_CONVERT_H

#include "gateway/config/config_file.h"

void tree_append(struct arena *a, struct yaml *list, const struct yaml *more); /* the items of `more`; NULL is none */
/* A copy in which the files that keys of the section name have absolute paths. `node`: a mapping or a list of them. */
struct yaml tree_with_paths(struct arena *a, const struct conf_section *s, const struct yaml *node);

#endif
