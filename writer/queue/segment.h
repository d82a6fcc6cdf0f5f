// SPDX-License-Identifier: Apache-2.0
/* Records and segments of the queue on disk: encoding and decoding, without threads or policy. Format: segment.c. */
#ifndef WRITER_QUEUE_SEGMENT_H
#define WRITER_QUEUE_SEGMENT_H

#include "base/err.h"
#include "writer/queue/block.h"

enum { RECORD_HEADER = 64, SEGMENT_BYTES = 16 << 20 };
enum { RECORD_HEADER_1 = 56 };    /* of version 1, which is only read */
struct record {
    uint64_t seq;
    uint32_t header;              /* bytes before the body */
    uint32_t n, n_samples, raw_n; /* n: bytes of the body */
    enum block_message message;
    uint16_t joint_lanes;         /* as in struct block */
    int64_t t_min, t_max;
    enum codec codec;
    uint64_t sum;
};

void record_encode(uint8_t head[RECORD_HEADER], const struct block *b, uint64_t seq);
/* Of either version. False: not a valid header in these n bytes (magic, header checksum, sizes, message). record_body_ok
 * checks the body's checksum. */
bool record_decode(const uint8_t *head, size_t n, struct record *r);
bool record_body_ok(const struct record *r, const uint8_t *body);
bool segment_read_at(int fd, void *to, size_t n, uint64_t at); /* all n bytes; false with errno, 0 = the file is shorter */

enum segment_step { SEGMENT_RECORD, SEGMENT_END, SEGMENT_ERROR };
/* Reads the record at *at of a file of `size` bytes. After corruption it searches the next valid one and adds the bytes
 * skipped to *skipped. With body NULL only the header is read and the body is trusted. *at moves behind the record; on
 * SEGMENT_ERROR (a read failed, see errno) it does not move. */
enum segment_step segment_next(int fd, uint64_t size, uint64_t *at, struct record *r, struct block **body,
                               uint64_t *skipped);

#endif
