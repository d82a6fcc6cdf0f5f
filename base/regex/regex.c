// SPDX-License-Identifier: Apache-2.0
/* Prometheus' regular expressions over an analyser and RE2.
 *
 * 1. The analyser (regex_plan.c) reads the pattern. If it finds a plan, matching needs no RE2.
 * 2. Otherwise RE2 compiles the pattern at once.
 * 3. A pattern with a plan is compiled by RE2 when its groups are requested for the first time, which for most
 *    patterns never happens. Threads that request them at the same time all compile, and all but one free their copy.
 *
 * RE2 compiles the user's own pattern: anchoring is an argument of its match and "dot matches newline" an option, so
 * no ^(?s:...)$ is added and errors quote what the user wrote.
 */
#include "base/regex/regex.h"

#include "base/regex/re2.h"
#include "base/regex/regex_dialect.h"
#include "base/regex/regex_plan.h"

#include <stdatomic.h>

enum { USUAL_GROUPS = 16 };

struct regex {
    struct str pattern; /* owned */
    struct regex_plan plan;
    bool one_group;     /* the pattern is (.*) or (.+): $1 is the whole subject */
    _Atomic(struct re2_pattern *) compiled; /* NULL until needed */
};

static struct regex *new_with(struct str pattern, struct regex_plan plan, struct re2_pattern *compiled)
{
    struct regex *re = mem_zalloc(sizeof *re);
    re->pattern = str_n(str_dup(pattern), pattern.n);
    re->plan = plan;
    re->one_group = str_is(pattern, "(.*)") || str_is(pattern, "(.+)");
    re->compiled = compiled;
    return re;
}

struct regex *regex_new(struct str pattern, struct err *err)
{
    struct regex_plan plan = plan_of(pattern);
    struct re2_pattern *compiled = NULL;
    if (plan.shape == PLAN_GENERAL && (compiled = dialect_compile(pattern, err)) == NULL) {
        regex_plan_free(&plan);
        return NULL;
    }
    return new_with(pattern, plan, compiled);
}

struct regex *regex_new_unanchored(struct str pattern, struct err *err)
{
    struct re2_pattern *compiled = dialect_compile(pattern, err);
    return compiled ? new_with(pattern, (struct regex_plan){.shape = PLAN_GENERAL}, compiled) : NULL;
}

void regex_free(struct regex *re)
{
    if (re == NULL)
        return;
    regex_plan_free(&re->plan);
    re2_free(re->compiled);
    mem_free((char *)re->pattern.p);
    mem_free(re);
}

/* A plan exists only for valid patterns, so late compilation fails only on RE2's own size limit. */
static struct re2_pattern *compiled_of(const struct regex *re)
{
    struct regex *mutable = (struct regex *)re;
    struct re2_pattern *compiled = atomic_load_explicit(&mutable->compiled, memory_order_acquire);
    if (compiled)
        return compiled;
    struct re2_pattern *fresh = dialect_compile(re->pattern, NULL);
    if (atomic_compare_exchange_strong(&mutable->compiled, &compiled, fresh))
        return fresh;
    re2_free(fresh);
    return compiled;
}

bool regex_match(const struct regex *re, struct str s)
{
    if (re->plan.shape != PLAN_GENERAL)
        return regex_plan_match(&re->plan, s);
    return str_starts(s, re->plan.prefix) && re2_match(compiled_of(re), s.p, s.n);
}

struct str regex_pattern(const struct regex *re) { return re->pattern; }

size_t regex_bytes(const struct regex *re)
{
    const struct re2_pattern *compiled = atomic_load_explicit(&re->compiled, memory_order_acquire);
    return sizeof *re + re->pattern.n + regex_plan_bytes(&re->plan) + (compiled ? re2_bytes(compiled) : 0);
}

const struct str *regex_literals(const struct regex *re, size_t *n)
{
    bool few = re->plan.shape == PLAN_LITERALS && re->plan.n_literals <= PLAN_PRODUCT_MAX;
    *n = few ? re->plan.n_literals : 0;
    return few ? re->plan.literals : NULL;
}

struct str regex_prefix(const struct regex *re) { return re->plan.prefix; }

void regex_quote(struct buf *out, struct str text)
{
    static const struct str special = {"\\.+*?()|[]{}^$", 14};
    for (size_t i = 0; i < text.n; i++) {
        if (str_find(special, text.p[i]) < special.n)
            buf_add_char(out, '\\');
        buf_add_char(out, text.p[i]);
    }
}

/* The values of the references in a replacement. */
struct match {
    const struct re2_pattern *compiled; /* NULL: no names, and only the groups in `groups` */
    const struct re2_span *groups;
    size_t n;
};

