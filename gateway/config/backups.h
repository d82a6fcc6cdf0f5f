// SPDX-License-Identifier: Apache-2.0
/* Destinations that are the backup of another one (backup_of): checks them, and gives them the settings of their
 * primaries that decide what a destination is sent. */
#ifndef GATEWAY_CONFIG_BACKUPS_H
#define GATEWAY_CONFIG_BACKUPS_H

#include "base/conf/conf.h"
#include "writer/writer.h"

/* nodes: the list of the first of them in the file; the others come from flags and are no backups. */
bool backups_complete(struct destination_conf *all, size_t n, const struct yaml *nodes, struct err *err) MUST_USE;

#endif
