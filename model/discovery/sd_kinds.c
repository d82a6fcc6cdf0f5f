// SPDX-License-Identifier: Apache-2.0
/* How the sources of the kinds that request targets from a server are made. */
#include "model/discovery/source/sd_source.h"

#define MAKER(name, ...) name##_source_new,
sd_source_maker *const sd_server_makers[] = {SD_SERVER_KINDS(MAKER)};