static bool regex_is_digit(char c) { return c >= '0' && c <= '9'; }
static bool regex_is_word(char c)
{
    return regex_is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Consumes the name after a '$' at the start of `rest`: `name` or `{name}`. False, with nothing consumed, when there
 * is none. */
static bool regex_cut_name(struct str *rest, struct str *name)
{
    bool brace = rest->n > 0 && rest->p[0] == '{';
    struct str from = brace ? str_skip(*rest, 1) : *rest;
    size_t n = 0;
    while (n < from.n && regex_is_word(from.p[n]))
        n++;
    if (n == 0 || (brace && (n == from.n || from.p[n] != '}')))
        return false;
    *name = str_first(from, n);
    *rest = str_skip(from, n + brace);
    return true;
}

/* Digits without a leading zero; Go rejects numbers over 10^8. */
static bool parse_group_number(struct str name, size_t *number)
{
    *number = 0;
    for (size_t i = 0; i < name.n; i++) {
        if (!regex_is_digit(name.p[i]) || *number >= 100000000)
            return false;
        *number = *number * 10 + (size_t)(name.p[i] - '0');
    }
    return name.n == 1 || name.p[0] != '0';
}

/* Empty when the group does not exist or did not participate in the match. */
static struct str group_text(const struct match *m, struct str name)
{
    size_t group;
    if (!parse_group_number(name, &group)) {
        size_t named = m->compiled ? re2_group_named(m->compiled, name.p, name.n) : 0;
        group = named ? named : m->n;
    }
    return group < m->n ? str_n(m->groups[group].p, m->groups[group].n) : STR_NONE;
}

static void regex_expand_template(const struct match *m, struct str template, struct buf *out)
{
    for (;;) {
        size_t at = str_find(template, '$');
        buf_add(out, template.p, at);
        if (at == template.n)
            return;
        template = str_skip(template, at + 1);
        struct str name;
        if (str_starts(template, STR("$"))) {
            buf_add_char(out, '$');
            template = str_skip(template, 1);
        } else if (!regex_cut_name(&template, &name)) {
            buf_add_char(out, '$');
        } else {
            buf_add_str(out, group_text(m, name));
        }
    }
}

static bool expand_with_groups(const struct regex *re, struct str s, struct str replacement, struct buf *out)
{
    const struct re2_pattern *compiled = compiled_of(re);
    if (compiled == NULL)
        return false;
    struct re2_span usual[USUAL_GROUPS], *groups = usual;
    size_t n = re2_groups(compiled);
    if (n > USUAL_GROUPS)
        groups = mem_alloc(n * sizeof *groups);
    bool matches = re2_match_groups(compiled, s.p, s.n, groups, n);
    if (matches)
        regex_expand_template(&(struct match){compiled, groups, n}, replacement, out);
    if (groups != usual)
        mem_free(groups);
    return matches;
}

bool regex_expand(const struct regex *re, struct str s, struct str replacement, struct buf *out)
{
    bool planned = re->plan.shape != PLAN_GENERAL;
    if (planned && !regex_plan_match(&re->plan, s))
        return false;
    if (planned && (re->one_group || str_find(replacement, '$') == replacement.n)) {
        struct re2_span groups[2] = {{s.p, s.n}, {s.p, s.n}};
        regex_expand_template(&(struct match){NULL, groups, LEN(groups)}, replacement, out);
        return true;
    }
    return expand_with_groups(re, s, replacement, out);
}

static size_t rune_length(struct str s)
{
    size_t n = 1;
    while (n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* As Go's ReplaceAllString: an empty match directly after the previous match does not count. */
static void regex_replace_matches(const struct re2_pattern *compiled, struct str s, struct str replacement,
                                  struct buf *out, struct re2_span *groups, size_t n)
{
    size_t copied = 0, from = 0;
    while (from <= s.n && re2_find_groups(compiled, s.p, s.n, from, groups, n)) {
        size_t begin = (size_t)(groups[0].p - s.p), end = begin + groups[0].n;
        buf_add(out, s.p + copied, begin - copied);
        if (end > copied || begin == 0)
            regex_expand_template(&(struct match){compiled, groups, n}, replacement, out);
        copied = end;
        size_t next = from < s.n ? from + rune_length(str_skip(s, from)) : s.n + 1;
        from = next > end ? next : end;
    }
    buf_add(out, s.p + copied, s.n - copied);
}

void regex_replace_all(const struct regex *re, struct str s, struct str replacement, struct buf *out)
{
    const struct re2_pattern *compiled = compiled_of(re);
    struct re2_span usual[USUAL_GROUPS], *groups = usual;
    if (s.p == NULL)
        s = STR("");
    size_t n = re2_groups(compiled);
    if (n > USUAL_GROUPS)
        groups = mem_alloc(n * sizeof *groups);
    regex_replace_matches(compiled, s, replacement, out, groups, n);
    if (groups != usual)
        mem_free(groups);
}
