// SPDX-License-Identifier: Apache-2.0
/* Metadata of families by name, and which family a series belongs to. In an exposition a histogram's series are called
 * NAME_bucket, NAME_sum and NAME_count, and its metadata NAME; with OpenMetrics a counter's are NAME_total and NAME. */
#include "model/write2/write2.h"

struct rw2_family { struct metadata metadata; char text[]; };

static const struct family_part { const char *suffix; unsigned types; /* bits of enum metric_type */ } parts[] = {
    {"_bucket", 1u << METRIC_HISTOGRAM | 1u << METRIC_GAUGEHISTOGRAM},
    {"_count", 1u << METRIC_HISTOGRAM | 1u << METRIC_SUMMARY},
    {"_sum", 1u << METRIC_HISTOGRAM | 1u << METRIC_SUMMARY},
    {"_gcount", 1u << METRIC_GAUGEHISTOGRAM},
    {"_gsum", 1u << METRIC_GAUGEHISTOGRAM},
    {"_total", 1u << METRIC_COUNTER},
    {"_created", 1u << METRIC_COUNTER | 1u << METRIC_HISTOGRAM | 1u << METRIC_SUMMARY},
    {"_info", 1u << METRIC_INFO},
};

void rw2_families_free(struct rw2_families *f)
{
    for (struct map_entry *e = map_next(&f->by_name, NULL); e; e = map_next(&f->by_name, e))
        mem_free(e->value.p);
    map_free(&f->by_name);
    *f = (struct rw2_families){.bytes = 0};
}

static bool same_metadata(const struct metadata *a, const struct metadata *b)
{
    return a->type == b->type && str_eq(a->help, b->help) && str_eq(a->unit, b->unit);
}

static struct str put_text(char **to, struct str s)
{
    char *p = *to;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    *to += s.n;
    return str_n(p, s.n);
}

static size_t family_bytes(const struct metadata *m)
{
    return sizeof(struct rw2_family) + sizeof(struct map_entry) + m->family.n + m->help.n + m->unit.n;
}

void rw2_families_set(struct rw2_families *f, const struct metadata *m)
{
    struct rw2_family *known = map_get(&f->by_name, m->family);
    if (m->family.n == 0 || family_bytes(m) > RW2_FAMILIES_BYTES / 2 || (known && same_metadata(&known->metadata, m)))
        return;
    if (f->bytes + family_bytes(m) > RW2_FAMILIES_BYTES) {
        rw2_families_free(f);
        known = NULL;
    }
    if (known) {
        f->bytes -= family_bytes(&known->metadata);
        map_remove(&f->by_name, m->family);
        mem_free(known);
    }
    struct rw2_family *made = mem_alloc(sizeof *made + m->family.n + m->help.n + m->unit.n);
    char *text = made->text;
    made->metadata = (struct metadata){.family = put_text(&text, m->family), .help = put_text(&text, m->help),
                                       .unit = put_text(&text, m->unit), .type = m->type};
    f->bytes += family_bytes(m);
    map_set(&f->by_name, made->metadata.family, made);
}

const struct metadata *rw2_families_find(const struct rw2_families *f, struct str series_name)
{
    const struct rw2_family *family = map_get(&f->by_name, series_name);
    for (size_t i = 0; i < LEN(parts) && family == NULL; i++) {
        struct str suffix = str_of(parts[i].suffix);
        if (!str_ends(series_name, suffix))
            continue;
        family = map_get(&f->by_name, str_first(series_name, series_name.n - suffix.n));
        if (family && (parts[i].types & 1u << family->metadata.type) == 0)
            family = NULL;
    }
    return family ? &family->metadata : NULL;
}

/* The suffix of a counter belongs to its family's name, as in the text format. */
struct str rw2_family_name(struct str series_name, enum metric_type type)
{
    for (size_t i = 0; i < LEN(parts) && type != METRIC_COUNTER && type != METRIC_INFO; i++) {
        struct str suffix = str_of(parts[i].suffix);
        if ((parts[i].types & 1u << type) != 0 && series_name.n > suffix.n && str_ends(series_name, suffix))
            return str_first(series_name, series_name.n - suffix.n);
    }
    return series_name;
}
