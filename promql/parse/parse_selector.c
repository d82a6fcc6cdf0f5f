// SPDX-License-Identifier: Apache-2.0
/* Parses selectors: name{label="value", "quoted label"=~"regex", "metric name"} */
#include "promql/parse/literal.h"
#include "promql/parse/parse_internal.h"

bool parse_is_metric(enum token_kind kind)
{
    switch (kind) {
    case TOKEN_IDENTIFIER: case TOKEN_METRIC_IDENTIFIER: case TOKEN_AND: case TOKEN_OR: case TOKEN_UNLESS:
    case TOKEN_BY: case TOKEN_WITHOUT: case TOKEN_FILL: case TOKEN_FILL_LEFT: case TOKEN_FILL_RIGHT:
    case TOKEN_OFFSET: case TOKEN_ANCHORED: case TOKEN_SMOOTHED: case TOKEN_START: case TOKEN_END: case TOKEN_STEP:
    case TOKEN_RANGE: case TOKEN_MAX_OF: case TOKEN_MIN_OF:
        return true;
    default:
        return token_is_aggregate(kind);
    }
}

struct matcher_list { struct matcher *items; size_t n, cap; };

static void parse_add_matcher(struct parser *p, struct matcher_list *list, size_t pos, enum match_type type,
                              struct str name, struct str value)
{
    struct err err = {0};
    struct made_regex *made = ARENA_NEW(p->arena, struct made_regex);
    arena_grow(p->arena, &list->items, &list->cap, list->n + 1, sizeof *list->items);
    struct matcher *m = &list->items[list->n++];
    *m = (struct matcher){.type = type, .name = name, .value = value}; /* both are in the arena already */
    if (type == MATCH_EQ || type == MATCH_NE)
        return;
    m->re = regex_new(value, &err);
    if (m->re == NULL)
        parse_fail(p, pos, "%s", err.text);
    *made = (struct made_regex){m->re, p->made};
    p->made = made;
    arena_bytes(p->arena, regex_bytes(m->re)); /* unused: makes the arena's budget account for the regex */
}

static bool match_type_of(enum token_kind kind, enum match_type *type)
{
    switch (kind) {
    case TOKEN_EQL: *type = MATCH_EQ; return true;
    case TOKEN_NEQ: *type = MATCH_NE; return true;
    case TOKEN_EQL_REGEX: *type = MATCH_RE; return true;
    case TOKEN_NEQ_REGEX: *type = MATCH_NRE; return true;
    default: return false;
    }
}

static void parse_matcher(struct parser *p, struct matcher_list *list)
{
    struct token label = parse_peek(p);
    bool quoted = label.kind == TOKEN_STRING;
    enum match_type type;
    if (!quoted && label.kind != TOKEN_IDENTIFIER)
        parse_unexpected_in(p, "label matching", "identifier or \"}\"");
    parse_next_token(p);
    struct str name = quoted ? literal_string(p->arena, label.text) : label.text;
    if (!match_type_of(parse_peek(p).kind, &type)) {
        if (!quoted)
            parse_unexpected_in(p, "label matching", "label matching operator");
        parse_add_matcher(p, list, label.pos, MATCH_EQ, STR(METRIC_NAME), name);
        return;
    }
    parse_next_token(p);
    if (!parse_at(p, TOKEN_STRING))
        parse_unexpected_in(p, "label matching", "string");
    parse_add_matcher(p, list, label.pos, type, name, literal_string(p->arena, parse_next_token(p).text));
}

static void parse_matchers(struct parser *p, struct matcher_list *list)
{
    parse_expect(p, TOKEN_LEFT_BRACE);
    while (!parse_accept(p, TOKEN_RIGHT_BRACE)) {
        parse_matcher(p, list);
        if (!parse_accept(p, TOKEN_COMMA) && !parse_at(p, TOKEN_RIGHT_BRACE))
            parse_unexpected_in(p, "label matching", "\",\" or \"}\"");
    }
}

struct expr *parse_vector_selector(struct parser *p, const struct token *name)
{
    struct matcher_list list = {0};
    size_t pos = name ? name->pos : parse_peek(p).pos;
    if (parse_at(p, TOKEN_LEFT_BRACE))
        parse_matchers(p, &list);
    if (name) /* last: check_expr relies on it */
        parse_add_matcher(p, &list, name->pos, MATCH_EQ, STR(METRIC_NAME), name->text);
    struct expr *e = parse_new(p, EXPR_SELECTOR, VALUE_VECTOR, pos, 1);
    e->u.selector.name = name ? name->text : STR_NONE;
    e->u.selector.matchers = list.items;
    e->u.selector.n_matchers = list.n;
    e->u.selector.select = -1;
    return e;
}
