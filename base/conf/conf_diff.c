// SPDX-License-Identifier: Apache-2.0
/* Compares two values of a section key by key. Items of lists are matched by their name, which is the value of job_name or
 * name; lists with an item that has none, or the name of another one, by position. */
#include "base/conf/conf.h"

struct conf_comparison {
    conf_difference *report;
    void *arg;
};

static void diff_rows(const struct conf_comparison *c, const struct conf_section *s, const void *a, const void *b,
                      const char *path);

/* ---- names of items ---- */

static struct str item_name(const struct conf_section *s, const void *item)
{
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++)
        if (row->type == CONF_STRING && (strcmp(row->name, "job_name") == 0 || strcmp(row->name, "name") == 0))
            return *(const struct str *)(const void *)((const char *)item + row->offset);
    return STR_NONE;
}

static const void *item_at(const struct conf_section *s, const struct conf_items *items, size_t i)
{
    return i < items->n ? (const char *)items->items + i * s->size : NULL;
}

static const void *item_find(const struct conf_section *s, const struct conf_items *items, struct str name)
{
    for (size_t i = 0; i < items->n; i++)
        if (str_eq(item_name(s, item_at(s, items, i)), name))
            return item_at(s, items, i);
    return NULL;
}

static bool items_have_names(const struct conf_section *s, const struct conf_items *items)
{
    for (size_t i = 0; i < items->n; i++) {
        const void *item = item_at(s, items, i);
        struct str name = item_name(s, item);
        if (name.n == 0 || item_find(s, items, name) != item)
            return false;
    }
    return true;
}

/* ---- values ---- */

static struct str shown_item(struct buf *out, const struct conf_section *s, const void *item)
{
    if (item)
        conf_print(out, s, item, 2);
    return buf_str(out);
}

static void report_item(const struct conf_comparison *c, const struct conf_section *s, const void *a, const void *b,
                        const char *path)
{
    struct buf x = {0}, y = {0};
    if (a && b)
        diff_rows(c, s, a, b, path);
    else
        c->report(c->arg, path, shown_item(&x, s, a), shown_item(&y, s, b));
    buf_free(&x);
    buf_free(&y);
}

static void diff_named_items(const struct conf_comparison *c, const struct conf_section *s, const struct conf_items *a,
                             const struct conf_items *b, const char *path)
{
    for (size_t i = 0; i < a->n + b->n; i++) {
        const void *item = i < a->n ? item_at(s, a, i) : item_at(s, b, i - a->n);
        struct str name = item_name(s, item);
        struct buf at = {0};
        buf_printf(&at, "%s[%.*s]", path, STR_ARG(name));
        if (i < a->n)
            report_item(c, s, item, item_find(s, b, name), buf_z(&at));
        else if (item_find(s, a, name) == NULL)
            report_item(c, s, NULL, item, buf_z(&at));
        buf_free(&at);
    }
}

static void diff_items(const struct conf_comparison *c, const struct conf_section *s, const struct conf_items *a,
                       const struct conf_items *b, const char *path)
{
    if (items_have_names(s, a) && items_have_names(s, b)) {
        diff_named_items(c, s, a, b, path);
        return;
    }
    for (size_t i = 0; i < a->n || i < b->n; i++) {
        struct buf at = {0};
        buf_printf(&at, "%s[%zu]", path, i + 1);
        report_item(c, s, item_at(s, a, i), item_at(s, b, i), buf_z(&at));
        buf_free(&at);
    }
}

static void diff_optional(const struct conf_comparison *c, const struct conf_section *s, const void *a, const void *b,
                          const char *path)
{
    const void *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    report_item(c, s, x, y, path);
}

static void diff_field(const struct conf_comparison *c, const struct conf_row *row, const void *a, const void *b,
                       const char *path)
{
    struct buf x = {0}, y = {0};
    switch (row->type) {
    case CONF_SECTION: diff_rows(c, row->section, a, b, path); return;
    case CONF_OPTIONAL: diff_optional(c, row->section, a, b, path); return;
    case CONF_SECTIONS: diff_items(c, row->section, a, b, path); return;
    default: break;
    }
    conf_print_row(&x, row, a);
    conf_print_row(&y, row, b);
    c->report(c->arg, path, buf_str(&x), buf_str(&y));
    buf_free(&x);
    buf_free(&y);
}

static void diff_rows(const struct conf_comparison *c, const struct conf_section *s, const void *a, const void *b,
                      const char *path)
{
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++) {
        const void *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;
        if (conf_row_equal(row, x, y))
            continue;
        struct buf at = {0};
        buf_printf(&at, "%s%s%s", path, *path ? "." : "", row->name);
        diff_field(c, row, x, y, buf_z(&at));
        buf_free(&at);
    }
}

void conf_diff(const struct conf_section *s, const void *a, const void *b, conf_difference *report, void *arg)
{
    diff_rows(&(struct conf_comparison){report, arg}, s, a, b, "");
}
