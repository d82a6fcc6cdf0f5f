// SPDX-License-Identifier: Apache-2.0
/* The YAML of an instance, as a client gave it or as it is stored. */
#ifndef GATEWAY_AGENT_INSTANCE_TEXT_H
#define GATEWAY_AGENT_INSTANCE_TEXT_H

#include "base/conf/yaml.h"

/* As it is stored: `name` is that of its key, which the Agent compares. */
void instance_write(struct arena *a, struct str name, const struct yaml *node, struct buf *out);
/* As it is shown: with the keys that the Agent always shows, secrets as <secret>. */
void instance_show(struct arena *a, struct str name, const struct yaml *node, struct buf *out);

#endif
