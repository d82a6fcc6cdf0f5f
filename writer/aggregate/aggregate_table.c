// SPDX-License-Identifier: Apache-2.0
/* An index of numbers over chunks of records, in lines of the size of a cache line: 12 numbers and a byte of each
 * identity, so that hardly any record is read but the one that is looked for. What does not fit in its line is in one
 * of the next ones; each line counts what has passed it. Where an identity belongs is determined by its product with
 * an odd number that the process draws: who chooses the identities cannot choose the lines.
 *
 * The index is divided into segments, which grow one by one: by a half, so that little memory is unused, and in a
 * fraction of a millisecond. */
#include "writer/aggregate/aggregate_table.h"

#include "base/hash.h"

enum { LINE_SLOTS = 12, LINE_WORDS = LINE_SLOTS / 4, SEGMENT_FULL = 10 /* numbers of a line, on average */ };
struct table_line {
    uint32_t tags[LINE_WORDS]; /* bytes; 0 = the slot is empty */
    uint32_t passed;           /* how many are in a line behind this one, but would have been put here */
    uint32_t numbers[LINE_SLOTS];
};

void table_init(struct aggregate_table *t, size_t record_size)
{
    *t = (struct aggregate_table){.size = (uint32_t)(record_size + 3) & ~3u, .free = TABLE_NONE};
}

void table_free(struct aggregate_table *t)
{
    for (size_t i = 0; i < t->n_chunks; i++)
        mem_free(t->chunks[i].records);
    for (size_t i = 0; t->index && i < TABLE_SEGMENTS; i++)
        mem_free(t->index[i].lines);
    mem_free(t->chunks);
    mem_free(t->index);
    table_init(t, t->size);
}

/* ---- where an identity belongs ----------------------------------------------------------------------------------- */

static uint64_t table_factor(void)
{
    static uint64_t factor; /* the same for all threads: of a secret that the process draws */
    uint64_t f = __atomic_load_n(&factor, __ATOMIC_RELAXED);
    if (f == 0) {
        f = hash_keyed("aggregate", 9) | 1;
        __atomic_store_n(&factor, f, __ATOMIC_RELAXED);
    }
    return f;
}

/* The segment is in the upper 6 bits, the line in the next 32, the tag in those below. */
static uint64_t table_mix(uint64_t id) { return id * table_factor(); }
static struct table_segment *mix_segment(const struct aggregate_table *t, uint64_t mix) { return &t->index[mix >> 58]; }
static uint32_t mix_line(const struct table_segment *s, uint64_t mix)
{
    return (uint32_t)((uint64_t)(uint32_t)(mix >> 26) * s->n_lines >> 32);
}
static uint8_t mix_tag(uint64_t mix)
{
    uint8_t tag = (uint8_t)(mix >> 18);
    return tag ? tag : 1;
}
static uint32_t line_after(const struct table_segment *s, uint32_t line)
{
    return line + 1 < s->n_lines ? line + 1 : 0;
}

/* The upper bit of each byte that equals `tag`, and perhaps of bytes above one that does. */
static uint32_t tags_equal(uint32_t tags, uint8_t tag)
{
    uint32_t x = tags ^ tag * 0x01010101u;
    return (x - 0x01010101u) & ~x & 0x80808080u;
}
static unsigned first_tag(uint32_t equal) { return (unsigned)__builtin_ctz(equal) / 8; }

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* The slot of the line with this tag and identity; LINE_SLOTS: none. */
static unsigned line_find(const struct aggregate_table *t, const struct table_line *l, uint64_t id, uint8_t tag)
{
    for (unsigned w = 0; w < LINE_WORDS; w++)
        for (uint32_t equal = tags_equal(l->tags[w], tag); equal != 0; equal &= equal - 1) {
            unsigned slot = 4 * w + first_tag(equal);
            if ((l->tags[w] >> slot % 4 * 8 & 0xff) == tag && table_id(t, l->numbers[slot]) == id)
                return slot;
        }
    return LINE_SLOTS;
}

