// SPDX-License-Identifier: Apache-2.0
/* The format, little endian:
 *
 *   segment   a file `%016llx.seg`, named by the sequence number that it began with; records, one behind the other
 *   record    56 bytes of header, then the body
 *     0  4  magic "SLQ1"
 *     4  4  length of the body
 *     8  8  XXH3-64 of the body
 *    16  8  sequence number: one more than the record before it in the shard
 *    24  8  time of the oldest sample, Unix ms
 *    32  8  time of the newest sample
 *    40  4  number of samples
 *    44  4  bits 0..27 length of the body uncompressed in 16-byte units, bits 28..31 codec (1 snappy, 2 zstd)
 *    48  8  XXH3-64 of bytes 0..47
 *
 * Two checksums, because a header can be walked over without reading its body, and because a damaged length must not
 * send the reader anywhere: after a bad header the reader looks for the next magic whose header sum is right. A bad
 * body costs that record alone. Sequence numbers tell what is missing and what was sent already.
 */
#include "writer/queue/segment.h"

#include <errno.h>
#include <unistd.h>

static const char magic[4] = {'S', 'L', 'Q', '1'};

static void segment_put_number(uint8_t *to, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

void record_encode(uint8_t head[RECORD_HEADER], const struct block *b, uint64_t seq)
{
    memcpy(head, magic, 4);
    segment_put_number(head + 4, b->n, 4);
    segment_put_number(head + 8, hash_bytes(b->bytes, b->n), 8);
    segment_put_number(head + 16, seq, 8);
    segment_put_number(head + 24, (uint64_t)b->t_min, 8);
    segment_put_number(head + 32, (uint64_t)b->t_max, 8);
    segment_put_number(head + 40, b->n_samples, 4);
    segment_put_number(head + 44, (b->raw_n / 16 + 1) | (uint32_t)b->codec << 28, 4);
    segment_put_number(head + 48, hash_bytes(head, 48), 8);
}

bool record_decode(const uint8_t head[RECORD_HEADER], struct record *r)
{
    if (memcmp(head, magic, 4) != 0 || get(head + 48, 8) != hash_bytes(head, 48))
        return false;
    uint32_t packed = (uint32_t)get(head + 44, 4);
    *r = (struct record){
        .n = (uint32_t)get(head + 4, 4), .sum = get(head + 8, 8), .seq = get(head + 16, 8),
        .t_min = (int64_t)get(head + 24, 8), .t_max = (int64_t)get(head + 32, 8),
        .n_samples = (uint32_t)get(head + 40, 4),
        .raw_n = (packed & 0x0fffffff) * 16, .codec = (enum codec)(packed >> 28)};
    return r->n <= BLOCK_MAX_BYTES && (r->codec == CODEC_SNAPPY || r->codec == CODEC_ZSTD);
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

/* The place of the next good header in (at, size), or size. */
static uint64_t resync(int fd, uint64_t size, uint64_t at)
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
    b->t_min = r->t_min;
    b->t_max = r->t_max;
    errno = 0;
    if (read_at(fd, b->bytes, r->n, at) && record_body_ok(r, b->bytes))
        return b;
    int why = errno;
    block_unref(b);
    errno = why;
    return NULL;
}

/* Whether the file ends here, or goes on with a good header. */
static bool record_border(int fd, uint64_t size, uint64_t at)
{
    uint8_t head[RECORD_HEADER];
    struct record r;
    return at == size || (at + RECORD_HEADER <= size && read_at(fd, head, sizeof head, at) && record_decode(head, &r));
}

/* Behind a good header with a bad body the next record is where its length says. What looks like a record within the
 * body may be a label value that somebody chose. */
static uint64_t skip_bad_record(int fd, uint64_t size, uint64_t at, const struct record *r)
{
    return r && record_border(fd, size, at + RECORD_HEADER + r->n) ? at + RECORD_HEADER + r->n : resync(fd, size, at);
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
