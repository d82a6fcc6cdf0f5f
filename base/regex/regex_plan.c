// SPDX-License-Identifier: Apache-2.0
/* Parses a pattern by recursive descent into a `struct literal_sets` (regex_literals.h): concatenation multiplies the
 * sets, alternation of parts without wildcards unites them.
 *
 * The analyser works on bytes although a pattern consists of characters: literals are valid UTF-8, so in a valid
 * subject a literal is found only at a character boundary, and one byte for `.+` means one character.
 */
#include "base/regex/regex_plan.h"

#include "base/regex/regex_literals.h"
#include "base/text/utf8.h"

enum { DEPTH_MAX = 50, BUDGET_FIXED = 1 << 20, BUDGET_PER_BYTE = 64, PER_BYTE_MOST = 1 << 20 };

struct pattern_reader {
    struct str rest;
    unsigned depth;
    struct literal_budget budget;
};

static struct literal_sets regex_plan_give_up(struct pattern_reader *r)
{
    r->budget.general = true;
    return (struct literal_sets){0};
}

static int regex_plan_peek(const struct pattern_reader *r) { return r->rest.n ? (unsigned char)r->rest.p[0] : -1; }
static bool is_one_of(int c, const char *chars) { return c > 0 && strchr(chars, c) != NULL; }

static bool regex_plan_accept(struct pattern_reader *r, char c)
{
    if (regex_plan_peek(r) != c)
        return false;
    r->rest = str_skip(r->rest, 1);
    return true;
}

static bool at_quantifier(const struct pattern_reader *r) { return is_one_of(regex_plan_peek(r), "*+?{"); }

/* `\.` and the like; any other escape needs RE2. */
static int read_escape(struct pattern_reader *r)
{
    int c = r->rest.n > 1 ? (unsigned char)r->rest.p[1] : -1;
    if (!is_one_of(c, "!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~ "))
        return -1;
    r->rest = str_skip(r->rest, 2);
    return c;
}

/* One character of a class, -1 when it is not plain ASCII. */
static int read_class_char(struct pattern_reader *r)
{
    int c = regex_plan_peek(r);
    if (c == '\\')
        return read_escape(r);
    if (c <= 0 || c >= 0x80 || c == '[')
        return -1;
    r->rest = str_skip(r->rest, 1);
    return c;
}

static struct literal_sets read_class(struct pattern_reader *r)
{
    struct literal_sets out = {0};
    char seen[128] = {0};
    if (is_one_of(regex_plan_peek(r), "^]"))
        return regex_plan_give_up(r);
    while (!regex_plan_accept(r, ']')) {
        int from = read_class_char(r), to = from;
        if (from >= 0 && r->rest.n > 1 && r->rest.p[0] == '-' && r->rest.p[1] != ']') {
            r->rest = str_skip(r->rest, 1);
            to = read_class_char(r);
        }
        if (from < 0 || to < from)
            return regex_plan_give_up(r);
        for (int c = from; c <= to; c++)
            seen[c] = 1;
    }
    for (int c = 0; c < 128; c++) {
        char one = (char)c;
        if (seen[c])
            literal_set_add(&r->budget, &out.sets[0], arena_str(r->budget.arena, str_n(&one, 1)));
    }
    return out;
}

static struct literal_sets read_any(struct pattern_reader *r); /* an alternation */

static struct literal_sets read_group(struct pattern_reader *r)
{
    if (regex_plan_peek(r) == '?') {
        if (!str_starts(r->rest, STR("?:")))
            return regex_plan_give_up(r);
        r->rest = str_skip(r->rest, 2);
    }
    if (++r->depth > DEPTH_MAX)
        return regex_plan_give_up(r);
    struct literal_sets out = read_any(r);
    r->depth--;
    return !r->budget.general && regex_plan_accept(r, ')') ? out : regex_plan_give_up(r);
}

static struct literal_sets read_dot(struct pattern_reader *r)
{
    struct literal_sets out = literal_sets_of(&r->budget, STR(""));
    if (!is_one_of(regex_plan_peek(r), "*+"))
        return regex_plan_give_up(r);
    literal_sets_append_wild(&r->budget, &out, regex_plan_peek(r) == '+');
    r->rest = str_skip(r->rest, 1);
    regex_plan_accept(r, '?'); /* lazy or greedy, the same strings match */
    return out;
}

