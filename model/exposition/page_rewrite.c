// SPDX-License-Identifier: Apache-2.0
/* The parser reads each entry of the page; the bytes from the end of the previous entry are copied, changed or left
 * out.
 *
 * Lines of a histogram are collected while they have the same name, without its suffix, and the same labels except le.
 * The first other entry ends the group: the histogram's line is written before it. Start times are extras of the lines
 * of a family, 0 at first. A `_created` line sets those with its name and labels that follow the previous `_created`
 * line: Prometheus looks no further than the next one.
 */
#include "model/exposition/page_rewrite.h"

#include "base/hash.h"
#include "base/text/num.h"
#include "model/exposition/exposition_internal.h"
#include "model/remote_write.h"

void page_rewrite_init(struct page_rewrite *r)
{
    *r = (struct page_rewrite){0};
    page_copy_init(&r->copy);
}

void page_rewrite_free(struct page_rewrite *r)
{
    page_copy_free(&r->copy);
    buf_free(&r->_key);
    classic_free(&r->_group.values);
    buf_free(&r->_group.key);
    buf_free(&r->_group.series);
    buf_free(&r->_group.exemplars);
}

bool page_rewrite_needed(const struct page_rewrite_options *o, enum exposition_format format)
{
    return o->custom || o->family_labels || (o->starts && format == EXPOSITION_OPENMETRICS);
}

void page_rewrite_start(struct page_rewrite *r, struct str page, enum exposition_format format,
                        const struct page_rewrite_options *options)
{
    page_copy_start(&r->copy, options->max_bytes);
    r->_options = *options;
    r->_options.starts = options->starts && format == EXPOSITION_OPENMETRICS;
    exposition_start(&r->_in, page);
    r->_in.format = format;
    r->_in.lax = options->lax;
    r->_name = r->_unit = r->_unit_name = STR_NONE;
    r->_type = METRIC_UNKNOWN;
    r->_waiting = 0;
    r->_left_out = 0;
    r->_group.open = false;
}

struct page_text page_rewrite_text(const struct page_rewrite *r)
{
    struct page_text page = page_copy_text(&r->copy, r->_in.format);
    page.lines_left_out = r->_left_out;
    return page;
}

/* ---- text ---- */

static void rewrite_copy(struct page_rewrite *r, const char *from, const char *to)
{
    struct buf *out = &r->copy.text;
    if (out->n > 0 && out->p[out->n - 1] != '\n' && from < to) /* the last line of the input may have no end */
        buf_add_char(out, '\n');
    buf_add(out, from, (size_t)(to - from));
}

static void rewrite_leave_out(struct page_rewrite *r, const char *from, const char *to)
{
    for (; from < to && (from = memchr(from, '\n', (size_t)(to - from))); from++)
        r->_left_out++;
}

static struct family_labels rewrite_family(const struct page_rewrite *r)
{
    if (!r->_options.family_labels)
        return (struct family_labels){0};
    return (struct family_labels){r->_type, str_eq(r->_name, r->_unit_name) ? r->_unit : STR_NONE};
}

/* name{labels} of labels as they are sent. */
static void rewrite_add_series(struct buf *out, struct labels l, const struct family_labels *family)
{
    struct str name = labels_name(l);
    bool plain = copy_name_plain(name, NAME_METRIC), first = plain;
    struct labels_iter it = labels_iter(l);
    if (plain)
        buf_add_str(out, name);
    buf_add_char(out, '{');
    if (!plain)
        copy_add_quoted(out, name);
    copy_add_family_labels(out, family, &first);
    for (struct label pair; labels_next(&it, &pair); ) {
        if (str_is(pair.name, METRIC_NAME) || family_labels_replace(family, pair.name))
            continue;
        copy_add_label(out, pair.name, pair.value, &first);
    }
    buf_add_char(out, '}');
}

