// SPDX-License-Identifier: Apache-2.0
/* InfluxDB's line protocol, versions 1 and 2, with the conversion that VictoriaMetrics documents:
 *
 *   cpu,host=a,region=eu usage=1.5,idle=2i 1700000000000000000     becomes   cpu_usage{host="a",region="eu"} 1.5
 *                                                                            cpu_idle{host="a",region="eu"} 2
 *
 * A field is a series named measurement and field; tags are labels, the parameter `db` is one too. true is 1, false and
 * texts that are no number are 0. The unit of a time is the parameter `precision`, or follows from its magnitude;
 * without a time, and for 0, it is the time of the request. Commas, blanks, equals signs and backslashes are escaped by a
 * backslash, and quoted texts may contain them; a line feed ends the line even there.
 *
 * An invalid line fails the whole body, unless the client asks with `Stream-Mode: 1` to skip it.
 * Source: https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
 */
#include "base/hash.h"
#include "base/json/json_write.h"
#include "base/text/num.h"
#include "base/text/utf8.h"
#include "gateway/ingest/ingest_format.h"
#include "gateway/services/services.h"

#include <math.h>

struct influx_state {
    int64_t unit;             /* ns, of times; 0: by magnitude */
    struct label database;    /* its value is empty: none */
    struct buf name;          /* measurement, separator and field */
};

/* ---- text ---- */

/* Where the first such byte stands that no backslash escapes and that is in no quoted text; s.n: nowhere. */
static size_t influx_find(struct str s, char c)
{
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (!quoted && s.p[i] == c)
            return i;
    }
    return s.n;
}

/* The same where quotes have no meaning: in measurements, tags and names of fields. */
static size_t influx_find_plain(struct str s, char c)
{
    size_t at = str_find(s, c);
    if (at == 0 || memchr(s.p, '\\', at) == NULL)
        return at;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == c)
            return i;
    }
    return s.n;
}

static struct str influx_unescape(struct arena *a, struct str s)
{
    if (str_find(s, '\\') == s.n)
        return s;
    char *to = arena_bytes(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char next = i + 1 < s.n ? s.p[i + 1] : 0;
        i += s.p[i] == '\\' && (next == ',' || next == ' ' || next == '=' || next == '\\');
        to[n++] = s.p[i];
    }
    return str_n(to, n);
}

static struct str influx_skip_blanks(struct str s)
{
    while (s.n > 0 && s.p[0] == ' ')
        s = str_skip(s, 1);
    return s;
}

/* ---- values and times ---- */

static bool influx_word(struct str s, bool *v)
{
    static const char *const words[] = {"f", "F", "false", "False", "FALSE", "t", "T", "true", "True", "TRUE"};
    if (s.p[0] != 'f' && s.p[0] != 'F' && s.p[0] != 't' && s.p[0] != 'T')
        return false;
    for (size_t i = 0; i < LEN(words); i++)
        if (str_is(s, words[i])) {
            *v = i >= LEN(words) / 2;
            return true;
        }
    return false;
}

static bool influx_integer(struct str s, double *v, struct err *err)
{
    struct str digits = str_first(s, s.n - 1);
    int64_t i;
    uint64_t u;
    if (s.p[s.n - 1] == 'i' && num_parse_i64(digits, &i))
        *v = (double)i;
    else if (s.p[s.n - 1] == 'u' && num_parse_u64(digits, &u))
        *v = (double)u;
    else
        return err_set(err, ERR_BAD_DATA, "`%.*s` is not an integer of 64 bits", STR_ARG(str_first(s, 100)));
    return true;
}