/* The longest run of plain characters, without the last one if a quantifier follows it. */
static struct literal_sets read_text(struct pattern_reader *r)
{
    size_t n = 0, last = 0;
    while (n < r->rest.n && !is_one_of(r->rest.p[n], "\\.+*?()|[{^$") && r->rest.p[n] != 0) {
        last = n;
        n++;
        while (n < r->rest.n && ((unsigned char)r->rest.p[n] & 0xc0) == 0x80)
            n++;
    }
    if (n == 0)
        return regex_plan_give_up(r);
    if (last > 0 && n < r->rest.n && is_one_of(r->rest.p[n], "*+?{"))
        n = last;
    struct str text = str_first(r->rest, n);
    r->rest = str_skip(r->rest, n);
    return literal_sets_of(&r->budget, text);
}

static struct literal_sets regex_plan_read_piece(struct pattern_reader *r)
{
    if (regex_plan_accept(r, '('))
        return read_group(r);
    if (regex_plan_accept(r, '['))
        return read_class(r);
    if (regex_plan_accept(r, '.'))
        return read_dot(r);
    if (regex_plan_peek(r) != '\\')
        return read_text(r);
    int c = read_escape(r);
    char one = (char)c;
    return c < 0 ? regex_plan_give_up(r) : literal_sets_of(&r->budget, arena_str(r->budget.arena, str_n(&one, 1)));
}

/* `?` adds the empty string; other quantifiers need RE2. */
static void read_quantifier(struct pattern_reader *r, struct literal_sets *piece)
{
    if (!at_quantifier(r))
        return;
    if (piece->wilds > 0 || !regex_plan_accept(r, '?')) {
        r->budget.general = true;
        return;
    }
    literal_set_add(&r->budget, &piece->sets[0], STR(""));
    regex_plan_accept(r, '?');
    if (at_quantifier(r))
        r->budget.general = true;
}

static bool at_branch_end(const struct pattern_reader *r)
{
    return r->rest.n == 0 || regex_plan_peek(r) == '|' || regex_plan_peek(r) == ')';
}

static struct literal_sets read_branch(struct pattern_reader *r)
{
    struct literal_sets out = literal_sets_of(&r->budget, STR(""));
    if (r->depth == 0)
        regex_plan_accept(r, '^'); /* anchored anyway */
    while (!r->budget.general && !at_branch_end(r)) {
        if (r->depth == 0 && regex_plan_accept(r, '$')) {
            if (!at_branch_end(r))
                r->budget.general = true;
            break;
        }
        struct literal_sets piece = regex_plan_read_piece(r);
        if (!r->budget.general)
            read_quantifier(r, &piece);
        if (!r->budget.general)
            literal_sets_append(&r->budget, &out, &piece);
    }
    return out;
}

static struct literal_sets read_any(struct pattern_reader *r)
{
    struct literal_sets out = read_branch(r);
    while (!r->budget.general && regex_plan_accept(r, '|')) {
        struct literal_sets branch = read_branch(r);
        if (out.wilds > 0 || branch.wilds > 0)
            r->budget.general = true;
        for (size_t i = 0; i < branch.sets[0].n && !r->budget.general; i++)
            literal_set_add(&r->budget, &out.sets[0], branch.sets[0].items[i]);
    }
    return out;
}

/* One allocation: the slices, then their bytes. */
static struct str *copy_strings(const struct str *items, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += items[i].n;
    struct str *copy = mem_alloc(n * sizeof *copy + bytes);
    char *p = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        if (items[i].n > 0)
            memcpy(p, items[i].p, items[i].n);
        copy[i] = str_n(p, items[i].n);
        p += items[i].n;
    }
    return copy;
}

static void plan_set_literals(struct regex_plan *plan, const struct literal_set *set)
{
    plan->shape = PLAN_LITERALS;
    plan->literals = copy_strings(set->items, set->n);
    if (set->n == 1) {
        plan->n_literals = 1;
        plan->prefix = plan->literals[0];
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        bool added;
        map_add(&plan->set, plan->literals[i], &added);
        if (added)
            plan->literals[plan->n_literals++] = plan->literals[i];
    }
}