/* The text of the line's series with the labels of its family. */
static void rewrite_add_labelled(struct page_rewrite *r, struct str series, const struct family_labels *family)
{
    struct buf *out = &r->copy.text;
    struct err err;
    size_t brace = str_find(series, '{');
    bool first = true, has_own = str_find_str(series, STR(TYPE_LABEL)) < series.n ||
                                 str_find_str(series, STR(UNIT_LABEL)) < series.n;
    arena_reset(&r->copy.scratch);
    if (has_own && exposition_labels(series, r->_options.lax, &r->copy.builder, &err)) {
        rewrite_add_series(out, builder_labels(&r->copy.builder, &r->copy.scratch), family);
        return;
    }
    const char *after = exposition_blanks_end(series.p + brace + (brace < series.n), series.p + series.n);
    bool more = brace < series.n && *after != '}';
    buf_add(out, series.p, brace);
    buf_add_char(out, '{');
    copy_add_family_labels(out, family, &first);
    if (more)
        buf_add_char(out, ',');
    if (brace < series.n)
        buf_add(out, after, (size_t)(series.p + series.n - after));
    else
        buf_add_char(out, '}');
}

/* The time of the line as it is written. */
static struct str time_text(const struct exposition *e)
{
    const char *p = e->series.p + e->series.n, *end = e->p;
    if (!e->has_t)
        return STR_NONE;
    for (p = exposition_blanks_end(p, end); p < end && *p != ' ' && *p != '\t' && *p != '\n'; p++) {
    }
    const char *start = p = exposition_blanks_end(p, end);
    while (p < end && *p != ' ' && *p != '\t' && *p != '\n')
        p++;
    return str_n(start, (size_t)(p - start));
}

/* ---- start times ---- */

static bool has_starts(enum metric_type t)
{
    return t == METRIC_COUNTER || t == METRIC_HISTOGRAM || t == METRIC_SUMMARY;
}

/* Name and labels, but le and quantile, of the line in the builder; name_n: how much of the name is the family's. */
static uint64_t start_hash(struct page_rewrite *r, size_t name_n)
{
    struct labels_builder *b = &r->copy.builder;
    struct str name = str_first(builder_get(b, STR(METRIC_NAME)), name_n);
    builder_set(b, STR(METRIC_NAME), name);
    if (r->_type == METRIC_HISTOGRAM)
        builder_del(b, STR("le"));
    if (r->_type == METRIC_SUMMARY)
        builder_del(b, STR("quantile"));
    buf_clear(&r->_key);
    builder_append(b, &r->_key);
    return hash_keyed(r->_key.p, r->_key.n);
}

static void set_starts(struct page_rewrite *r, uint64_t hash, int64_t start)
{
    struct page_copy *c = &r->copy;
    for (; r->_waiting < c->n_extras; r->_waiting++) {
        struct page_extra *x = &c->extras[r->_waiting];
        if (x->kind == PAGE_WAITS_FOR_START) {
            x->start = x->hash == hash ? start : 0;
            x->kind = PAGE_START;
        }
    }
}

/* The family ends: its waiting extras have no start time. */
static void end_starts(struct page_rewrite *r)
{
    struct page_copy *c = &r->copy;
    while (c->n_extras > r->_waiting && c->extras[c->n_extras - 1].kind == PAGE_WAITS_FOR_START)
        c->n_extras--;
    set_starts(r, 0, 0);
}

/* ---- histograms ---- */

static void group_open(struct page_rewrite *r)
{
    struct classic_group *g = &r->_group;
    struct family_labels family = rewrite_family(r);
    struct buf key = g->key;
    g->key = r->_key;
    r->_key = key;
    classic_start(&g->values);
    buf_clear(&g->series);
    buf_clear(&g->exemplars);
    rewrite_add_series(&g->series, builder_labels(&r->copy.builder, &r->copy.scratch), &family);
    g->bucket = STR_NONE;
    g->open = true;
    g->start_known = false;
    g->start = 0;
}