static bool influx_value(struct str s, double *v, struct err *err)
{
    char last = s.n > 0 ? s.p[s.n - 1] : 0;
    bool word;
    if (s.n == 0)
        return err_set(err, ERR_BAD_DATA, "expected a value");
    if (s.p[0] == '"') {
        if (s.n < 2 || last != '"')
            return err_set(err, ERR_BAD_DATA, "`%.*s` has no closing quote", STR_ARG(str_first(s, 100)));
        s = str_n(s.p + 1, s.n - 2);
    } else if ((last == 'i' || last == 'u') && s.n > 1) {
        return influx_integer(s, v, err);
    } else if (influx_word(s, &word)) {
        *v = word;
        return true;
    }
    const char *end = num_scan(s.p, s.p + s.n, v);
    if (end == s.p + s.n)
        return true;
    if (!num_parse(s, v) || str_find(s, 'x') < s.n || str_find(s, 'X') < s.n)
        *v = 0;
    else if (isnan(*v))
        *v = normal_nan();
    return true;
}

static int64_t unit_by_magnitude(int64_t t)
{
    if (t >= 100000000000000000)
        return 1;
    if (t >= 100000000000000)
        return 1000;
    return t >= 100000000000 ? 1000000 : 1000000000;
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static bool influx_time(const struct ingest *in, struct str s, int64_t *t, struct err *err)
{
    const struct influx_state *state = in->state;
    enum { NS_PER_MS = 1000000 };
    s = str_trim(s);
    *t = 0;
    if (s.n > 0 && !num_parse_i64(s, t))
        return err_set(err, ERR_BAD_DATA, "`%.*s` is not a time", STR_ARG(str_first(s, 100)));
    int64_t unit = state->unit ? state->unit : unit_by_magnitude(*t);
    if (*t == 0)
        *t = in->now;
    else if (unit < NS_PER_MS)
        *t = floor_div(*t, NS_PER_MS / unit);
    else if (__builtin_mul_overflow(*t, unit / NS_PER_MS, t))
        return err_set(err, ERR_BAD_DATA, "`%.*s` is out of range", STR_ARG(str_first(s, 100)));
    *t -= *t % in->services->flags.ingest.influx_trim;
    return true;
}

/* ---- lines ---- */

static bool influx_tags(struct ingest *in, struct str tags, struct err *err)
{
    const struct influx_state *s = in->state;
    bool own = false;
    while (tags.n > 0) {
        struct str tag = str_first(tags, influx_find_plain(tags, ','));
        tags = str_skip(tags, tag.n + 1);
        size_t n = influx_find_plain(tag, '=');
        if (n == tag.n)
            return err_set(err, ERR_BAD_DATA, "tag `%.*s` has no value", STR_ARG(str_first(tag, 100)));
        struct str name = influx_unescape(in->scratch, str_first(tag, n));
        own = own || str_eq(name, s->database.name);
        if (!ingest_label(in, name, influx_unescape(in->scratch, str_skip(tag, n + 1)), err))
            return false;
    }
    return own || ingest_label(in, s->database.name, s->database.value, err);
}

/* The line being read: what its fields share. */
struct influx_key { struct str measurement, tags; uint64_t hash; bool labels_read, one_field; };

static struct str influx_name(struct ingest *in, const struct influx_key *key, struct str field)
{
    const struct ingest_flags *flags = &in->services->flags.ingest;
    struct buf *name = &((struct influx_state *)in->state)->name;
    bool measurement = key->measurement.n > 0 && !flags->influx_skip_measurement;
    if (measurement && key->one_field && flags->influx_skip_single_field)
        return key->measurement;
    buf_clear(name);
    if (measurement) {
        buf_add_str(name, key->measurement);
        buf_add_str(name, flags->influx_separator);
    }
    buf_add_str(name, field);
    return buf_str(name);
}

static bool influx_labels(struct ingest *in, struct influx_key *key, struct err *err)
{
    if (key->labels_read)
        return true;
    key->labels_read = true;
    key->measurement = influx_unescape(in->scratch, key->measurement);
    ingest_series_begin(in);
    return ingest_label(in, STR(METRIC_NAME), key->measurement.n > 0 ? key->measurement : STR("_"), err)
           && influx_tags(in, key->tags, err);
}

static bool influx_new_series(struct ingest *in, struct influx_key *key, struct str field, const struct sample *sample,
                              struct err *err)
{
    if (!influx_labels(in, key, err))
        return false;
    if (!utf8_valid(field))
        return err_set(err, ERR_BAD_DATA, "the name of a field is not UTF-8");
    builder_set(in->labels, STR(METRIC_NAME), influx_name(in, key, influx_unescape(in->scratch, field)));
    return ingest_series_end(in, sample, 1, err);
}

struct influx_field { struct str name, text; double value; }; /* text: to its `=`, from the start of the line or the comma before it */

/* Reads all fields before any is reported: an invalid one makes the line invalid. Returns their number. */
static bool influx_fields(struct ingest *in, const char *start, struct str fields, struct influx_field **out, size_t *count,
                          struct err *err)
{
    struct influx_field *f = *out = ARENA_ARRAY(in->scratch, struct influx_field, str_count(fields, ',') + 1);
    const char *from = start;
    bool more = true;
    for (*count = 0; more; f++, ++*count) {
        struct str field = str_first(fields, influx_find(fields, ','));
        size_t n = influx_find_plain(field, '=');
        more = field.n < fields.n;
        fields = str_skip(fields, field.n + 1);
        if (n == 0 || n == field.n)
            return err_set(err, ERR_BAD_DATA, n == 0 && field.n > 0 ? "the name of a field is empty" : "a field has no value");
        f->name = str_first(field, n);
        f->text = str_n(from, (size_t)(field.p + n + 1 - from));
        from = field.p + field.n;
        if (!influx_value(str_skip(field, n + 1), &f->value, err))
            return false;
    }
    return true;
}

static uint64_t influx_field_hash(const struct influx_key *key, const struct influx_field *f)
{
    const uint64_t parts[] = {key->hash, hash_keyed(f->name.p, f->name.n)};
    return hash_keyed(parts, sizeof parts);
}

/* before: NULL, or the field before it in the line. */
static bool influx_field(struct ingest *in, struct influx_key *key, const struct influx_field *before,
                         const struct influx_field *f, int64_t t, struct err *err)
{
    struct sample sample = {.t = t, .v = f->value};
    uint64_t hash = influx_field_hash(key, f);
    if (ingest_series_known(in, hash, &sample, 1))
        return true;
    if (!influx_new_series(in, key, f->name, &sample, err))
        return false;
    bool plain = str_find(f->text, '"') == f->text.n && str_find(f->name, '\\') == f->name.n;
    struct str text = plain ? f->text : STR_NONE;
    if (before)
        ingest_series_remember_behind(in, hash, text, influx_field_hash(key, before));
    else
        ingest_series_remember(in, hash, text);
    return true;
}

/* A number in a field that ends before a comma, a blank or the end. NULL: it is something else. */
static const char *influx_number(const char *p, const char *end, double *v)
{
    const char *stop = num_scan(p, end, v);
    int64_t integer;
    if (stop && stop < end && *stop == 'i' && num_parse_i64(str_n(p, (size_t)(stop - p)), &integer)) {
        *v = (double)integer;
        stop++;
    }
    return stop && (stop == end || *stop == ',' || *stop == ' ') ? stop : NULL;
}

/* A line whose series are expected, and whose values are numbers. */
static bool influx_expected(struct ingest *in, struct str line)
{
    enum { MOST_FIELDS = 128 };
    const char *p = line.p, *end = line.p + line.n;
    struct sample samples[MOST_FIELDS];
    struct err err;
    size_t n = 0;
    int64_t t;
    do {
        struct str known = ingest_expected(in, n);
        if (n == MOST_FIELDS || known.n == 0 || !str_starts(str_n(p, (size_t)(end - p)), known))
            return false;
        p = influx_number(p + known.n, end, &samples[n++].v);
    } while (p && p < end && *p == ',');
    if (p == NULL || !influx_time(in, str_n(p, (size_t)(end - p)), &t, &err))
        return false;
    for (size_t i = 0; i < n; i++)
        samples[i].t = t;
    return ingest_expected_have_come(in, samples, n);
}

static bool influx_line(struct ingest *in, struct str line, struct err *err)
{
    if (!in->services->flags.ingest.influx_skip_single_field && influx_expected(in, line))
        return true;
    struct str head = str_first(line, influx_find_plain(line, ' ')), rest = influx_skip_blanks(str_skip(line, head.n));
    struct str fields = str_first(rest, influx_find(rest, ' '));
    struct influx_key key = {.measurement = str_first(head, influx_find_plain(head, ',')),
                             .hash = hash_keyed(head.p, head.n)};
    struct influx_field *f;
    size_t n;
    int64_t t;
    if (line.p[0] == '#')
        return true;
    if (fields.n == 0)
        return err_set(err, ERR_BAD_DATA, "expected measurement, blank and fields in `%.*s`", STR_ARG(str_first(line, 100)));
    if (!influx_time(in, str_skip(rest, fields.n), &t, err) || !influx_fields(in, line.p, fields, &f, &n, err))
        return false;
    key.tags = str_skip(head, key.measurement.n + 1);
    key.one_field = n == 1;
    key.hash ^= key.one_field;
    for (size_t i = 0; i < n; i++)
        if (!influx_field(in, &key, i > 0 ? &f[i - 1] : NULL, &f[i], t, err))
            return false;
    return true;
}

/* ---- requests ---- */

static bool influx_unit(struct str precision, int64_t *unit)
{
    static const struct { const char *name; int64_t ns; } units[] = {
        {"", 0}, {"ns", 1}, {"n", 1}, {"us", 1000}, {"u", 1000}, {"µ", 1000}, {"ms", 1000000},
        {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};
    for (size_t i = 0; i < LEN(units); i++)
        if (str_is(precision, units[i].name)) {
            *unit = units[i].ns;
            return true;
        }
    return false;
}

static bool influx_begin(struct ingest *in, struct err *err)
{
    struct influx_state *s = in->state = mem_zalloc(sizeof *s);
    struct str precision = in->r ? form_get(&in->r->form, "precision") : STR_NONE;
    const struct ingest_flags *flags = &in->services->flags.ingest;
    s->database = (struct label){flags->influx_db_label, in->r ? form_get(&in->r->form, "db") : STR_NONE};
    ingest_same(in, s->database.value);
    if (in->r == NULL || flags->influx_stream || str_is(http_header(in->r, "Stream-Mode"), "1")) { /* NULL: a listener */
        in->all_or_nothing = false;
        in->max_line = (size_t)flags->influx_max_line;
    } else {
        in->max_line = in->max_text = (size_t)flags->influx_max_request;
    }
    return influx_unit(precision, &s->unit) || err_set(err, ERR_BAD_DATA, "precision=%.*s: expected ns, us, ms, s, m or h",
                                                       STR_ARG(str_first(precision, 100)));
}

static void influx_end(struct ingest *in)
{
    struct influx_state *s = in->state;
    if (s == NULL)
        return;
    buf_free(&s->name);
    mem_free(s);
}

/* ---- what clients ask before they write ---- */

void api_influx_query(struct http_request *r)
{
    const struct str_list *names = &r->services->flags.ingest.influx_databases;
    r->content_type = "application/json";
    buf_add_z(&r->out, "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],\"values\":[");
    for (size_t i = 0; i < names->n; i++) {
        buf_add_z(&r->out, i ? ",[\"" : "[\"");
        json_escape(&r->out, names->items[i]);
        buf_add_z(&r->out, "\"]");
    }
    buf_add_z(&r->out, names->n > 0 ? "]}]}]}" : "[\"_internal\"]]}]}]}");
}

void api_influx_health(struct http_request *r)
{
    r->content_type = "application/json";
    buf_add_z(&r->out, "{\"name\":\"influxdb\",\"message\":\"ready for queries and writes\",\"status\":\"pass\",\"checks\":[]}");
}

const struct ingest_format ingest_influx = {
    .id = INGEST_INFLUX, .all_or_nothing = true, .success = 204, .begin = influx_begin, .line = influx_line, .end = influx_end,
};
