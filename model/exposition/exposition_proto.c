// SPDX-License-Identifier: Apache-2.0
/* Families, metrics and classic series. A family is scanned twice, since fields may have any order: for its name, type,
 * help and unit, and then for its metrics. */
#include "base/text/num.h"
#include "base/text/utf8.h"
#include "model/exposition/exposition_proto_internal.h"
#include "model/exposition/exposition_scan.h"

enum { FAMILY_NAME = 1, FAMILY_HELP, FAMILY_TYPE, FAMILY_METRIC, FAMILY_UNIT };
enum { METRIC_LABEL = 1, METRIC_TIME = 6 };
enum { VALUE = 1, COUNTER_EXEMPLAR = 2 };
enum { COUNT = 1, SUM = 2, QUANTILE = 3, COUNT_FLOAT = 4 };
enum { BUCKET_COUNT = 1, BUCKET_BOUND, BUCKET_COUNT_FLOAT = 4 };

static const struct proto_kind { const char *type; unsigned field; /* of the value in Metric */ } kinds[] = {
    [PROTO_COUNTER] = {"counter", 3}, [PROTO_GAUGE] = {"gauge", 2}, [PROTO_SUMMARY] = {"summary", 4},
    [PROTO_UNTYPED] = {"unknown", 5}, [PROTO_HISTOGRAM] = {"histogram", 7},
    [PROTO_GAUGE_HISTOGRAM] = {"gaugehistogram", 7}};

void proto_page_init(struct proto_page *p)
{
    *p = (struct proto_page){0};
    page_copy_init(&p->copy);
}

void proto_page_free(struct proto_page *p)
{
    page_copy_free(&p->copy);
    classic_free(&p->_classic);
}

void proto_page_start(struct proto_page *p, struct str body, const struct proto_page_options *options)
{
    page_copy_start(&p->copy, options->max_bytes);
    p->_options = *options;
    p->_p = proto_begin(body);
    p->_end = proto_end(body);
    p->_metric = NULL;
}

bool proto_refuse(struct proto_page *p, enum err_kind kind, const char *why)
{
    struct str name = str_first(p->_family.name, 100);
    return err_set(&p->copy.err, kind, "metric family \"%.*s\": %s", STR_ARG(name), why);
}

static bool proto_fail(struct proto_page *p, const char *what) { return proto_refuse(p, ERR_BAD_DATA, what); }

/* ---- text ---- */

/* A bound or quantile: 1.0 and not 1, as OpenMetrics spells it. */
static void add_float_label(struct buf *out, const char *name, double v)
{
    char text[NUM_MAX];
    size_t n = num_format_go(text, v);
    bool point = !isfinite(v) || memchr(text, '.', n) || memchr(text, 'e', n);
    buf_printf(out, "%s=\"%.*s%s\"", name, (int)n, text, point ? "" : ".0");
}

static bool proto_add_label(struct buf *out, struct str pair, const struct family_labels *family, bool *first)
{
    const uint8_t *at = proto_begin(pair);
    struct pb_field f;
    struct str name = STR_NONE, value = STR_NONE;
    while (pb_next(&at, proto_end(pair), &f))
        if (f.wire == 2 && f.number <= 2)
            *(f.number == 1 ? &name : &value) = f.bytes;
    if (!family_labels_replace(family, name))
        copy_add_label(out, name, value, first);
    return at == proto_end(pair);
}

struct proto_metric { struct str message, value; int64_t t, start; };
struct proto_bound { const char *name; double value; }; /* of le or quantile; name NULL: none */

/* The text of a series of the metric; its place in the page is *at. */
static bool proto_add_series(struct proto_page *p, const struct proto_metric *m, const char *suffix,
                             struct proto_bound bound, uint32_t *at)
{
    struct buf *out = &p->copy.text;
    struct str name = p->_family.name;
    const uint8_t *field = proto_begin(m->message);
    struct pb_field f;
    bool plain = copy_name_plain(name, NAME_METRIC), first = plain;
    *at = (uint32_t)out->n;
    if (plain)
        buf_printf(out, "%.*s%s", STR_ARG(name), suffix);
    buf_add_char(out, '{');
    if (!plain) {
        buf_add_char(out, '"');
        copy_add_escaped(out, name, true);
        buf_printf(out, "%s\"", suffix);
    }
    copy_add_family_labels(out, &p->_family.labels, &first);
    while (pb_next(&field, proto_end(m->message), &f))
        if (f.number == METRIC_LABEL && f.wire == 2 && !proto_add_label(out, f.bytes, &p->_family.labels, &first))
            return proto_fail(p, "truncated label");
    if (bound.name) {
        if (!first)
            buf_add_char(out, ',');
        add_float_label(out, bound.name, bound.value);
    }
    buf_add_char(out, '}');
    return true;
}