static bool group_add_exemplars(struct page_rewrite *r, uint32_t at)
{
    struct classic_group *g = &r->_group;
    struct page_copy *c = &r->copy;
    size_t first = c->n_extras;
    for (size_t i = 0; i < g->exemplars.n; ) {
        uint32_t n;
        memcpy(&n, g->exemplars.p + i, sizeof n);
        struct str text = str_n(g->exemplars.p + i + sizeof n, n);
        i += sizeof n + n;
        struct page_extra extra = {.at = at, .message = (uint32_t)c->messages.n, .kind = PAGE_EXEMPLAR,
                                   .hash = hash_keyed(text.p, text.n)};
        arena_reset(&c->scratch);
        if (!exposition_exemplar(text, INT64_MIN, &c->builder, &c->messages))
            continue;
        if (rw_exemplar_time(str_n(c->messages.p + extra.message, c->messages.n - extra.message)) == INT64_MIN)
            c->messages.n = extra.message; /* it has no time */
        else if (!page_copy_extra(c, extra))
            return false;
    }
    page_copy_sort_exemplars(c, first);
    return true;
}

/* Writes the line of the open group, if there is one and it is a histogram. */
static bool group_end(struct page_rewrite *r)
{
    struct classic_group *g = &r->_group;
    struct page_copy *c = &r->copy;
    struct page_extra extra = {.message = (uint32_t)c->messages.n, .kind = PAGE_HISTOGRAM};
    size_t buckets;
    if (!g->open)
        return true;
    g->open = false;
    arena_reset(&c->scratch);
    if (!classic_convert(&g->values, RESET_UNKNOWN, g->t, &c->scratch, &c->messages, &buckets))
        return true;
    if (r->_options.bucket_limit > 0 && buckets > r->_options.bucket_limit)
        return err_set(&c->err, ERR_LIMIT, "`%.*s`: native_histogram_bucket_limit exceeded",
                       STR_ARG(str_first(buf_str(&g->series), 100)));
    rewrite_copy(r, g->series.p, g->series.p + g->series.n);
    extra.at = (uint32_t)(c->text.n - g->series.n);
    buf_printf(&c->text, " 0%s%.*s\n", g->time.n > 0 ? " " : "", STR_ARG(g->time));
    r->_left_out--;
    return (g->start == 0 || page_copy_start_time(c, extra.at, g->start)) && page_copy_extra(c, extra) &&
           group_add_exemplars(r, extra.at);
}

enum classic_part { PART_NONE, PART_BUCKET, PART_COUNT, PART_SUM };
static enum classic_part classic_part_of(struct str *name)
{
    static const struct { struct str suffix; enum classic_part part; } parts[] = {
        {STR("_bucket"), PART_BUCKET}, {STR("_count"), PART_COUNT}, {STR("_sum"), PART_SUM}};
    for (size_t i = 0; i < LEN(parts); i++)
        if (str_ends(*name, parts[i].suffix)) {
            *name = str_first(*name, name->n - parts[i].suffix.n);
            return parts[i].part;
        }
    return PART_NONE;
}

/* Which part of its histogram the line in the builder is. Sets _key; the builder keeps the histogram's labels. */
static enum classic_part line_part(struct page_rewrite *r, double *bound, struct str *bound_text)
{
    struct labels_builder *b = &r->copy.builder;
    struct str name = builder_get(b, STR(METRIC_NAME)), le = *bound_text = builder_get(b, STR("le"));
    enum classic_part part = classic_part_of(&name);
    if (part == PART_BUCKET && (le.n == 0 || !num_parse(le, bound) || isnan(*bound)))
        part = PART_NONE;
    builder_set(b, STR(METRIC_NAME), name);
    builder_del(b, STR("le"));
    buf_clear(&r->_key);
    builder_append(b, &r->_key);
    return str_eq(name, r->_name) ? part : PART_NONE;
}

