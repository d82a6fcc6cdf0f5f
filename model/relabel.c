// SPDX-License-Identifier: Apache-2.0
/* Applies relabel rules to a builder. New values are composed in the builder's own buffer and stored in its scratch
 * arena. */
#include "model/relabel.h"

#include "base/hash.h"
#include "base/text/letters.h"
#include "base/text/num.h"
#include "model/graphite_rule.h"

static struct str relabel_value_of(const struct labels_builder *b, struct str name)
{
    struct str value = builder_get(b, name);
    return value.p ? value : STR("");
}

static struct str relabel_composed(struct labels_builder *b)
{
    bool fits = !b->_text.over && (b->room == NULL || b->_text.n < *b->room);
    if (b->room)
        *b->room = fits ? *b->room - b->_text.n : 0;
    return fits ? arena_str(b->scratch, buf_str(&b->_text)) : STR("");
}

/* The input of the regex: the source values joined with the separator. */
static struct str source(const struct relabel_rule *r, struct labels_builder *b)
{
    if (r->source_labels.n == 0)
        return STR("");
    if (r->source_labels.n == 1)
        return relabel_value_of(b, r->source_labels.items[0]);
    buf_clear(&b->_text);
    for (size_t i = 0; i < r->source_labels.n; i++) {
        if (i > 0)
            buf_add_str(&b->_text, r->separator);
        buf_add_str(&b->_text, builder_get(b, r->source_labels.items[i]));
    }
    return relabel_composed(b);
}

static bool has_groups(struct str template) { return str_find(template, '$') < template.n; }
static bool takes_all(const struct relabel_rule *r) { return str_is(r->regex_text, "(.*)"); }

/* The replacement with its groups expanded; false when the regex does not match. Most rules reference no group or the
 * complete match: they need no captures, which cost ten times as much as a match. */
static bool relabel_expand(const struct relabel_rule *r, struct labels_builder *b, struct str text, struct str template,
                           struct str *out)
{
    if (!has_groups(template)) {
        *out = template;
        return takes_all(r) || regex_match(r->regex, text);
    }
    if (takes_all(r) && (str_is(template, "$1") || str_is(template, "${1}"))) {
        *out = text;
        return true;
    }
    buf_clear(&b->_text);
    if (!regex_expand(r->regex, text, template, &b->_text))
        return false;
    *out = relabel_composed(b);
    return true;
}

/* The text between the next {{ and }} of a template, and what comes before it. False: there is none, *before is the
 * rest. */
static bool next_reference(struct str *template, struct str *before, struct str *name)
{
    size_t begin = str_find_str(*template, STR("{{"));
    struct str rest = begin < template->n ? str_skip(*template, begin + 2) : STR("");
    size_t end = str_find_str(rest, STR("}}"));
    if (begin == template->n || end == rest.n) {
        *before = *template;
        *template = STR("");
        return false;
    }
    *before = str_first(*template, begin);
    *name = str_first(rest, end);
    *template = str_skip(rest, end + 2);
    return true;
}

/* The replacement with each {{name}} replaced by the value of the label. A $ in a value is doubled: it refers to no
 * group. */
static struct str fill_references(const struct relabel_rule *r, struct labels_builder *b)
{
    struct str template = r->replacement, before, name;
    buf_clear(&b->_text);
    while (next_reference(&template, &before, &name)) {
        struct str value = relabel_value_of(b, name);
        buf_add_str(&b->_text, before);
        for (size_t i = 0; i < value.n; i++)
            buf_add_str(&b->_text, value.p[i] == '$' ? STR("$$") : str_n(value.p + i, 1));
    }
    buf_add_str(&b->_text, before);
    return relabel_composed(b);
}

static void replace(const struct relabel_rule *r, struct labels_builder *b)
{
    struct str text = source(r, b), target, value;
    struct str replacement = r->refers ? fill_references(r, b) : r->replacement;
    if (!relabel_expand(r, b, text, replacement, &value) || !relabel_expand(r, b, text, r->target_label, &target))
        return;
    if (!has_groups(r->target_label) || label_name_valid(target))
        builder_set(b, target, value);
}

/* The last eight bytes, as in Prometheus. */
static uint64_t hash_of_md5(struct str text)
{
    uint8_t sum[16];
    hash_md5(text.p, text.n, sum);
    uint64_t h = 0;
    for (size_t i = 8; i < sizeof sum; i++)
        h = h << 8 | sum[i];
    return h;
}

static void hashmod(const struct relabel_rule *r, struct labels_builder *b)
{
    struct str text = source(r, b);
    uint64_t h = r->xxhash ? hash_xxh64(text.p, text.n) : hash_of_md5(text);
    char digits[NUM_MAX];
    size_t n = num_format_u64(digits, h % (uint64_t)r->modulus);
    builder_set(b, r->target_label, arena_str(b->scratch, str_n(digits, n)));
}