uint32_t table_find(const struct aggregate_table *t, uint64_t id)
{
    uint64_t mix = table_mix(id);
    if (t->index == NULL || mix_segment(t, mix)->n == 0)
        return TABLE_NONE;
    const struct table_segment *s = mix_segment(t, mix);
    uint32_t at = mix_line(s, mix);
    for (uint32_t n = 0; n < s->n_lines; n++, at = line_after(s, at)) {
        const struct table_line *l = &s->lines[at];
        unsigned slot = line_find(t, l, id, mix_tag(mix));
        if (slot < LINE_SLOTS)
            return l->numbers[slot];
        if (l->passed == 0)
            break;
    }
    return TABLE_NONE;
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

static bool line_put(struct table_line *l, uint8_t tag, uint32_t number)
{
    for (unsigned w = 0; w < LINE_WORDS; w++) {
        uint32_t empty = tags_equal(l->tags[w], 0);
        if (empty == 0)
            continue;
        unsigned byte = first_tag(empty);
        l->tags[w] |= (uint32_t)tag << 8 * byte;
        l->numbers[4 * w + byte] = number;
        return true;
    }
    return false;
}

static void segment_put(struct table_segment *s, uint64_t mix, uint32_t number)
{
    uint32_t at = mix_line(s, mix);
    while (!line_put(&s->lines[at], mix_tag(mix), number)) {
        s->lines[at].passed++;
        at = line_after(s, at);
    }
    s->n++;
}

static void line_prefetch(const struct aggregate_table *t, const struct table_line *l)
{
    for (unsigned i = 0; i < LINE_SLOTS; i++)
        if (l->tags[i / 4] >> i % 4 * 8 & 0xff)
            __builtin_prefetch(table_at(t, l->numbers[i]));
}

static void segment_grow(const struct aggregate_table *t, struct table_segment *s)
{
    struct table_segment old = *s;
    *s = (struct table_segment){.n_lines = old.n_lines + old.n_lines / 2 + 1};
    s->lines = mem_zalloc(s->n_lines * sizeof *s->lines);
    for (uint32_t at = 0; at < old.n_lines; at++) {
        const struct table_line *l = &old.lines[at];
        if (at + 1 < old.n_lines)
            line_prefetch(t, l + 1);
        for (unsigned i = 0; i < LINE_SLOTS; i++)
            if (l->tags[i / 4] >> i % 4 * 8 & 0xff)
                segment_put(s, table_mix(table_id(t, l->numbers[i])), l->numbers[i]);
    }
    mem_free(old.lines);
}

static uint32_t table_take_number(struct aggregate_table *t)
{
    uint32_t i = t->free;
    if (i != TABLE_NONE) {
        memcpy(&t->free, (char *)table_at(t, i) + sizeof(uint64_t), sizeof t->free);
        return i;
    }
    if (t->used >= TABLE_MOST)
        return TABLE_NONE;
    i = t->used++;
    if (i >> TABLE_CHUNK_BITS >= t->n_chunks) {
        mem_grow(&t->chunks, &t->_cap_chunks, t->n_chunks + 1, sizeof *t->chunks);
        t->chunks[t->n_chunks++] = (struct table_chunk){mem_alloc((size_t)TABLE_CHUNK * t->size), true};
    }
    return i;
}

uint32_t table_add(struct aggregate_table *t, uint64_t id)
{
    uint64_t mix = table_mix(id);
    uint32_t i = table_take_number(t);
    if (i == TABLE_NONE)
        return TABLE_NONE;
    if (t->index == NULL)
        t->index = mem_zalloc(TABLE_SEGMENTS * sizeof *t->index);
    struct table_segment *s = mix_segment(t, mix);
    if (s->n + 1 > s->n_lines * SEGMENT_FULL)
        segment_grow(t, s);
    char *record = table_at(t, i);
    memset(record, 0, t->size);
    memcpy(record, &id, sizeof id);
    segment_put(s, mix, i);
    t->n++;
    return i;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

void table_forget(struct aggregate_table *t, uint32_t i)
{
    uint64_t id = table_id(t, i), mix = table_mix(id);
    struct table_segment *s = mix_segment(t, mix);
    uint32_t at = mix_line(s, mix);
    unsigned slot;
    while ((slot = line_find(t, &s->lines[at], id, mix_tag(mix))) == LINE_SLOTS) {
        s->lines[at].passed--;
        at = line_after(s, at);
    }
    s->lines[at].tags[slot / 4] &= ~(0xffu << slot % 4 * 8);
    s->n--;
}

void table_release(struct aggregate_table *t, uint32_t i)
{
    char *record = table_at(t, i);
    memset(record, 0, sizeof(uint64_t));
    memcpy(record + sizeof(uint64_t), &t->free, sizeof t->free);
    t->free = i;
    t->n--;
}

size_t table_bytes(const struct aggregate_table *t)
{
    size_t bytes = t->n_chunks * TABLE_CHUNK * t->size;
    for (size_t i = 0; t->index && i < TABLE_SEGMENTS; i++)
        bytes += sizeof *t->index + t->index[i].n_lines * sizeof *t->index[i].lines;
    return bytes;
}