static void group_add_line(struct page_rewrite *r, enum classic_part part, double bound)
{
    enum { EXEMPLARS_MAX = 256 << 10 }; /* bytes; they are written in one step. A page may repeat a bucket */
    struct classic_group *g = &r->_group;
    const struct exposition *e = &r->_in;
    if (!g->open)
        group_open(r);
    if (part == PART_BUCKET)
        classic_add_bucket(&g->values, bound, e->value);
    else if (part == PART_COUNT)
        classic_set_count(&g->values, e->value);
    else
        classic_set_sum(&g->values, e->value);
    g->time = time_text(e);
    g->t = e->has_t && r->_options.own_times ? e->t : r->_options.t;
    uint32_t n = (uint32_t)e->exemplar.n;
    if (n > 0 && g->exemplars.n + sizeof n + n <= EXEMPLARS_MAX) {
        buf_add(&g->exemplars, &n, sizeof n);
        buf_add_str(&g->exemplars, e->exemplar);
    }
}

/* ---- entries ---- */

/* Whether the series differs from the last bucket's only in its bound: most lines of a histogram do, and their labels
 * need not be parsed. */
static bool group_next_bucket(const struct classic_group *g, struct str series, double *bound)
{
    if (g->bucket.n == 0 || series.n <= g->bound_at || memcmp(series.p, g->bucket.p, g->bound_at) != 0)
        return false;
    struct str rest = str_skip(series, g->bound_at), after = str_skip(g->bucket, g->bound_at + g->bound_n);
    struct str le = str_first(rest, str_find(rest, '"'));
    return str_eq(str_skip(rest, le.n), after) && num_parse(le, bound) && !isnan(*bound);
}

static void group_note_bucket(struct classic_group *g, struct str series, struct str le)
{
    bool inside = le.p > series.p && le.p + le.n < series.p + series.n; /* not unescaped elsewhere */
    g->bucket = inside ? series : STR_NONE;
    g->bound_at = inside ? (size_t)(le.p - series.p) : 0;
    g->bound_n = le.n;
}

/* Copies the line with the labels of its family, and without its exemplar if `bare`: the histogram has it. */
static void rewrite_line(struct page_rewrite *r, const char *before, bool bare, uint32_t *at)
{
    const struct exposition *e = &r->_in;
    struct family_labels family = rewrite_family(r);
    struct buf *out = &r->copy.text;
    const char *after = e->series.p + e->series.n;
    rewrite_copy(r, before, e->series.p);
    *at = (uint32_t)out->n;
    if (family.type != METRIC_UNKNOWN || family.unit.n > 0)
        rewrite_add_labelled(r, e->series, &family);
    else
        buf_add_str(out, e->series);
    if (bare && e->exemplar.n > 0) {
        buf_add(out, after, (size_t)(e->exemplar.p - strlen(" # ") - after));
        buf_add_char(out, '\n');
    } else {
        buf_add(out, after, (size_t)(e->p - after));
    }
}

static void rewrite_created(struct page_rewrite *r, const char *before, struct str name)
{
    struct classic_group *g = &r->_group;
    double ms = r->_in.value * 1e3;
    int64_t start = fabs(ms) < 0x1p62 ? (int64_t)ms : 0;
    uint64_t hash = start_hash(r, name.n - strlen("_created"));
    set_starts(r, hash, start);
    if (g->open && !g->start_known) {
        g->start_known = true;
        g->start = hash == hash_keyed(g->key.p, g->key.n) ? start : 0;
    }
    rewrite_leave_out(r, before, r->_in.p);
}

