// SPDX-License-Identifier: Apache-2.0
/* The format of queue files, little endian:
 *
 *   segment   a file `%016llx.seg`, named by its first sequence number; consecutive records
 *   record    64 bytes of header, then the body
 *     0  4  magic "SLQ2"
 *     4  4  length of the body
 *     8  8  XXH3-64 of the body
 *    16  8  sequence number: larger than that of the record before it in the shard. Numbers between them belong to blocks
 *           that were delivered before they would have been written, or are lost
 *    24  8  time of the oldest sample, Unix ms
 *    32  8  time of the newest sample
 *    40  4  number of samples
 *    44  4  length of the body uncompressed
 *    48  1  message (1 prometheus.WriteRequest); a record with another one is skipped as if it were corrupted
 *    49  1  codec (1 snappy, 2 zstd)
 *    50  2  of a joint block (send/shard.h) the number of lanes; else 0
 *    52  4  zero
 *    56  8  XXH3-64 of bytes 0..55
 *
 * Version 1 ("SLQ1", 56 bytes of header), which programs before this one wrote, is read. Bytes 0..39 are the same:
 *    40  4  number of samples; in a joint block bits 0..19, with the number of lanes in bits 20..31
 *    44  4  bits 0..27 length of the body uncompressed in 16-byte units, bits 28..30 codec, bit 31 set in a joint block
 *    48  8  XXH3-64 of bytes 0..47
 *
 * There are two checksums because headers are also read without their bodies, and because a corrupted length must not
 * misplace the reader: after an invalid header it searches the next magic with a valid header checksum. A corrupted
 * body costs that record only. Sequence numbers show which blocks are missing and which were sent already.
 */
#include "writer/queue/segment.h"

#include "base/hash.h"

#include <errno.h>
#include <unistd.h>

enum { JOINT_SAMPLE_BITS = 20 };
static const char record_magic[4] = {'S', 'L', 'Q', '2'}, record_magic_1[4] = {'S', 'L', 'Q', '1'};

