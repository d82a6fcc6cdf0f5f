// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/ownership.h"

#include "base/hash.h"
#include "base/text/num.h"

bool ownership_member_parse(struct str text, unsigned members, unsigned *member)
{
    uint64_t n;
    while (str_find(text, '-') < text.n)
        text = str_skip(text, str_find(text, '-') + 1);
    if (!num_parse_u64(text, &n) || n >= members)
        return false;
    *member = (unsigned)n;
    return true;
}

static void add_label_to_key(struct buf *key, const struct label *l)
{
    buf_add_str(key, l->name);
    buf_add_char(key, '=');
    buf_add_str(key, l->value);
    buf_add_char(key, ',');
}

static bool list_has_name(const struct str_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i], name))
            return true;
    return false;
}

/* In the order of the builder: sorted before relabel_configs, and what they add behind. It is part of the key. */
void ownership_key(const struct ownership_labels *which, const struct labels_builder *target, struct buf *key)
{
    struct str meta = STR("__meta_");
    buf_clear(key);
    for (size_t i = 0; i < which->only.n; i++) {
        struct label l = {which->only.items[i], builder_get(target, which->only.items[i])};
        if (l.value.n > 0 && !str_starts(l.name, meta))
            add_label_to_key(key, &l);
    }
    for (size_t i = 0, n = key->n > 0 ? 0 : target->n; i < n; i++) {
        const struct label_slot *slot = &target->slots[i];
        if (!slot->deleted && !str_starts(slot->label.name, meta) && !list_has_name(&which->never, slot->label.name))
            add_label_to_key(key, &slot->label);
    }
}

static uint64_t member_score(uint64_t target, unsigned member)
{
    const uint64_t parts[] = {target, member};
    return hash_bytes(parts, sizeof parts);
}

/* Whether fewer than `replicas` members have a higher score. */
static bool among_highest(const struct ownership *o, uint64_t target)
{
    uint64_t own = member_score(target, o->member);
    unsigned higher = 0;
    for (unsigned i = 0; i < o->members && higher < o->replicas; i++) {
        uint64_t score = member_score(target, i);
        higher += score > own || (score == own && i < o->member);
    }
    return higher < o->replicas;
}

/* `members` has the highest scores of those before `member`, in descending order; a tie is the lower member's. */
static size_t rank_shard_member(uint64_t target, unsigned *members, size_t n, size_t most, unsigned member)
{
    uint64_t score = member_score(target, member);
    size_t at = n;
    while (at > 0 && member_score(target, members[at - 1]) < score)
        at--;
    if (at == most)
        return n;
    n = n < most ? n + 1 : most;
    memmove(&members[at + 1], &members[at], (n - at - 1) * sizeof *members);
    members[at] = member;
    return n;
}

size_t ownership_list(const struct ownership *o, const struct labels_builder *target, struct buf *key, unsigned *members,
                      size_t most)
{
    size_t n = 0;
    most = o->replicas < most ? o->replicas : most;
    ownership_key(&(struct ownership_labels){.only = o->shard_labels}, target, key);
    uint64_t hash = o->rendezvous ? hash_bytes(key->p, key->n) : hash_xxh64(key->p, key->n) % o->members;
    for (unsigned i = 0; i < o->members && (o->rendezvous || n < most); i++) {
        if (o->rendezvous)
            n = rank_shard_member(hash, members, n, most, i);
        else
            members[n++] = (unsigned)((hash + i) % o->members);
    }
    return n;
}

bool ownership_has(const struct ownership *o, const struct labels_builder *target, struct buf *key)
{
    if (o->members <= 1 || o->replicas >= o->members)
        return true;
    ownership_key(&(struct ownership_labels){.only = o->shard_labels}, target, key);
    if (o->rendezvous)
        return among_highest(o, hash_bytes(key->p, key->n));
    unsigned first = (unsigned)(hash_xxh64(key->p, key->n) % o->members);
    return (o->member + o->members - first) % o->members < o->replicas;
}
