// SPDX-License-Identifier: Apache-2.0
/* Comparing, searching and splitting slices. */
#include "base/str.h"

#include <ctype.h>

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

int str_icmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        int c = tolower((unsigned char)a.p[i]) - tolower((unsigned char)b.p[i]);
        if (c != 0)
            return c;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

bool str_ieq(struct str a, struct str b) { return a.n == b.n && str_icmp(a, b) == 0; }

bool str_contains_any_case(struct str s, struct str sub)
{
    for (size_t i = 0; i + sub.n <= s.n; i++)
        if (str_ieq(str_n(s.p + i, sub.n), sub))
            return true;
    return false;
}

size_t str_find(struct str s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

size_t str_count(struct str s, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == c;
    return n;
}

size_t str_find_str(struct str s, struct str sub)
{
    if (sub.n == 0)
        return 0;
    const char *hit = s.n >= sub.n ? memmem(s.p, s.n, sub.p, sub.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && isspace((unsigned char)s.p[0]))
        s = str_skip(s, 1);
    while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
        s.n--;
    return s;
}

bool str_cut(struct str *rest, char c, struct str *item)
{
    if (rest->p == NULL)
        return false;
    size_t at = str_find(*rest, c);
    *item = str_first(*rest, at);
    *rest = at == rest->n ? STR_NONE : str_skip(*rest, at + 1);
    return true;
}

char *str_dup(struct str s)
{
    char *copy = mem_alloc(s.n + 1);
    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    return copy;
}

unsigned str_distance(struct str a, struct str b)
{
    enum { MOST = 64 };
    unsigned row[MOST + 1];
    if (a.n > MOST || b.n > MOST)
        return MOST;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned up = row[j];
            unsigned best = diagonal + (a.p[i - 1] != b.p[j - 1]);
            if (up + 1 < best)
                best = up + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = up;
        }
    }
    return row[b.n];
}