static void put_le(uint8_t *to, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

void record_encode(uint8_t head[RECORD_HEADER], const struct block *b, uint64_t seq)
{
    memcpy(head, record_magic, 4);
    put_le(head + 4, b->n, 4);
    put_le(head + 8, hash_bytes(b->bytes, b->n), 8);
    put_le(head + 16, seq, 8);
    put_le(head + 24, (uint64_t)b->t_min, 8);
    put_le(head + 32, (uint64_t)b->t_max, 8);
    put_le(head + 40, b->n_samples, 4);
    put_le(head + 44, b->raw_n, 4);
    put_le(head + 48, (uint64_t)b->message, 1);
    put_le(head + 49, (uint64_t)b->codec, 1);
    put_le(head + 50, b->joint_lanes, 2);
    put_le(head + 52, 0, 4);
    put_le(head + 56, hash_bytes(head, 56), 8);
}

static bool record_decode_1(const uint8_t *head, struct record *r)
{
    uint32_t samples = (uint32_t)get_le(head + 40, 4), packed = (uint32_t)get_le(head + 44, 4), joint = packed >> 31;
    r->header = RECORD_HEADER_1;
    r->message = MESSAGE_WRITE_1;
    r->n_samples = joint ? samples & ((1u << JOINT_SAMPLE_BITS) - 1) : samples;
    r->joint_lanes = joint ? (uint16_t)(samples >> JOINT_SAMPLE_BITS) : 0;
    r->raw_n = (packed & 0x0fffffff) * 16;
    r->codec = (enum codec)(packed >> 28 & 7);
    return get_le(head + 48, 8) == hash_bytes(head, 48) && joint == (r->joint_lanes > 0);
}

static bool record_decode_2(const uint8_t *head, struct record *r)
{
    r->header = RECORD_HEADER;
    r->n_samples = (uint32_t)get_le(head + 40, 4);
    r->raw_n = (uint32_t)get_le(head + 44, 4);
    r->message = (enum block_message)head[48];
    r->codec = (enum codec)head[49];
    r->joint_lanes = (uint16_t)get_le(head + 50, 2);
    return get_le(head + 56, 8) == hash_bytes(head, 56);
}

bool record_decode(const uint8_t *head, size_t n, struct record *r)
{
    bool second = n >= RECORD_HEADER && memcmp(head, record_magic, 4) == 0;
    if (!second && (n < RECORD_HEADER_1 || memcmp(head, record_magic_1, 4) != 0))
        return false;
    *r = (struct record){
        .n = (uint32_t)get_le(head + 4, 4), .sum = get_le(head + 8, 8), .seq = get_le(head + 16, 8),
        .t_min = (int64_t)get_le(head + 24, 8), .t_max = (int64_t)get_le(head + 32, 8)};
    return (second ? record_decode_2(head, r) : record_decode_1(head, r)) && r->n <= BLOCK_MAX_BYTES &&
           (r->message == MESSAGE_WRITE_1 || r->message == MESSAGE_WRITE_2) && (r->codec == CODEC_SNAPPY || r->codec == CODEC_ZSTD);
}

bool record_body_ok(const struct record *r, const uint8_t *body) { return hash_bytes(body, r->n) == r->sum; }

bool segment_read_at(int fd, void *to, size_t n, uint64_t at)
{
    for (size_t got = 0; got < n;) {
        ssize_t k = pread(fd, (char *)to + got, n - got, (off_t)(at + got));
        if (k <= 0) {
            errno = k < 0 ? errno : 0;
            return false;
        }
        got += (size_t)k;
    }
    return true;
}

/* The offset of the next valid header in (at, size), or size. */
static uint64_t segment_resync(int fd, uint64_t size, uint64_t at)
{
    enum { WINDOW = 64 << 10 };
    uint8_t *window = mem_alloc(WINDOW);
    uint64_t found = size;
    for (at++; found == size && at + RECORD_HEADER_1 <= size; at += WINDOW - RECORD_HEADER) {
        size_t n = size - at < WINDOW ? (size_t)(size - at) : WINDOW;
        if (!segment_read_at(fd, window, n, at))
            break;
        struct record r;
        for (size_t i = 0; i + RECORD_HEADER_1 <= n && found == size; i++)
            if (window[i] == record_magic[0] && record_decode(window + i, n - i, &r))
                found = at + i;
    }
    mem_free(window);
    return found;
}

static struct block *segment_read_block(int fd, uint64_t at, const struct record *r)
{
    struct block *b = block_new(r->n);
    if (b == NULL) {
        errno = 0;
        return NULL;
    }
    b->message = r->message;
    b->codec = r->codec;
    b->n_samples = r->n_samples;
    b->raw_n = r->raw_n;
    b->joint_lanes = r->joint_lanes;
    b->t_min = r->t_min;
    b->t_max = r->t_max;
    errno = 0;
    if (segment_read_at(fd, b->bytes, r->n, at) && record_body_ok(r, b->bytes))
        return b;
    int error = errno;
    block_unref(b);
    errno = error;
    return NULL;
}

/* Reads the header at `at`. False: none, or with errno a read that failed. */
static bool read_header(int fd, uint64_t size, uint64_t at, struct record *r)
{
    uint8_t head[RECORD_HEADER];
    size_t n = size - at < sizeof head ? (size_t)(size - at) : sizeof head;
    return segment_read_at(fd, head, n, at) && record_decode(head, n, r);
}

/* True if the file ends at this offset or has a valid header there. */
static bool record_border(int fd, uint64_t size, uint64_t at)
{
    struct record r;
    return at == size || (at < size && read_header(fd, size, at, &r));
}

/* After a valid header with a corrupted body the next record is where the length says. The body itself is not searched:
 * it may contain a label value that looks like a record. */
static uint64_t skip_bad_record(int fd, uint64_t size, uint64_t at, const struct record *r)
{
    return r && record_border(fd, size, at + r->header + r->n) ? at + r->header + r->n : segment_resync(fd, size, at);
}

enum segment_step segment_next(int fd, uint64_t size, uint64_t *at, struct record *r, struct block **body,
                               uint64_t *skipped)
{
    while (*at + RECORD_HEADER_1 <= size) {
        uint64_t here = *at;
        errno = 0;
        bool complete = read_header(fd, size, here, r) && here + r->header + r->n <= size, good = complete;
        if (good && body)
            good = (*body = segment_read_block(fd, here + r->header, r)) != NULL;
        if (good) {
            *at = here + r->header + r->n;
            return SEGMENT_RECORD;
        }
        if (errno != 0)
            return SEGMENT_ERROR;
        *at = skip_bad_record(fd, size, here, complete ? r : NULL);
        *skipped += *at - here;
    }
    if (*at < size) { /* a torn tail, shorter than a header */
        *skipped += size - *at;
        *at = size;
    }
    return SEGMENT_END;
}