static bool proto_add_value(struct proto_page *p, const struct proto_metric *m, double v)
{
    buf_add_char(&p->copy.text, ' ');
    buf_add_num(&p->copy.text, v);
    if (m->t)
        buf_printf(&p->copy.text, " %lld", (long long)m->t);
    buf_add_char(&p->copy.text, '\n');
    return page_copy_fits(&p->copy);
}

static bool proto_add_start(struct proto_page *p, const struct proto_metric *m, uint32_t at)
{
    return !p->_options.starts || m->start == 0 || page_copy_start_time(&p->copy, at, m->start);
}

static bool proto_add_sample(struct proto_page *p, const struct proto_metric *m, const char *suffix,
                             struct proto_bound bound, double v, struct str exemplar)
{
    uint32_t at;
    return proto_add_series(p, m, suffix, bound, &at) && proto_add_value(p, m, v) && proto_add_start(p, m, at) &&
           (exemplar.p == NULL || proto_add_exemplar(p, at, exemplar));
}

/* ---- values of each type ---- */

static bool convert_plain(struct proto_page *p, const struct proto_metric *m)
{
    const uint8_t *at = proto_begin(m->value);
    struct pb_field f;
    double v = 0;
    struct str exemplar = STR_NONE;
    while (pb_next(&at, proto_end(m->value), &f)) {
        if (f.number == VALUE)
            v = proto_double(&f);
        else if (f.number == COUNTER_EXEMPLAR && f.wire == 2 && p->_family.type == PROTO_COUNTER)
            exemplar = f.bytes;
    }
    return at == proto_end(m->value) ? proto_add_sample(p, m, "", (struct proto_bound){0}, v, exemplar)
                                     : proto_fail(p, "truncated value");
}

/* The fields that summaries and histograms share; the items are quantiles or buckets. */
struct proto_total { double count, sum; };
static bool read_total(struct proto_page *p, struct str message, struct proto_total *out)
{
    const uint8_t *at = proto_begin(message);
    struct pb_field f;
    double count_float = 0;
    *out = (struct proto_total){0};
    while (pb_next(&at, proto_end(message), &f)) {
        if (f.number == COUNT && f.wire == 0)
            out->count = (double)f.value;
        else if (f.number == SUM)
            out->sum = proto_double(&f);
        else if (f.number == COUNT_FLOAT)
            count_float = proto_double(&f);
    }
    if (count_float != 0 && p->_family.type != PROTO_SUMMARY)
        out->count = count_float;
    return at == proto_end(message) || proto_fail(p, "truncated summary or histogram");
}

static bool proto_add_total(struct proto_page *p, const struct proto_metric *m, struct proto_total total)
{
    return proto_add_sample(p, m, "_count", (struct proto_bound){0}, total.count, STR_NONE) &&
           proto_add_sample(p, m, "_sum", (struct proto_bound){0}, total.sum, STR_NONE);
}

static bool convert_quantile(struct proto_page *p, const struct proto_metric *m, struct str message)
{
    const uint8_t *at = proto_begin(message);
    struct pb_field f;
    double quantile = 0, v = 0;
    while (pb_next(&at, proto_end(message), &f))
        if (f.number == 1)
            quantile = proto_double(&f);
        else if (f.number == 2)
            v = proto_double(&f);
    return at == proto_end(message) ? proto_add_sample(p, m, "", (struct proto_bound){"quantile", quantile}, v, STR_NONE)
                                    : proto_fail(p, "truncated quantile");
}

static bool convert_summary(struct proto_page *p, const struct proto_metric *m)
{
    struct proto_total total;
    const uint8_t *at = proto_begin(m->value);
    struct pb_field f;
    if (!read_total(p, m->value, &total) || !proto_add_total(p, m, total))
        return false;
    while (pb_next(&at, proto_end(m->value), &f))
        if (f.number == QUANTILE && f.wire == 2 && !convert_quantile(p, m, f.bytes))
            return false;
    return true;
}

struct proto_bucket { double bound, count; struct str exemplar; };
static bool read_bucket(struct proto_page *p, struct str message, struct proto_bucket *out)
{
    const uint8_t *at = proto_begin(message);
    struct pb_field f;
    double count_float = 0;
    *out = (struct proto_bucket){0};
    while (pb_next(&at, proto_end(message), &f)) {
        if (f.number == BUCKET_COUNT && f.wire == 0)
            out->count = (double)f.value;
        else if (f.number == BUCKET_BOUND)
            out->bound = proto_double(&f);
        else if (f.number == BUCKET_COUNT_FLOAT)
            count_float = proto_double(&f);
        else if (f.number == BUCKET_EXEMPLAR && f.wire == 2)
            out->exemplar = f.bytes;
    }
    if (count_float != 0)
        out->count = count_float;
    return at == proto_end(message) || proto_fail(p, "truncated bucket");
}

