// SPDX-License-Identifier: Apache-2.0
#include "writer/failover_windows.h"

#include "base/hash.h"
#include "base/text/num.h"

#include <stdio.h>

#define FAILOVER_MAGIC "sluice failover 1"

/* --- the list ------------------------------------------------------------------------------------------------------- */

static void windows_remove(struct failover_windows *w, unsigned i)
{
    w->n--;
    memmove(&w->items[i], &w->items[i + 1], (w->n - i) * sizeof w->items[0]);
}

static bool window_has_full(const struct failover_window *w) { return w->full_from <= w->full_to; }

static void window_take_full(struct failover_window *w, const struct failover_window *from)
{
    w->full_from = from->full_from;
    w->full_to = from->full_to;
}

/* Adds what `more` has. */
static void window_join(struct failover_window *w, const struct failover_window *more)
{
    w->from = more->from < w->from ? more->from : w->from;
    w->to = more->to > w->to ? more->to : w->to;
    if (!window_has_full(more))
        return;
    if (window_has_full(w) && more->full_from <= w->full_to && w->full_from <= more->full_to) {
        w->full_from = more->full_from < w->full_from ? more->full_from : w->full_from;
        w->full_to = more->full_to > w->full_to ? more->full_to : w->full_to;
    } else if (!window_has_full(w) || more->full_to > w->full_to) {
        window_take_full(w, more);
    }
}

static void windows_join_closest(struct failover_windows *w)
{
    unsigned closest = 0;
    int64_t least = INT64_MAX;
    for (unsigned i = 0; i + 1 < w->n; i++)
        if (w->items[i + 1].from - w->items[i].to < least) {
            least = w->items[i + 1].from - w->items[i].to;
            closest = i;
        }
    window_join(&w->items[closest], &w->items[closest + 1]);
    windows_remove(w, closest + 1);
}

void failover_windows_add(struct failover_windows *w, struct failover_window added)
{
    unsigned at = 0;
    while (at < w->n && w->items[at].to < added.from)
        at++;
    while (at < w->n && w->items[at].from <= added.to) {
        window_join(&added, &w->items[at]);
        windows_remove(w, at);
    }
    memmove(&w->items[at + 1], &w->items[at], (w->n - at) * sizeof w->items[0]);
    w->items[at] = added;
    if (++w->n > FAILOVER_WINDOWS)
        windows_join_closest(w);
}

struct failover_window *failover_windows_open(struct failover_windows *w)
{
    return w->n > 0 && w->items[w->n - 1].to == FAILOVER_OPEN ? &w->items[w->n - 1] : NULL;
}

bool failover_windows_overlap(const struct failover_windows *w, int64_t from, int64_t to)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->items[i].from <= to && from <= w->items[i].to)
            return true;
    return false;
}

bool failover_windows_contain(const struct failover_windows *w, int64_t from, int64_t to)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->items[i].from <= from && to <= w->items[i].to)
            return true;
    return false;
}

bool failover_windows_full(const struct failover_windows *w, int64_t from, int64_t to)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->items[i].full_from <= from && to <= w->items[i].full_to)
            return true;
    return false;
}

/* --- as text -------------------------------------------------------------------------------------------------------- */

static void window_print_time(struct buf *out, int64_t t, char end)
{
    if (t == FAILOVER_OPEN)
        buf_add_z(out, "open");
    else
        buf_add_i64(out, t);
    buf_add_char(out, end);
}

void failover_windows_print(struct buf *out, const struct failover_windows *w)
{
    size_t begin = out->n;
    buf_add_z(out, FAILOVER_MAGIC "\n");
    for (unsigned i = 0; i < w->n; i++) {
        window_print_time(out, w->items[i].from, ' ');
        window_print_time(out, w->items[i].to, ' ');
        window_print_time(out, w->items[i].full_from, ' ');
        window_print_time(out, w->items[i].full_to, '\n');
    }
    buf_printf(out, "sum %016llx\n", (unsigned long long)hash_bytes(out->p + begin, out->n - begin));
}

static bool window_parse_time(struct str *line, int64_t *t)
{
    struct str text;
    if (!str_cut(line, ' ', &text))
        return false;
    *t = FAILOVER_OPEN;
    return str_is(text, "open") || num_parse_i64(text, t);
}

static bool windows_parse_line(struct str line, struct failover_window *w)
{
    return window_parse_time(&line, &w->from) && window_parse_time(&line, &w->to) &&
           window_parse_time(&line, &w->full_from) && window_parse_time(&line, &w->full_to) && line.p == NULL &&
           w->from <= w->to;
}

/* The part that the last line is the sum of. False: it is not, or there is none. */
static bool windows_check_sum(struct str *text)
{
    char want[32];
    struct str mark = STR("\nsum ");
    size_t at = str_find_str(*text, mark) + 1;
    if (at > text->n)
        return false;
    struct str sum = str_skip(*text, at);
    text->n = at;
    snprintf(want, sizeof want, "sum %016llx\n", (unsigned long long)hash_bytes(text->p, text->n));
    return str_is(sum, want);
}

static bool windows_parse_all(struct failover_windows *w, struct str text)
{
    struct str line;
    struct failover_window one;
    if (!windows_check_sum(&text) || !str_cut(&text, '\n', &line) || !str_is(line, FAILOVER_MAGIC))
        return false;
    while (text.n > 0 && str_cut(&text, '\n', &line)) {
        if (!windows_parse_line(line, &one))
            return false;
        failover_windows_add(w, one);
    }
    return true;
}

bool failover_windows_parse(struct failover_windows *w, struct str text, int64_t now)
{
    w->n = 0;
    if (windows_parse_all(w, text))
        return true;
    w->n = 0;
    failover_windows_add(w, (struct failover_window){0, now, FAILOVER_NOT_FULL});
    return false;
}
