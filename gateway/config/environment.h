// SPDX-License-Identifier: Apache-2.0
/* Values of the environment in flags and files: ${NAME} in external_labels as Prometheus expands it, %{NAME} as vmagent
 * does. Main thread.
 */
#ifndef GATEWAY_CONFIG_ENVIRONMENT_H
#define GATEWAY_CONFIG_ENVIRONMENT_H

#include "base/conf/conf.h"

/* $NAME and ${NAME} in the values become the environment's value, $$ a dollar sign. */
void environment_expand_labels(struct conf_context *c, struct str_map *labels);
/* %{NAME} becomes the environment's value. False when there is none: *missing gets the name, a slice of `text`. */
bool environment_fill(struct str text, struct buf *out, struct str *missing) MUST_USE;

#endif
