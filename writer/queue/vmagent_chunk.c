// SPDX-License-Identifier: Apache-2.0
/* The format of vmagent's chunk files (lib/persistentqueue of VictoriaMetrics; unchanged from 1.79 to 1.145):
 *
 *   record    8 bytes length of the block, big endian; then the block, a remote write request of at most 32 MiB
 *             compressed with zstd, or in older versions with snappy
 *
 * There is neither magic nor checksum. So a length is believed when the block ends in the file, at its end or where
 * another such length is, and a block when it can be decompressed and read as a remote write request. After a length
 * that is not believed, the next one that is (and is followed by its block) is searched: vmagent itself gives up the
 * rest of the file.
 */
#include "writer/queue/vmagent_chunk.h"

#include <errno.h>
#include <string.h>

enum { LENGTH_BYTES = 8, VMAGENT_MAX_BLOCK = 32 << 20 };

static uint64_t chunk_decode_length(const uint8_t p[LENGTH_BYTES])
{
    uint64_t n = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        n = n << 8 | p[i];
    return n;
}

static bool chunk_length_fits(const struct vmagent_chunk *c, uint64_t at, uint64_t n)
{
    return n > 0 && n <= VMAGENT_MAX_BLOCK && at + LENGTH_BYTES + n <= c->size;
}

/* The length at `at`. False: none, or with errno a read that failed. */
static bool chunk_read_length(const struct vmagent_chunk *c, uint64_t at, uint32_t *length)
{
    uint8_t head[LENGTH_BYTES];
    if (at + LENGTH_BYTES > c->size || !segment_read_at(c->fd, head, sizeof head, at))
        return false;
    uint64_t n = chunk_decode_length(head);
    *length = (uint32_t)n;
    return chunk_length_fits(c, at, n);
}

static bool chunk_border(const struct vmagent_chunk *c, uint64_t at)
{
    uint32_t n;
    return at == c->size || chunk_read_length(c, at, &n);
}

/* The offset of the next length after `at` that is believed, or the end. */
static uint64_t chunk_resync(const struct vmagent_chunk *c, uint64_t at)
{
    enum { WINDOW = 64 << 10 };
    uint8_t *window = mem_alloc(WINDOW);
    uint64_t found = c->size;
    for (at++; found == c->size && at + LENGTH_BYTES < c->size; at += WINDOW - LENGTH_BYTES) {
        size_t n = c->size - at < WINDOW ? (size_t)(c->size - at) : WINDOW;
        if (!segment_read_at(c->fd, window, n, at))
            break;
        for (size_t i = 0; i + LENGTH_BYTES <= n && found == c->size; i++) {
            uint64_t length = chunk_decode_length(window + i);
            if (chunk_length_fits(c, at + i, length) && chunk_border(c, at + i + LENGTH_BYTES + length))
                found = at + i;
        }
    }
    mem_free(window);
    return found;
}

/* NULL: it is no block, or with errno it cannot be read. */
static struct block *chunk_read_block(const struct vmagent_chunk *c, struct packer *p, uint64_t at, uint32_t n)
{
    static const uint8_t zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    struct err err;
    struct block *b = block_new(n);
    errno = 0;
    if (b == NULL)
        return NULL;
    bool read = segment_read_at(c->fd, b->bytes, n, at);
    int error = errno;
    b->codec = n >= sizeof zstd_magic && memcmp(b->bytes, zstd_magic, sizeof zstd_magic) == 0 ? CODEC_ZSTD
                                                                                            : CODEC_SNAPPY;
    if (read && block_set_contents(p, b, &err))
        return b;
    block_unref(b);
    errno = read ? 0 : error;
    return NULL;
}

/* A block that is none ends where its length says, if another begins there. */
static uint64_t chunk_skip_bad_record(const struct vmagent_chunk *c, uint64_t at, uint32_t n)
{
    return n > 0 && chunk_border(c, at + LENGTH_BYTES + n) ? at + LENGTH_BYTES + n : chunk_resync(c, at);
}

enum segment_step vmagent_chunk_next(const struct vmagent_chunk *c, struct packer *p, uint64_t *at, struct record *r,
                                     struct block **body, uint64_t *skipped)
{
    while (*at + LENGTH_BYTES < c->size) {
        uint64_t here = *at;
        struct block *b = NULL;
        uint32_t n = 0;
        errno = 0;
        bool complete = chunk_read_length(c, here, &n), good = complete;
        if (good && body)
            good = (b = chunk_read_block(c, p, here + LENGTH_BYTES, n)) != NULL;
        if (good) {
            *r = (struct record){.seq = c->start + here, .header = LENGTH_BYTES, .n = n, .message = MESSAGE_WRITE_1};
            if (b) {
                r->n_samples = b->n_samples;
                r->raw_n = b->raw_n;
                r->t_min = b->t_min;
                r->t_max = b->t_max;
                r->codec = b->codec;
                *body = b;
            }
            *at = here + LENGTH_BYTES + n;
            return SEGMENT_RECORD;
        }
        if (errno != 0)
            return SEGMENT_ERROR;
        *at = chunk_skip_bad_record(c, here, complete ? n : 0);
        *skipped += *at - here;
    }
    *skipped += c->size - *at;
    *at = c->size;
    return SEGMENT_END;
}
