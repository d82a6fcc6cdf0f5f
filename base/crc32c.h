// SPDX-License-Identifier: Apache-2.0
/* CRC-32C (Castagnoli polynomial), the checksum of Prometheus' chunked remote read. Any thread. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/str.h"

#include <stdint.h>

uint32_t crc32c(struct str s);

#endif
