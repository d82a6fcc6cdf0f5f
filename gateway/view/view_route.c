// SPDX-License-Identifier: Apache-2.0
/* Matchers on shown labels as matchers on the servers' labels. */
#include "gateway/view/view.h"

static const struct matcher any_name = {
    .type = MATCH_NE, .name = {METRIC_NAME, sizeof METRIC_NAME - 1}, .value = {"", 0}};

static bool view_is_regex(const struct matcher *m) { return m->type == MATCH_RE || m->type == MATCH_NRE; }

static bool view_is_negative(const struct matcher *m) { return m->type == MATCH_NE || m->type == MATCH_NRE; }

static void view_free_matcher(void *arg)
{
    matchers_free(arg, 1);
}

/* The values that are shown as `value`: [aA][bB] for ab shown in lower case. False: there are none. */
static bool view_case_pattern(enum view_case shown, struct str value, struct buf *out)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i], low = (char)(c | 0x20);
        bool letter = low >= 'a' && low <= 'z', upper = letter && c != low;
        if (letter && upper != (shown == VIEW_UPPER))
            return false;
        if (letter)
            buf_printf(out, "[%c%c]", low, low ^ 0x20);
        else
            regex_quote(out, str_n(&c, 1));
    }
    return true;
}

enum view_match { VIEW_MATCHES_NONE, VIEW_MATCHES_ALL, VIEW_MATCHES_SOME };

static enum view_match view_match_pattern(const struct view_label *item, struct arena *a, enum match_type type,
                                          struct str pattern, struct matcher *out)
{
    struct err err;
    struct matcher *owned = ARENA_NEW(a, struct matcher);
    if (!matcher_init(owned, a, type, item->of, pattern, &err)) /* too large for a regular expression */
        return VIEW_MATCHES_ALL;
    *out = *owned;
    return arena_at_end(a, view_free_matcher, owned) ? VIEW_MATCHES_SOME : VIEW_MATCHES_ALL;
}

/* A value: exactly. A regular expression: those that it accepts without regard to case, which are more; its negation
 * would be fewer, so that all are requested. */
static enum view_match view_match_case(const struct view_label *item, struct arena *a, const struct matcher *m,
                                       struct matcher *out)
{
    struct buf pattern = {0};
    enum view_match found;
    if (!view_is_regex(m)) {
        bool any = view_case_pattern(item->shown, m->value, &pattern);
        found = any ? view_match_pattern(item, a, m->type == MATCH_EQ ? MATCH_RE : MATCH_NRE, buf_str(&pattern), out)
                    : view_is_negative(m) ? VIEW_MATCHES_ALL : VIEW_MATCHES_NONE;
    } else if (view_is_negative(m)) {
        found = VIEW_MATCHES_ALL;
    } else {
        buf_printf(&pattern, "(?i:%.*s)", STR_ARG(m->value));
        found = view_match_pattern(item, a, MATCH_RE, buf_str(&pattern), out);
    }
    buf_free(&pattern);
    return found;
}

static enum view_match view_match(const struct label_view *v, struct arena *a, const struct matcher *m,
                                  struct matcher *out)
{
    const struct view_label *item = view_find(v, m->name);
    *out = *m;
    if (item == NULL)
        return VIEW_MATCHES_SOME;
    if (item->from != VIEW_LABEL)
        return matcher_value(m, item->from == VIEW_CONSTANT ? item->of : STR("")) ? VIEW_MATCHES_ALL
                                                                                  : VIEW_MATCHES_NONE;
    out->name = item->of;
    return item->shown == VIEW_AS_IS ? VIEW_MATCHES_SOME : view_match_case(item, a, m, out);
}

/* `more`: space for further matchers. */
static bool view_translate_into(const struct label_view *v, struct arena *a, const struct matcher *m, size_t n,
                                size_t more, struct matcher **out, size_t *n_out)
{
    struct matcher *kept = ARENA_ARRAY(a, struct matcher, n + more);
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        enum view_match found = view_match(v, a, &m[i], &kept[n_kept]);
        if (found == VIEW_MATCHES_NONE)
            return false;
        n_kept += found == VIEW_MATCHES_SOME;
    }
    *out = kept;
    *n_out = n_kept;
    return true;
}

bool view_translate(const struct label_view *v, struct arena *a, const struct matcher *m, size_t n,
                    const struct matcher **out, size_t *n_out)
{
    struct matcher *all;
    if (!view_translate_into(v, a, m, n, 0, &all, n_out))
        return false;
    *out = all;
    return true;
}

bool view_route(const struct label_view *v, struct arena *a, const struct matcher *m, size_t n,
                const struct matcher **out, size_t *n_out)
{
    struct matcher *all;
    size_t n_all;
    bool selective = false;
    if (!view_translate_into(v, a, m, n, v->n_injected + 1, &all, &n_all))
        return false;
    for (size_t i = 0; i < v->n_injected; i++)
        all[n_all++] = v->injected[i];
    for (size_t i = 0; i < n_all; i++)
        selective = selective || !matcher_matches_empty(&all[i]);
    if (!selective) /* servers refuse a selector that matches everything unless it says so */
        all[n_all++] = any_name;
    *out = all;
    *n_out = n_all;
    return true;
}

bool view_routes_exactly(const struct label_view *v, const struct matcher *m, size_t n)
{
    for (size_t i = 0; v->changes_case && i < n; i++) {
        const struct view_label *item = view_find(v, m[i].name);
        if (item && item->from == VIEW_LABEL && item->shown != VIEW_AS_IS && view_is_regex(&m[i]))
            return false;
    }
    return true;
}