static bool convert_bucket(struct proto_page *p, const struct proto_metric *m, struct str message, bool *last)
{
    struct proto_bucket b;
    if (!read_bucket(p, message, &b))
        return false;
    *last = isinf(b.bound) && b.bound > 0;
    return proto_add_sample(p, m, "_bucket", (struct proto_bound){"le", b.bound}, b.count, b.exemplar);
}

static bool has_classic_buckets(struct str histogram)
{
    const uint8_t *at = proto_begin(histogram);
    struct pb_field f;
    while (pb_next(&at, proto_end(histogram), &f))
        if (f.number == HISTOGRAM_BUCKET && f.wire == 2)
            return true;
    return false;
}

static bool convert_classic(struct proto_page *p, const struct proto_metric *m)
{
    struct proto_total total;
    const uint8_t *at = proto_begin(m->value);
    struct pb_field f;
    bool last = false;
    if (!read_total(p, m->value, &total) || !proto_add_total(p, m, total))
        return false;
    while (!last && pb_next(&at, proto_end(m->value), &f))
        if (f.number == HISTOGRAM_BUCKET && f.wire == 2 && !convert_bucket(p, m, f.bytes, &last))
            return false;
    return last || proto_add_sample(p, m, "_bucket", (struct proto_bound){"le", (double)INFINITY}, total.count, STR_NONE);
}

static int64_t proto_time(const struct proto_page *p, const struct proto_metric *m)
{
    return m->t && p->_options.own_times ? m->t : p->_options.t;
}

static bool convert_native(struct proto_page *p, const struct proto_metric *m)
{
    uint32_t at;
    return proto_add_series(p, m, "", (struct proto_bound){0}, &at) && proto_add_value(p, m, 0) &&
           proto_add_start(p, m, at) && proto_add_histogram(p, at, m->value, proto_time(p, m)) &&
           proto_add_histogram_exemplars(p, at, m->value);
}

/* Converts its classic buckets to a native histogram; none if they contradict each other. */
static bool convert_custom(struct proto_page *p, const struct proto_metric *m)
{
    size_t buckets = 0, before = p->copy.messages.n;
    struct proto_total total;
    const uint8_t *field = proto_begin(m->value);
    struct pb_field f;
    if (!read_total(p, m->value, &total))
        return false;
    classic_start(&p->_classic);
    classic_set_count(&p->_classic, total.count);
    classic_set_sum(&p->_classic, total.sum);
    while (pb_next(&field, proto_end(m->value), &f)) {
        struct proto_bucket b;
        if (f.number != HISTOGRAM_BUCKET || f.wire != 2)
            continue;
        if (!read_bucket(p, f.bytes, &b))
            return false;
        if (!isnan(b.bound))
            classic_add_bucket(&p->_classic, b.bound, b.count);
    }
    arena_reset(&p->copy.scratch);
    enum reset_hint hint = p->_family.type == PROTO_GAUGE_HISTOGRAM ? RESET_GAUGE : RESET_UNKNOWN;
    if (!classic_convert(&p->_classic, hint, proto_time(p, m), &p->copy.scratch, &p->copy.messages, &buckets))
        return true;
    if (p->_options.bucket_limit > 0 && buckets > p->_options.bucket_limit)
        return proto_refuse(p, ERR_LIMIT, PROTO_OVER_BUCKETS);
    struct page_extra extra = {.message = (uint32_t)before, .kind = PAGE_HISTOGRAM};
    return proto_add_series(p, m, "", (struct proto_bound){0}, &extra.at) && proto_add_value(p, m, 0) &&
           proto_add_start(p, m, extra.at) && page_copy_extra(&p->copy, extra) &&
           proto_add_histogram_exemplars(p, extra.at, m->value);
}

static bool convert_histogram(struct proto_page *p, const struct proto_metric *m)
{
    const struct proto_page_options *o = &p->_options;
    if (o->native && proto_is_native(m->value))
        return convert_native(p, m) && (!o->classic_too || !has_classic_buckets(m->value) || convert_classic(p, m));
    if (!o->custom)
        return convert_classic(p, m);
    return (!o->classic_too || convert_classic(p, m)) && convert_custom(p, m);
}

/* Numbers of the field created_timestamp. */
static int64_t read_start(const struct proto_page *p, struct str value)
{
    static const unsigned char fields[] = {[PROTO_COUNTER] = 3, [PROTO_SUMMARY] = 4, [PROTO_HISTOGRAM] = 15,
                                           [PROTO_GAUGE_HISTOGRAM] = 15};
    const uint8_t *at = proto_begin(value);
    unsigned field = p->_family.type < LEN(fields) ? fields[p->_family.type] : 0;
    struct pb_field f;
    int64_t start = 0;
    while (field && pb_next(&at, proto_end(value), &f))
        if (f.number == field && f.wire == 2)
            start = proto_timestamp(f.bytes);
    return start;
}

