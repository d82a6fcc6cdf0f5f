// SPDX-License-Identifier: Apache-2.0
#include "writer/pipeline/sharding.h"

#include "base/hash.h"

uint64_t sharding_hash_vmagent(size_t position, struct str url)
{
    struct buf node = {0};
    buf_printf(&node, "%zu:%.*s", position + 1, STR_ARG(url));
    uint64_t hash = hash_xxh64(node.p, node.n);
    buf_free(&node);
    return hash;
}

static bool label_is_hashed(const struct sharding_conf *c, struct str name)
{
    const struct str_list *list = c->labels.n > 0 ? &c->labels : &c->ignore_labels;
    bool listed = false;
    for (size_t i = 0; i < list->n && !listed; i++)
        listed = str_eq(list->items[i], name);
    return listed == (c->labels.n > 0);
}

void sharding_key_add(const struct sharding *s, struct buf *key, struct str name, struct str value)
{
    bool apart = s->conf->hash == SHARD_HASH_RENDEZVOUS;
    buf_add_str(key, name);
    if (apart)
        buf_add_char(key, 0);
    buf_add_str(key, value);
    if (apart)
        buf_add_char(key, 0);
}

static void sharding_make_key(const struct sharding *s, struct buf *key, struct labels in)
{
    struct labels_iter it = labels_iter(in);
    struct label label;
    bool all = s->conf->labels.n == 0 && s->conf->ignore_labels.n == 0;
    buf_clear(key);
    while (labels_next(&it, &label))
        if (all || label_is_hashed(s->conf, label.name))
            sharding_key_add(s, key, label.name, label.value);
}

/* vmagent's mixing: xorshift*. */
static uint64_t sharding_score(uint64_t node, uint64_t series)
{
    uint64_t x = node ^ series;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return x * 0x2545F4914F6CDD1D;
}

/* The destination with the highest score that is not in `taken`; of equal ones the first. */
static unsigned highest_score(const struct sharding *s, uint64_t series, uint64_t taken)
{
    unsigned best = s->n;
    uint64_t best_score = 0;
    for (unsigned i = 0; i < s->n; i++) {
        uint64_t score = sharding_score(s->nodes[i], series);
        if ((taken >> i & 1) == 0 && (best == s->n || score > best_score)) {
            best = i;
            best_score = score;
        }
    }
    return best;
}

static unsigned sharding_copies(const struct sharding *s)
{
    return (uint64_t)s->conf->replicas < s->n ? (unsigned)s->conf->replicas : s->n;
}

uint64_t sharding_of_key(const struct sharding *s, struct str key)
{
    bool rendezvous = s->conf->hash == SHARD_HASH_RENDEZVOUS;
    uint64_t series = rendezvous ? hash_bytes(key.p, key.n) : hash_xxh64(key.p, key.n);
    unsigned at = highest_score(s, series, 0);
    uint64_t set = 1ull << at;
    for (unsigned i = 1; i < sharding_copies(s); i++) {
        at = rendezvous ? highest_score(s, series, set) : (at + 1) % s->n;
        set |= 1ull << at;
    }
    return set;
}

uint64_t sharding_destinations(const struct sharding *s, struct buf *key, struct labels in)
{
    if (sharding_copies(s) == s->n)
        return UINT64_MAX;
    sharding_make_key(s, key, in);
    return sharding_of_key(s, buf_str(key));
}

/* --- configuration ------------------------------------------------------------------------------------------------ */

#define SHARDING(field) offsetof(struct sharding_conf, field)
static const char *const shard_hashes[] = {"vmagent", "rendezvous", NULL};
static const struct conf_row sharding_rows[] = {
    {CONF_ENUM, "hash", SHARDING(hash), .preset = "vmagent", .names = shard_hashes,
     .help = "Placement of series: `vmagent` as `-remoteWrite.shardByURL` of vmagent does, by position and URL; "
             "`rendezvous` by the destinations' names, independent of their order"},
    {CONF_STRINGS, "labels", SHARDING(labels), .help = "Hash these labels only"},
    {CONF_STRINGS, "ignore_labels", SHARDING(ignore_labels), .help = "Hash all labels but these"},
    {CONF_INT, "replicas", SHARDING(replicas), .preset = "1", .min = 1, .max = SHARDING_MAX,
     .help = "Number of destinations that get each series"},
    {0}};

static bool sharding_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct sharding_conf *s = value;
    return s->labels.n == 0 || s->ignore_labels.n == 0 ||
           conf_err(node, err, "shard: labels and ignore_labels exclude each other; remove one");
}

const struct conf_section sharding_section = {"shard", sizeof(struct sharding_conf), sharding_rows, sharding_check,
                                              "Sends each series to some of the destinations instead of all"};
