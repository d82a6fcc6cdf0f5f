// SPDX-License-Identifier: Apache-2.0
#include "model/graphite_rule.h"

#include "base/text/num.h"

static struct str graphite_next_literal(struct str match) { return str_first(match, str_find(match, '*')); }

/* Takes the text that a * before the rest of `match` matches, and the literal after it. Advances both; false: no match. */
static bool graphite_take(struct str *match, struct str *name, struct str *taken)
{
    struct str rest = *name;
    *taken = rest;
    *name = STR("");
    if (match->n > 0) {
        /* As in vmagent, a second * stands for itself. */
        struct str literal = match->p[0] == '*' ? STR("*") : graphite_next_literal(*match);
        size_t at = str_find_str(rest, literal);
        if (at == rest.n)
            return false;
        *taken = str_first(rest, at);
        *name = str_skip(rest, at + literal.n);
        *match = str_skip(*match, literal.n);
    }
    return str_find(*taken, '.') == taken->n;
}

bool graphite_match(struct arena *a, struct str match, struct str name, struct graphite_captures *out)
{
    size_t stars = 0;
    for (size_t i = 0; i < match.n; i++)
        stars += match.p[i] == '*';
    *out = (struct graphite_captures){ARENA_ARRAY(a, struct str, stars + 1), 1};
    if (out->items == NULL)
        return false;
    out->items[0] = name;
    while (match.n > 0) {
        struct str literal = graphite_next_literal(match);
        if (!str_starts(name, literal))
            return false;
        name = str_skip(name, literal.n);
        match = str_skip(match, literal.n);
        if (match.n == 0)
            break;
        match = str_skip(match, 1);
        if (!graphite_take(&match, &name, &out->items[out->n++]))
            return false;
    }
    return name.n == 0;
}

/* The reference at the start of a template, which begins with $, and its number. False: it is plain text. */
static bool graphite_reference(struct str template, struct str *reference, uint64_t *number)
{
    bool braces = template.n > 1 && template.p[1] == '{';
    size_t begin = braces ? 2 : 1, end = begin;
    if (braces)
        end = str_find(template, '}');
    else
        while (end < template.n && template.p[end] >= '0' && template.p[end] <= '9')
            end++;
    *reference = str_first(template, braces ? end + 1 : end);
    return num_parse_u64(str_first(str_skip(template, begin), end - begin), number);
}

void graphite_expand(struct buf *out, struct str template, const struct graphite_captures *captures)
{
    while (template.n > 0) {
        size_t plain = str_find(template, '$');
        struct str reference;
        uint64_t number;
        buf_add_str(out, str_first(template, plain));
        template = str_skip(template, plain);
        if (template.n == 0)
            break;
        bool refers = graphite_reference(template, &reference, &number) && number < captures->n;
        buf_add_str(out, refers ? captures->items[number] : reference);
        template = str_skip(template, reference.n);
    }
}
