// SPDX-License-Identifier: Apache-2.0
/* The longest common subsequence of lines, by the table of lengths; texts with more than LINES_MOST lines between their
 * common beginning and end are shown whole. */
#include "gateway/cli/line_diff.h"

#include "base/mem.h"

enum { LINES_MOST = 2000 };

struct diff_lines { struct str *items; size_t n, cap; };

static struct diff_lines diff_split(struct str text)
{
    struct diff_lines l = {0};
    for (struct str line; text.n > 0;) {
        str_cut(&text, '\n', &line);
        if (l.n == l.cap)
            mem_grow(&l.items, &l.cap, l.n + 1, sizeof *l.items);
        l.items[l.n++] = line;
    }
    return l;
}

static void diff_add(struct buf *out, char mark, struct str line)
{
    buf_printf(out, "  %c %.*s\n", mark, STR_ARG(line));
}

static void diff_add_all(struct buf *out, const struct str *a, size_t n, const struct str *b, size_t m)
{
    for (size_t i = 0; i < n; i++)
        diff_add(out, '-', a[i]);
    for (size_t i = 0; i < m; i++)
        diff_add(out, '+', b[i]);
}

/* length[i][k]: of what a[i..] and b[k..] have in common. */
static void diff_middle(struct buf *out, const struct str *a, size_t n, const struct str *b, size_t m)
{
    uint16_t *length = mem_zalloc((n + 1) * (m + 1) * sizeof *length);
    size_t row = m + 1, i, k;
    for (i = n; i-- > 0;)
        for (k = m; k-- > 0;) {
            uint16_t down = length[(i + 1) * row + k], right = length[i * row + k + 1];
            length[i * row + k] = str_eq(a[i], b[k]) ? (uint16_t)(length[(i + 1) * row + k + 1] + 1)
                                                     : down > right ? down : right;
        }
    for (i = k = 0; i < n || k < m;) {
        if (i < n && k < m && str_eq(a[i], b[k])) {
            i++;
            k++;
        } else if (i < n && (k == m || length[(i + 1) * row + k] >= length[i * row + k + 1])) {
            diff_add(out, '-', a[i++]);
        } else {
            diff_add(out, '+', b[k++]);
        }
    }
    mem_free(length);
}

bool line_diff(struct str a, struct str b, struct buf *out)
{
    struct diff_lines x = diff_split(a), y = diff_split(b);
    size_t from = 0, n = x.n, m = y.n, before = out->n;
    while (from < n && from < m && str_eq(x.items[from], y.items[from]))
        from++;
    while (n > from && m > from && str_eq(x.items[n - 1], y.items[m - 1])) {
        n--;
        m--;
    }
    if (n - from > LINES_MOST || m - from > LINES_MOST)
        diff_add_all(out, x.items + from, n - from, y.items + from, m - from);
    else if (n > from || m > from)
        diff_middle(out, x.items + from, n - from, y.items + from, m - from);
    mem_free(x.items);
    mem_free(y.items);
    return out->n > before;
}