/* The line in the builder, whose labels may be changed. */
static bool rewrite_family_line(struct page_rewrite *r, const char *before)
{
    const struct page_rewrite_options *o = &r->_options;
    const struct exposition *e = &r->_in;
    struct err err;
    bool starts = o->starts && has_starts(r->_type);
    struct str name = builder_get(&r->copy.builder, STR(METRIC_NAME));
    struct str le = STR_NONE;
    double bound = 0;
    if (starts && str_ends(name, STR("_created"))) {
        rewrite_created(r, before, name);
        return true;
    }
    enum classic_part part = o->custom && r->_type == METRIC_HISTOGRAM ? line_part(r, &bound, &le) : PART_NONE;
    if (r->_group.open && !str_eq(buf_str(&r->_key), buf_str(&r->_group.key))) {
        /* group_end() has used the builder */
        if (!group_end(r) || !exposition_labels(e->series, o->lax, &r->copy.builder, &err))
            return false;
        name = builder_get(&r->copy.builder, STR(METRIC_NAME));
        part = line_part(r, &bound, &le);
    }
    if (part != PART_NONE)
        group_add_line(r, part, bound);
    if (part == PART_BUCKET)
        group_note_bucket(&r->_group, e->series, le);
    if (part != PART_NONE && !o->classic_too) {
        rewrite_leave_out(r, before, e->p);
        return true;
    }
    struct page_extra extra = {.kind = PAGE_WAITS_FOR_START};
    if (starts)
        extra.hash = start_hash(r, str_starts(name, r->_name) ? r->_name.n : name.n);
    rewrite_line(r, before, part != PART_NONE, &extra.at);
    return !starts || page_copy_extra(&r->copy, extra);
}

static bool rewrite_series(struct page_rewrite *r, const char *before)
{
    const struct page_rewrite_options *o = &r->_options;
    const struct exposition *e = &r->_in;
    bool histogram = o->custom && r->_type == METRIC_HISTOGRAM, starts = o->starts && has_starts(r->_type);
    bool comment = e->format == EXPOSITION_TEXT && memchr(before, '#', (size_t)(e->series.p - before));
    struct err err;
    uint32_t at;
    double bound;
    if ((comment || !histogram) && !group_end(r))
        return false;
    if (r->_group.open && !o->classic_too && group_next_bucket(&r->_group, e->series, &bound)) {
        group_add_line(r, PART_BUCKET, bound);
        rewrite_leave_out(r, before, e->p);
        return true;
    }
    arena_reset(&r->copy.scratch);
    if ((histogram || starts) && exposition_labels(e->series, o->lax, &r->copy.builder, &err))
        return rewrite_family_line(r, before);
    if (!group_end(r))
        return false;
    rewrite_line(r, before, false, &at);
    return true;
}

static bool rewrite_metadata(struct page_rewrite *r, const char *before, enum exposition_kind kind)
{
    const struct exposition *e = &r->_in;
    if (!group_end(r))
        return false;
    end_starts(r);
    if (kind == EXPOSITION_TYPE) {
        r->_name = e->name;
        r->_type = metric_type_parse(e->text);
    } else if (kind == EXPOSITION_UNIT && e->format == EXPOSITION_OPENMETRICS) {
        r->_unit_name = e->name;
        r->_unit = e->text;
    }
    rewrite_copy(r, before, e->p);
    return true;
}

/* The end of the page, or its first line that makes it invalid. */
static enum copy_state rewrite_end(struct page_rewrite *r, const char *before)
{
    if (!group_end(r))
        return COPY_INVALID;
    end_starts(r);
    rewrite_copy(r, before, r->_in.end);
    return page_copy_fits(&r->copy) ? COPY_COMPLETE : COPY_INVALID;
}

enum copy_state page_rewrite_some(struct page_rewrite *r, size_t lines)
{
    struct exposition *e = &r->_in;
    for (bool ok = true; lines > 0; lines--) {
        const char *before = e->p;
        enum exposition_kind kind = exposition_next(e);
        if (kind == EXPOSITION_END || (kind == EXPOSITION_ERROR && (!r->_options.skips_lines || e->p == e->end)))
            return rewrite_end(r, before);
        if (kind == EXPOSITION_ERROR) {
            exposition_skip_line(e);
            rewrite_copy(r, before, e->p);
        } else if (kind == EXPOSITION_SERIES) {
            ok = rewrite_series(r, before);
        } else {
            ok = rewrite_metadata(r, before, kind);
        }
        if (!ok || !page_copy_fits(&r->copy))
            return COPY_INVALID;
    }
    return COPY_MORE;
}
