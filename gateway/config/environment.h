// SPDX-License-Identifier: Apache-2.0
/* Environment variables in flags and files: ${NAME} in external_labels as in Prometheus, in the whole file as in Grafana
 * Agent, %{NAME} as in vmagent. Main thread, or the one that loads the configuration.
 */
#ifndef GATEWAY_CONFIG_ENVIRONMENT_H
#define GATEWAY_CONFIG_ENVIRONMENT_H

#include "base/conf/conf.h"

/* Replaces $NAME and ${NAME} in the values by the variable, $$ by a dollar sign. Labels that become empty are
 * removed. */
void environment_expand_labels(struct conf_context *c, struct str_map *labels);
/* Replaces %{NAME} by the variable. False if it is not set: *missing is its name, a slice of `text`. */
bool environment_fill(struct str text, struct buf *out, struct str *missing) MUST_USE;
/* y: parsed of what environment_fill has made of `text`. Sets `reference` of its scalars in which variables were replaced. */
void environment_note_references(struct arena *a, struct yaml *y, struct str text);
/* Replaces $NAME, ${NAME} and ${NAME:-default} by the variable, or the default if it is empty or not set; $$ by a dollar
 * sign. A variable without a default that is not set is empty, as in Grafana Agent. */
void environment_expand_file(struct str text, struct buf *out);

#endif