/* All new names are computed before the first is set, so a label added by the rule is not mapped again. */
static void labelmap(const struct relabel_rule *r, struct labels_builder *b)
{
    struct label *mapped = ARENA_ARRAY(b->scratch, struct label, b->n);
    size_t n = 0;
    for (size_t i = 0; mapped && i < b->n; i++) {
        const struct label_slot *slot = &b->slots[i];
        if (!slot->deleted && relabel_expand(r, b, slot->label.name, r->replacement, &mapped[n].name)
            && label_name_valid(mapped[n].name))
            mapped[n++].value = slot->label.value;
    }
    for (size_t i = 0; i < n; i++)
        builder_set(b, mapped[i].name, mapped[i].value);
}

static void relabel_drop_labels(const struct relabel_rule *r, struct labels_builder *b, bool matching)
{
    for (size_t i = 0; i < b->n; i++)
        if (!b->slots[i].deleted && regex_match(r->regex, b->slots[i].label.name) == matching)
            b->slots[i].deleted = true;
}

void relabel_drop_reserved(struct labels_builder *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct str name = b->slots[i].label.name;
        if (str_starts(name, STR("__")) && !str_is(name, METRIC_NAME))
            b->slots[i].deleted = true;
    }
}

static void change_case(const struct relabel_rule *r, struct labels_builder *b, void (*add)(struct buf *out, struct str text))
{
    struct str text = source(r, b);
    buf_clear(&b->_text);
    add(&b->_text, text);
    builder_set(b, r->target_label, relabel_composed(b));
}

static bool equal(const struct relabel_rule *r, struct labels_builder *b)
{
    return str_eq(source(r, b), relabel_value_of(b, r->target_label));
}

/* --- vmagent's actions -------------------------------------------------------------------------------------------- */

/* The text with all matches of the regex replaced. */
static struct str relabel_replace_matches(const struct relabel_rule *r, struct labels_builder *b, struct str text)
{
    buf_clear(&b->_text);
    regex_replace_all(r->regex, text, r->replacement, &b->_text);
    return relabel_composed(b);
}

static void replace_all(const struct relabel_rule *r, struct labels_builder *b)
{
    struct str text = source(r, b), value = relabel_replace_matches(r, b, text);
    if (!str_eq(text, value))
        builder_set(b, r->target_label, value);
}

/* All names are computed before the first label is set, so no label is renamed twice. */
static void labelmap_all(const struct relabel_rule *r, struct labels_builder *b)
{
    struct label *renamed = ARENA_ARRAY(b->scratch, struct label, b->n);
    size_t n = 0;
    for (size_t i = 0; renamed && i < b->n; i++) {
        struct label_slot *slot = &b->slots[i];
        struct str name = slot->deleted ? slot->label.name : relabel_replace_matches(r, b, slot->label.name);
        if (str_eq(name, slot->label.name))
            continue;
        renamed[n++] = (struct label){name, slot->label.value};
        slot->deleted = true;
    }
    for (size_t i = 0; i < n; i++)
        if (renamed[i].name.n > 0)
            builder_set(b, renamed[i].name, renamed[i].value);
}

static bool sources_are_equal(const struct relabel_rule *r, const struct labels_builder *b)
{
    for (size_t i = 1; i < r->source_labels.n; i++)
        if (!str_eq(relabel_value_of(b, r->source_labels.items[i]), relabel_value_of(b, r->source_labels.items[0])))
            return false;
    return true;
}

static bool target_contains_sources(const struct relabel_rule *r, const struct labels_builder *b)
{
    struct str target = relabel_value_of(b, r->target_label);
    for (size_t i = 0; i < r->source_labels.n; i++) {
        struct str part = relabel_value_of(b, r->source_labels.items[i]);
        if (part.n > 0 && memmem(target.p, target.n, part.p, part.n) == NULL)
            return false;
    }
    return true;
}

static void relabel_graphite(const struct relabel_rule *r, struct labels_builder *b)
{
    struct graphite_captures captures;
    if (!graphite_match(b->scratch, r->match, relabel_value_of(b, STR(METRIC_NAME)), &captures))
        return;
    for (size_t i = 0; i < r->labels.n; i++) {
        buf_clear(&b->_text);
        graphite_expand(&b->_text, r->labels.values[i], &captures);
        builder_set(b, r->labels.keys[i], relabel_composed(b));
    }
}