static bool convert_metric(struct proto_page *p, struct str message)
{
    struct proto_metric m = {.message = message};
    const uint8_t *at = proto_begin(message);
    struct pb_field f;
    unsigned type = p->_family.type;
    while (pb_next(&at, proto_end(message), &f)) {
        if (f.number == METRIC_TIME && f.wire == 0)
            m.t = (int64_t)f.value;
        else if (f.number == kinds[type].field && f.wire == 2)
            m.value = f.bytes;
    }
    if (at != proto_end(message))
        return proto_fail(p, "truncated metric");
    if (p->_options.starts)
        m.start = read_start(p, m.value);
    if (type == PROTO_HISTOGRAM || type == PROTO_GAUGE_HISTOGRAM)
        return convert_histogram(p, &m);
    return type == PROTO_SUMMARY ? convert_summary(p, &m) : convert_plain(p, &m);
}

/* ---- families ---- */

static void add_metadata_line(struct proto_page *p, const char *keyword, struct str text)
{
    buf_printf(&p->copy.text, "# %s ", keyword);
    if (copy_name_plain(p->_family.name, NAME_METRIC))
        buf_add_str(&p->copy.text, p->_family.name);
    else
        copy_add_quoted(&p->copy.text, p->_family.name);
    buf_add_char(&p->copy.text, ' ');
    copy_add_escaped(&p->copy.text, text, false);
    buf_add_char(&p->copy.text, '\n');
}

static bool read_family(struct proto_page *p, struct str message)
{
    struct proto_family *family = &p->_family;
    const uint8_t *at = proto_begin(message);
    struct pb_field f;
    *family = (struct proto_family){0};
    while (pb_next(&at, proto_end(message), &f)) {
        switch (f.number) {
        case FAMILY_NAME: family->name = f.bytes; break;
        case FAMILY_HELP: family->help = f.bytes; break;
        case FAMILY_UNIT: family->unit = f.bytes; break;
        case FAMILY_TYPE: family->type = f.value < LEN(kinds) ? (unsigned)f.value : LEN(kinds); break;
        case FAMILY_METRIC: family->metrics++; break;
        default: break;
        }
    }
    if (at != proto_end(message))
        return proto_fail(p, "truncated metric family");
    if (family->metrics == 0)
        return true;
    if (family->name.n == 0 || !utf8_valid(family->name))
        return proto_fail(p, "the name is empty or not UTF-8");
    if (!utf8_valid(family->unit))
        return proto_fail(p, "unit is not UTF-8");
    if (!utf8_valid(family->help))
        return proto_fail(p, "help text is not UTF-8");
    return family->type < LEN(kinds) || proto_fail(p, "unknown metric type");
}

static bool next_family(struct proto_page *p)
{
    uint64_t n;
    const uint8_t *at = varint_get(p->_p, p->_end, &n);
    if (at == NULL || n > (uint64_t)(p->_end - at))
        return err_set(&p->copy.err, ERR_BAD_DATA, "truncated metric family at byte %zu of the rest of the response",
                       (size_t)(p->_end - p->_p));
    struct str message = str_n(at, n);
    p->_p = at + n;
    if (!read_family(p, message))
        return false;
    if (p->_family.metrics == 0)
        return true;
    p->_family.labels = (struct family_labels){0};
    if (p->_options.family_labels)
        p->_family.labels = (struct family_labels){metric_type_parse(str_of(kinds[p->_family.type].type)),
                                                   p->_family.unit};
    p->_metric = at;
    p->_metric_end = at + n;
    if (p->_family.help.n > 0)
        add_metadata_line(p, "HELP", p->_family.help);
    add_metadata_line(p, "TYPE", str_of(kinds[p->_family.type].type));
    if (p->_family.unit.n > 0)
        add_metadata_line(p, "UNIT", p->_family.unit);
    return true;
}

enum copy_state proto_page_convert(struct proto_page *p, size_t metrics)
{
    struct pb_field f;
    for (; metrics > 0; metrics--) {
        if (p->_metric && pb_next(&p->_metric, p->_metric_end, &f)) {
            if (f.number == FAMILY_METRIC && f.wire == 2 && !convert_metric(p, f.bytes))
                return COPY_INVALID;
            continue;
        }
        p->_metric = NULL;
        if (p->_p == p->_end)
            return COPY_COMPLETE;
        if (!next_family(p))
            return COPY_INVALID;
    }
    return COPY_MORE;
}
