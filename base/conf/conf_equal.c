// SPDX-License-Identifier: Apache-2.0
/* Compares two values of a section row by row, secrets included, to report what a reload has changed. */
#include "base/conf/conf.h"

bool str_list_equal(struct str_list a, struct str_list b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (!str_eq(a.items[i], b.items[i]))
            return false;
    return true;
}

bool str_map_equal(const struct str_map *a, const struct str_map *b)
{
    return str_list_equal((struct str_list){a->keys, a->n}, (struct str_list){b->keys, b->n})
           && str_list_equal((struct str_list){a->values, a->n}, (struct str_list){b->values, b->n});
}

static bool multimaps_equal(const struct multimap *a, const struct multimap *b)
{
    if (!str_list_equal((struct str_list){a->keys, a->n}, (struct str_list){b->keys, b->n}))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_list_equal(a->values[i], b->values[i]))
            return false;
    return true;
}

static bool sections_equal(const struct conf_section *s, const struct conf_items *a, const struct conf_items *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!conf_equal(s, (const char *)a->items + i * s->size, (const char *)b->items + i * s->size))
            return false;
    return true;
}

static bool optionals_equal(const struct conf_section *s, const void *a, const void *b)
{
    const void *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x && y ? conf_equal(s, x, y) : x == y;
}

static bool customs_equal(const struct conf_row *row, const void *a, const void *b)
{
    struct buf x = {0}, y = {0};
    if (row->equal)
        return row->equal(a, b);
    if (row->print) {
        row->print(&x, a, 0);
        row->print(&y, b, 0);
    }
    bool equal = str_eq(buf_str(&x), buf_str(&y));
    buf_free(&x);
    buf_free(&y);
    return equal;
}

bool conf_row_equal(const struct conf_row *row, const void *a, const void *b)
{
    switch (row->type) {
    case CONF_STRING:
    case CONF_SECRET:
    case CONF_URL:
    case CONF_FILE: return str_eq(*(const struct str *)a, *(const struct str *)b);
    case CONF_BOOL: return *(const bool *)a == *(const bool *)b;
    case CONF_INT:
    case CONF_DURATION:
    case CONF_DURATION_AUTO:
    case CONF_SIZE: return *(const int64_t *)a == *(const int64_t *)b;
    case CONF_FLOAT: return memcmp(a, b, sizeof(double)) == 0;
    case CONF_ENUM: return *(const int *)a == *(const int *)b;
    case CONF_STRINGS:
    case CONF_ADDRESSES:
    case CONF_FILES:
    case CONF_HEADERS: return str_list_equal(*(const struct str_list *)a, *(const struct str_list *)b);
    case CONF_MAP: return str_map_equal(a, b);
    case CONF_MULTIMAP: return multimaps_equal(a, b);
    case CONF_SECTION: return conf_equal(row->section, a, b);
    case CONF_OPTIONAL: return optionals_equal(row->section, a, b);
    case CONF_SECTIONS: return sections_equal(row->section, a, b);
    case CONF_CUSTOM: return customs_equal(row, a, b);
    case CONF_YAML:
    case CONF_GUARD:
    case CONF_LATER:
    case CONF_ACCEPTED:
    case CONF_IGNORED:
    case CONF_END: break;
    }
    return true;
}

bool conf_equal(const struct conf_section *s, const void *a, const void *b)
{
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++)
        if (!conf_row_equal(row, (const char *)a + row->offset, (const char *)b + row->offset))
            return false;
    return true;
}
