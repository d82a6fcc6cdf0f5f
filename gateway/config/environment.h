// SPDX-License-Identifier: Apache-2.0
/* Environment variables in flags and files: ${NAME} in external_labels as in Prometheus, %{NAME} as in vmagent. Main
 * thread.
 */
#ifndef GATEWAY_CONFIG_ENVIRONMENT_H
#define GATEWAY_CONFIG_ENVIRONMENT_H

#include "base/conf/conf.h"

/* Replaces $NAME and ${NAME} in the values by the variable, $$ by a dollar sign. Labels that become empty are
 * removed. */
void environment_expand_labels(struct conf_context *c, struct str_map *labels);
/* Replaces %{NAME} by the variable. False if it is not set: *missing is its name, a slice of `text`. */
bool environment_fill(struct str text, struct buf *out, struct str *missing) MUST_USE;

#endif
