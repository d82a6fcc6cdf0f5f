// SPDX-License-Identifier: Apache-2.0
/* The kinds of service discovery that request targets from a server, and how their sources are made. */
#include "model/discovery/sd_source.h"

#define KIND(name, ...)                                                                                               \
    {#name "_sd_configs", #name, offsetof(struct sd_conf, name##_sd_configs), sizeof(struct name##_sd), name##_source_new},
const struct sd_kind sd_server_kinds[] = {SD_SERVER_KINDS(KIND)};
const size_t sd_server_kinds_n = LEN(sd_server_kinds);
