// SPDX-License-Identifier: Apache-2.0
/* Four bytes at a time with four tables: table k has the remainder of a byte that is followed by k zero bytes. They are
 * computed once, when the program starts.
 */
#include "base/crc32c.h"

enum { CRC32C_TABLES = 4 };
static uint32_t crc32c_tables[CRC32C_TABLES][256];

__attribute__((constructor)) static void crc32c_start(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0); /* the polynomial, bits reversed */
        crc32c_tables[0][byte] = crc;
    }
    for (int k = 1; k < CRC32C_TABLES; k++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = crc32c_tables[k - 1][byte];
            crc32c_tables[k][byte] = crc >> 8 ^ crc32c_tables[0][crc & 0xff];
        }
}

uint32_t crc32c(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    uint32_t crc = ~0u, word;
    for (; s.n >= 4; s.n -= 4, p += 4) {
        memcpy(&word, p, 4); /* little-endian */
        crc ^= word;
        crc = crc32c_tables[3][crc & 0xff] ^ crc32c_tables[2][crc >> 8 & 0xff] ^ crc32c_tables[1][crc >> 16 & 0xff] ^
              crc32c_tables[0][crc >> 24];
    }
    for (; s.n > 0; s.n--, p++)
        crc = crc >> 8 ^ crc32c_tables[0][(crc ^ *p) & 0xff];
    return ~crc;
}
