// SPDX-License-Identifier: Apache-2.0
/* The format of queue files, little endian:
 *
 *   segment   a file `%016llx.seg`, named by its first sequence number; consecutive records
 *   record    56 bytes of header, then the body
 *     0  4  magic "SLQ1"
 *     4  4  length of the body
 *     8  8  XXH3-64 of the body
 *    16  8  sequence number: larger than that of the record before it in the shard. Numbers between them belong to blocks
 *           that were delivered before they would have been written, or are lost
 *    24  8  time of the oldest sample, Unix ms
 *    32  8  time of the newest sample
 *    40  4  number of samples; in a joint block bits 0..19, with the number of lanes in bits 20..31
 *    44  4  bits 0..27 length of the body uncompressed in 16-byte units, bits 28..30 codec (1 snappy, 2 zstd), bit 31 set
 *           in a joint block (send/shard.h)
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
static const char magic[4] = {'S', 'L', 'Q', '1'};

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
    memcpy(head, magic, 4);
    put_le(head + 4, b->n, 4);
    put_le(head + 8, hash_bytes(b->bytes, b->n), 8);
    put_le(head + 16, seq, 8);
    put_le(head + 24, (uint64_t)b->t_min, 8);
    put_le(head + 32, (uint64_t)b->t_max, 8);
    uint32_t joint = b->joint_lanes > 0;
    put_le(head + 40, b->n_samples | (uint32_t)b->joint_lanes << JOINT_SAMPLE_BITS, 4);
    put_le(head + 44, (b->raw_n / 16 + 1) | (uint32_t)b->codec << 28 | joint << 31, 4);
    put_le(head + 48, hash_bytes(head, 48), 8);
}

bool record_decode(const uint8_t head[RECORD_HEADER], struct record *r)
{
    if (memcmp(head, magic, 4) != 0 || get_le(head + 48, 8) != hash_bytes(head, 48))
        return false;
    uint32_t samples = (uint32_t)get_le(head + 40, 4), packed = (uint32_t)get_le(head + 44, 4), joint = packed >> 31;
    *r = (struct record){
        .n = (uint32_t)get_le(head + 4, 4), .sum = get_le(head + 8, 8), .seq = get_le(head + 16, 8),
        .t_min = (int64_t)get_le(head + 24, 8), .t_max = (int64_t)get_le(head + 32, 8),
        .n_samples = joint ? samples & ((1u << JOINT_SAMPLE_BITS) - 1) : samples,
        .joint_lanes = joint ? (uint16_t)(samples >> JOINT_SAMPLE_BITS) : 0,
        .raw_n = (packed & 0x0fffffff) * 16, .codec = (enum codec)(packed >> 28 & 7)};
    return joint == (r->joint_lanes > 0) && r->n <= BLOCK_MAX_BYTES && (r->codec == CODEC_SNAPPY || r->codec == CODEC_ZSTD);
}

bool record_body_ok(const struct record *r, const uint8_t *body) { return hash_bytes(body, r->n) == r->sum; }

static bool read_at(int fd, void *to, size_t n, uint64_t at)
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
    for (at++; found == size && at + RECORD_HEADER <= size; at += WINDOW - RECORD_HEADER) {
        size_t n = size - at < WINDOW ? (size_t)(size - at) : WINDOW;
        if (!read_at(fd, window, n, at))
            break;
        struct record r;
        for (size_t i = 0; i + RECORD_HEADER <= n && found == size; i++)
            if (window[i] == magic[0] && record_decode(window + i, &r))
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
    b->codec = r->codec;
    b->n_samples = r->n_samples;
    b->raw_n = r->raw_n;
    b->joint_lanes = r->joint_lanes;
    b->t_min = r->t_min;
    b->t_max = r->t_max;
    errno = 0;
    if (read_at(fd, b->bytes, r->n, at) && record_body_ok(r, b->bytes))
        return b;
    int error = errno;
    block_unref(b);
    errno = error;
    return NULL;
}

/* True if the file ends at this offset or has a valid header there. */
static bool record_border(int fd, uint64_t size, uint64_t at)
{
    uint8_t head[RECORD_HEADER];
    struct record r;
    return at == size || (at + RECORD_HEADER <= size && read_at(fd, head, sizeof head, at) && record_decode(head, &r));
}

/* After a valid header with a corrupted body the next record is where the length says. The body itself is not searched:
 * it may contain a label value that looks like a record. */
static uint64_t skip_bad_record(int fd, uint64_t size, uint64_t at, const struct record *r)
{
    return r && record_border(fd, size, at + RECORD_HEADER + r->n) ? at + RECORD_HEADER + r->n
                                                                   : segment_resync(fd, size, at);
}

enum segment_step segment_next(int fd, uint64_t size, uint64_t *at, struct record *r, struct block **body,
                               uint64_t *skipped)
{
    while (*at + RECORD_HEADER <= size) {
        uint8_t head[RECORD_HEADER];
        uint64_t here = *at;
        errno = 0;
        bool complete = read_at(fd, head, sizeof head, here) && record_decode(head, r) &&
                        here + RECORD_HEADER + r->n <= size, good = complete;
        if (good && body)
            good = (*body = segment_read_block(fd, here + RECORD_HEADER, r)) != NULL;
        if (good) {
            *at = here + RECORD_HEADER + r->n;
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