static void plan_set_around(struct regex_plan *plan, const struct literal_sets *reading)
{
    struct str parts[WILD_MAX + 1] = {STR(""), STR(""), STR("")};
    for (unsigned i = 0; i <= reading->wilds; i++)
        parts[i] = reading->sets[i].items[0];
    plan->shape = PLAN_AROUND;
    plan->has_middle = reading->wilds == 2;
    plan->literals = copy_strings(parts, LEN(parts));
    plan->prefix = plan->literals[0];
    plan->middle = plan->has_middle ? plan->literals[1] : STR_NONE;
    plan->suffix = plan->literals[reading->wilds];
    memcpy(plan->gap, reading->gap, sizeof plan->gap);
}

/* The literal prefix of a pattern that needs RE2. Empty when it contains an alternation. */
static void plan_set_prefix(struct regex_plan *plan, struct str pattern)
{
    if (pattern.n == 0 || memchr(pattern.p, '|', pattern.n) || is_one_of(pattern.p[0], "*+?{"))
        return;
    struct arena scratch;
    arena_init(&scratch, 0);
    struct pattern_reader r = {.rest = pattern, .budget = {.arena = &scratch}};
    struct literal_sets text = read_text(&r);
    if (!r.budget.general && !at_quantifier(&r)) {
        plan->literals = copy_strings(text.sets[0].items, 1);
        plan->prefix = plan->literals[0];
    }
    arena_free(&scratch);
}

static bool all_single(const struct literal_sets *reading)
{
    for (unsigned i = 0; i <= reading->wilds; i++)
        if (reading->sets[i].n != 1)
            return false;
    return true;
}

struct regex_plan plan_of(struct str pattern)
{
    struct regex_plan plan = {.shape = PLAN_GENERAL};
    if (!utf8_valid(pattern))
        return plan;
    struct arena scratch;
    arena_init(&scratch, 0);
    size_t n = pattern.n < PER_BYTE_MOST ? pattern.n : PER_BYTE_MOST;
    struct pattern_reader r = {.rest = pattern, .budget = {.arena = &scratch,
                                                         .budget = BUDGET_FIXED + BUDGET_PER_BYTE * n}};
    struct literal_sets reading = read_any(&r);
    if (r.budget.general || r.rest.n > 0)
        plan_set_prefix(&plan, pattern);
    else if (reading.wilds == 0)
        plan_set_literals(&plan, &reading.sets[0]);
    else if (all_single(&reading))
        plan_set_around(&plan, &reading);
    else
        plan_set_prefix(&plan, pattern);
    arena_free(&scratch);
    return plan;
}

void regex_plan_free(struct regex_plan *plan)
{
    map_free(&plan->set);
    mem_free(plan->literals);
}

static bool match_around(const struct regex_plan *plan, struct str s)
{
    if (s.p == NULL) /* a missing label: empty, with a non-NULL address for pointer arithmetic */
        s = STR("");
    if (s.n < plan->prefix.n + plan->suffix.n || !str_starts(s, plan->prefix) || !str_ends(s, plan->suffix))
        return false;
    struct str inner = str_n(s.p + plan->prefix.n, s.n - plan->prefix.n - plan->suffix.n);
    if (!plan->has_middle)
        return inner.n >= plan->gap[0];
    if (inner.n < plan->gap[0] + plan->middle.n + plan->gap[1])
        return false;
    inner = str_n(inner.p + plan->gap[0], inner.n - plan->gap[0] - plan->gap[1]);
    return plan->middle.n == 0 || str_find_str(inner, plan->middle) < inner.n;
}

bool regex_plan_match(const struct regex_plan *plan, struct str s)
{
    if (plan->shape == PLAN_AROUND)
        return match_around(plan, s);
    if (plan->n_literals == 1)
        return str_eq(s, plan->literals[0]);
    return map_find(&plan->set, s) != NULL;
}

size_t regex_plan_bytes(const struct regex_plan *plan)
{
    size_t bytes = plan->set.cap * sizeof *plan->set.slots + plan->prefix.n + plan->middle.n + plan->suffix.n;
    for (size_t i = 0; i < plan->n_literals; i++)
        bytes += sizeof *plan->literals + plan->literals[i].n;
    return bytes;
}
