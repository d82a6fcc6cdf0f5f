// SPDX-License-Identifier: Apache-2.0
/* Evaluating matchers on postings.
 *
 * A matcher that does not match "" keeps the series with a matching value. One that matches "" drops the series with a
 * value that does not match: series without the label are kept. Matchers that list their values are cheap and are
 * evaluated first. The others are evaluated for every value of their name if it has fewer values than there are series
 * left; otherwise they are evaluated per series.
 */
#include "writer/recent/postings_match.h"

/* A value is matched in 150 ns; a long one by an expression that drives its automaton through ever new states in 2 us a
 * byte. */
enum { PAUSE_EVERY = 256 /* values */, LONG_VALUE = 8 /* bytes that count as another one */ };

struct postings_matcher {
    struct postings_match *out;
    const struct index *index;
    struct arena *arena;
    uint64_t *scratch;
    struct postings_pause pause;
    bool broken; /* `pause` returned false */
};

static size_t n_words(const struct postings_match *s) { return (s->n_ids + 63) / 64; }

static void add_ids(const struct postings_match *s, uint64_t *bits, const struct posting *p)
{
    const uint32_t *ids = posting_ids(p);
    for (uint32_t i = 0; i < p->n; i++)
        if (ids[i] < s->n_ids)
            bits[ids[i] / 64] |= (uint64_t)1 << ids[i] % 64;
}

/* The decisive values: the matching ones, or those that do not match if the matcher matches "". NULL: not listed. */
static const struct str *named_values(const struct matcher *m, size_t *n)
{
    const struct str *values = &m->value;
    *n = 1;
    if (m->re)
        values = regex_literals(m->re, n);
    for (size_t i = 0; values && i < *n; i++)
        if (values[i].n == 0)
            return NULL;
    return values;
}

/* --- one matcher -------------------------------------------------------------------------------------------------- */

static void unite_named(struct postings_matcher *k, const struct name_postings *names, const struct str *values,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct posting *p = map_get(&names->values, values[i]);
        if (p)
            add_ids(k->out, k->scratch, p);
    }
}

/* The table may grow during a pause; values visited twice are added once. */
static bool postings_union_matching(struct postings_matcher *k, const struct name_postings *names,
                                    const struct matcher *m, bool entry)
{
    struct map_walk walk = {0};
    size_t asked = 0;
    for (const struct map_entry *e; (e = map_walk_next(&names->values, &walk)); ) {
        if (matcher_value(m, e->key) == entry)
            add_ids(k->out, k->scratch, e->value.p);
        asked += 1 + e->key.n / LONG_VALUE;
        if (asked < PAUSE_EVERY)
            continue;
        asked = 0;
        if (!k->pause.fn(k->pause.arg)) {
            k->broken = true;
            return false;
        }
    }
    return true;
}

/* --- all matchers ------------------------------------------------------------------------------------------------- */

static uint64_t *new_bits(struct postings_matcher *k, int fill)
{
    size_t size = n_words(k->out) * sizeof(uint64_t);
    return memset(arena_alloc(k->arena, size), fill, size);
}

static size_t postings_count(const struct postings_match *s)
{
    size_t sum = 0;
    for (size_t i = 0; s->bits && i < n_words(s); i++)
        sum += (size_t)__builtin_popcountll(s->bits[i]);
    return s->bits ? sum : s->n_ids;
}

/* Keeps or drops the series in the scratch bits, and clears these. */
static void postings_combine(struct postings_matcher *k, bool drops)
{
    struct postings_match *s = k->out;
    if (s->bits == NULL)
        s->bits = new_bits(k, 0xff);
    for (size_t i = 0; i < n_words(s); i++) {
        s->bits[i] &= drops ? ~k->scratch[i] : k->scratch[i];
        k->scratch[i] = 0;
    }
}

static bool apply_named(struct postings_matcher *k, const struct matcher *m)
{
    size_t n;
    const struct str *values = named_values(m, &n);
    const struct name_postings *names = index_name(k->index, m->name);
    if (values && names)
        unite_named(k, names, values, n);
    if (values || names == NULL)
        postings_combine(k, matcher_matches_empty(m));
    return values || names == NULL;
}

static bool postings_apply_matcher(struct postings_matcher *k, const struct matcher *m)
{
    const struct name_postings *names = index_name(k->index, m->name);
    bool drops = matcher_matches_empty(m);
    if (k->broken || names == NULL || names->values.n > postings_count(k->out))
        return false;
    if (!postings_union_matching(k, names, m, !drops)) {
        memset(k->scratch, 0, n_words(k->out) * sizeof *k->scratch);
        return false;
    }
    postings_combine(k, drops);
    return true;
}

void postings_match_build(struct postings_match *s, const struct index *x, size_t n_ids, struct arena *a,
                          const struct matcher *m, size_t n, struct postings_pause pause)
{
    *s = (struct postings_match){.n_ids = n_ids, .remaining = ARENA_ARRAY(a, const struct matcher *, n)};
    struct postings_matcher k = {.out = s, .index = x, .arena = a, .pause = pause};
    size_t n_remaining = 0;
    k.scratch = new_bits(&k, 0);
    for (size_t i = 0; i < n; i++)
        if (!apply_named(&k, &m[i]))
            s->remaining[n_remaining++] = &m[i];
    for (size_t i = 0; i < n_remaining; i++)
        if (!postings_apply_matcher(&k, s->remaining[i]))
            s->remaining[s->n_remaining++] = s->remaining[i];
}

size_t postings_match_next(const struct postings_match *s, size_t id)
{
    if (s->bits == NULL || id >= s->n_ids)
        return id;
    uint64_t word = s->bits[id / 64] >> id % 64;
    if (word)
        return id + (size_t)__builtin_ctzll(word);
    for (size_t i = id / 64 + 1; i < n_words(s); i++)
        if (s->bits[i])
            return i * 64 + (size_t)__builtin_ctzll(s->bits[i]);
    return s->n_ids;
}

bool postings_match_check(const struct postings_match *s, struct labels l)
{
    for (size_t i = 0; i < s->n_remaining; i++)
        if (!matchers_match(s->remaining[i], 1, l))
            return false;
    return true;
}