static bool relabel_apply_rule(const struct relabel_rule *r, struct labels_builder *b)
{
    if (r->only_if && !label_filters_match(r->only_if, b))
        return r->action != RELABEL_KEEP && r->action != RELABEL_KEEP_METRICS;
    switch ((enum relabel_action)r->action) {
    case RELABEL_KEEP_METRICS:
    case RELABEL_KEEP: return regex_match(r->regex, source(r, b));
    case RELABEL_DROP_METRICS:
    case RELABEL_DROP: return !regex_match(r->regex, source(r, b));
    case RELABEL_KEEPEQUAL: return equal(r, b);
    case RELABEL_DROPEQUAL: return !equal(r, b);
    case RELABEL_REPLACE: replace(r, b); break;
    case RELABEL_HASHMOD: hashmod(r, b); break;
    case RELABEL_LABELMAP: labelmap(r, b); break;
    case RELABEL_LABELDROP: relabel_drop_labels(r, b, true); break;
    case RELABEL_LABELKEEP: relabel_drop_labels(r, b, false); break;
    case RELABEL_LOWERCASE: change_case(r, b, letters_add_lower); break;
    case RELABEL_UPPERCASE: change_case(r, b, letters_add_upper); break;
    case RELABEL_REPLACE_ALL: replace_all(r, b); break;
    case RELABEL_LABELMAP_ALL: labelmap_all(r, b); break;
    case RELABEL_KEEP_IF_EQUAL: return sources_are_equal(r, b);
    case RELABEL_DROP_IF_EQUAL: return !sources_are_equal(r, b);
    case RELABEL_KEEP_IF_CONTAINS: return target_contains_sources(r, b);
    case RELABEL_DROP_IF_CONTAINS: return !target_contains_sources(r, b);
    case RELABEL_GRAPHITE: relabel_graphite(r, b); break;
    }
    return true;
}

bool relabel_apply(struct relabel_rules r, struct labels_builder *b)
{
    for (size_t i = 0; i < r.n; i++) {
        if (!relabel_apply_rule(&r.rules[i], b))
            return false;
        if (r.rules[i].ends_chain)
            relabel_drop_reserved(b);
    }
    return true;
}

static void relabel_print_list(struct buf *out, struct str_list list)
{
    buf_printf(out, "%zu:", list.n);
    for (size_t i = 0; i < list.n; i++) {
        buf_printf(out, "%zu ", list.items[i].n);
        buf_add_str(out, list.items[i]);
    }
}

static void relabel_print_rule(struct buf *out, const struct relabel_rule *r)
{
    const struct str texts[] = {r->separator, r->target_label, r->regex_text, r->replacement, r->match};
    buf_printf(out, "%d %lld %d%d%d ", r->action, (long long)r->modulus, r->xxhash, r->ends_chain, r->refers);
    relabel_print_list(out, r->source_labels);
    relabel_print_list(out, r->if_texts);
    relabel_print_list(out, (struct str_list){r->labels.keys, r->labels.n});
    relabel_print_list(out, (struct str_list){r->labels.values, r->labels.n});
    relabel_print_list(out, (struct str_list){.items = (struct str *)texts, .n = LEN(texts)});
}

uint64_t relabel_hash(struct relabel_rules r)
{
    struct buf text = {0};
    for (size_t i = 0; i < r.n; i++)
        relabel_print_rule(&text, &r.rules[i]);
    uint64_t hash = hash_bytes(text.p, text.n);
    buf_free(&text);
    return hash;
}

static void add_name(struct arena *a, struct str_list *names, size_t *cap, struct str name)
{
    for (size_t i = 0; i < names->n; i++)
        if (str_eq(names->items[i], name))
            return;
    arena_grow(a, &names->items, cap, names->n + 1, sizeof *names->items);
    if (names->n < *cap)
        names->items[names->n++] = name;
}

static bool reads_target(enum relabel_action action)
{
    return action == RELABEL_KEEPEQUAL || action == RELABEL_DROPEQUAL || action == RELABEL_KEEP_IF_CONTAINS ||
           action == RELABEL_DROP_IF_CONTAINS;
}

static bool reads_all_names(enum relabel_action action)
{
    return action == RELABEL_LABELMAP || action == RELABEL_LABELDROP || action == RELABEL_LABELKEEP ||
           action == RELABEL_LABELMAP_ALL;
}

static void add_names_of_if(struct arena *a, struct str_list *names, size_t *cap, const struct label_filters *f)
{
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < f->any[i].n; k++)
            add_name(a, names, cap, f->any[i].matchers[k].name);
}

void relabel_reads(struct relabel_rules r, struct arena *a, struct str_list *names, bool *all)
{
    size_t cap = 0;
    *names = (struct str_list){0};
    *all = false;
    for (size_t i = 0; i < r.n; i++) {
        const struct relabel_rule *rule = &r.rules[i];
        for (size_t k = 0; k < rule->source_labels.n; k++)
            add_name(a, names, &cap, rule->source_labels.items[k]);
        struct str template = rule->refers ? rule->replacement : STR(""), before, name;
        while (next_reference(&template, &before, &name))
            add_name(a, names, &cap, name);
        if (rule->action == RELABEL_GRAPHITE)
            add_name(a, names, &cap, STR(METRIC_NAME));
        if (reads_target(rule->action))
            add_name(a, names, &cap, rule->target_label);
        if (rule->only_if)
            add_names_of_if(a, names, &cap, rule->only_if);
        *all = *all || reads_all_names(rule->action);
    }
}
