// SPDX-License-Identifier: Apache-2.0
/* Prometheus' text format, pushed: /api/v1/import/prometheus as in VictoriaMetrics, and below it the paths of a
 * Pushgateway, /metrics/job/NAME/LABEL/VALUE..., whose labels replace those of the text.
 *
 * As in vmagent, lines are independent of each other: an invalid one is skipped. A sample without a time gets the
 * parameter `timestamp` (ms), or the time of the request.
 */
#include "base/hash.h"
#include "base/text/base64.h"
#include "base/text/num.h"
#include "gateway/ingest/ingest_format.h"
#include "model/exposition/exposition.h"

/* A longer HELP is left out: clients that send slowly would hold it all the while. */
enum { PUSHED_HELP_MAX = 64 << 10 };
struct pushed_family { struct buf name, help; enum metric_type type; }; /* of the last HELP and TYPE lines */
struct prometheus_state {
    int64_t time;             /* ms, of samples without one */
    struct pushed_family family;
    struct exposition exposition;
};

/* ---- the path of a Pushgateway ---- */

/* base64 of RFC 4648, section 5 (URL-safe), with or without padding; "=" is the empty value. */
static bool read_url_base64(struct arena *a, struct str in, struct str *out)
{
    struct buf plain = {0}, decoded = {0};
    while (in.n > 0 && in.p[in.n - 1] == '=')
        in.n--;
    for (size_t i = 0; i < in.n; i++)
        buf_add_char(&plain, in.p[i] == '-' ? '+' : in.p[i] == '_' ? '/' : in.p[i]);
    while (plain.n % 4 != 0)
        buf_add_char(&plain, '=');
    bool ok = base64_read(&decoded, buf_str(&plain));
    *out = arena_str(a, buf_str(&decoded));
    buf_free(&plain);
    buf_free(&decoded);
    return ok;
}

static bool decode_value(struct arena *a, struct str *name, struct str *value, struct err *err)
{
    struct str suffix = STR("@base64");
    if (!str_ends(*name, suffix))
        return true;
    name->n -= suffix.n;
    return read_url_base64(a, *value, value) || err_set(err, ERR_BAD_DATA, "the value of label `%.*s` in the path is not "
                                                        "base64", STR_ARG(str_first(*name, 100)));
}

/* NAME/VALUE/NAME/VALUE..., percent-encoded, so that an encoded slash is part of a value. */
static bool read_path_labels(struct ingest *in, struct str path, struct err *err)
{
    struct arena *a = &in->r->arena;
    struct label *labels = ARENA_ARRAY(a, struct label, in->n_extra + str_count(path, '/') + 1);
    struct str name, value;
    memcpy(labels, in->extra, in->n_extra * sizeof *labels);
    in->extra = labels;
    while (str_cut(&path, '/', &name)) {
        if (!url_decode(a, name, false, &name) || name.n == 0)
            return err_set(err, ERR_BAD_DATA, "the path has an empty label name");
        if (!str_cut(&path, '/', &value)) {
            if (str_is(name, "job"))
                return true; /* as vmagent accepts it */
            return err_set(err, ERR_BAD_DATA, "the path has no value for label `%.*s`", STR_ARG(str_first(name, 100)));
        }
        if (!url_decode(a, value, false, &value) || !decode_value(a, &name, &value, err))
            return false;
        labels[in->n_extra++] = (struct label){name, value};
        ingest_same(in, name);
        ingest_same(in, value);
    }
    return true;
}

static struct str pushgateway_path(struct str path)
{
    struct str mark = STR("/import/prometheus/metrics/");
    size_t at = str_find_str(path, mark);
    return at == path.n ? STR_NONE : str_skip(path, at + mark.n);
}

/* ---- lines ---- */

static void prometheus_end(struct ingest *in)
{
    struct prometheus_state *s = in->state;
    if (s == NULL)
        return;
    buf_free(&s->family.name);
    buf_free(&s->family.help);
    mem_free(s);
}

static bool prometheus_begin(struct ingest *in, struct err *err)
{
    struct prometheus_state *s = in->state = mem_zalloc(sizeof *s);
    struct str time = form_get(&in->r->form, "timestamp"), path = pushgateway_path(in->r->path);
    s->time = in->now;
    if (time.n > 0 && !num_parse_i64(time, &s->time))
        return err_set(err, ERR_BAD_DATA, "timestamp=%.*s: expected a time in milliseconds", STR_ARG(str_first(time, 100)));
    in->success = path.n > 0 ? 200 : in->success; /* a Pushgateway's answer */
    return path.n == 0 || read_path_labels(in, path, err);
}

/* Sent again with each of its lines, since nobody knows which is the last. */
static void prometheus_metadata(struct ingest *in, enum exposition_kind kind)
{
    struct prometheus_state *s = in->state;
    struct pushed_family *f = &s->family;
    struct exposition *e = &s->exposition;
    if (e->name.n > PUSHED_HELP_MAX || e->text.n > PUSHED_HELP_MAX)
        return;
    if (!str_eq(buf_str(&f->name), e->name)) {
        buf_clear(&f->name);
        buf_clear(&f->help);
        buf_add_str(&f->name, e->name);
        f->type = METRIC_UNKNOWN;
    }
    if (kind == EXPOSITION_TYPE) {
        f->type = metric_type_parse(e->text);
    } else {
        buf_clear(&f->help);
        buf_add_str(&f->help, exposition_unescape_help(in->scratch, e->text, EXPOSITION_TEXT));
    }
    if (f->type != METRIC_UNKNOWN)
        ingest_metadata(in, &(struct metadata){.family = buf_str(&f->name), .help = buf_str(&f->help), .type = f->type});
}

/* The line of a series that is expected, if it is of the usual form: the series, a blank, a number, and perhaps a blank and
 * a time in ms. */
static bool prometheus_expected(struct ingest *in, struct str line)
{
    const struct prometheus_state *s = in->state;
    struct str known = ingest_expected(in, 0);
    struct sample sample = {.t = s->time};
    if (!str_starts(line, known) || known.n == 0)
        return false;
    const char *end = line.p + line.n, *p = num_scan(line.p + known.n, end, &sample.v);
    if (p && p < end && (*p != ' ' || !ingest_time_ms(str_n(p + 1, (size_t)(end - p - 1)), &sample.t)))
        return false;
    return p && ingest_expected_have_come(in, &sample, 1);
}

static bool prometheus_line(struct ingest *in, struct str line, struct err *err)
{
    struct prometheus_state *s = in->state;
    struct exposition *e = &s->exposition;
    if (prometheus_expected(in, line))
        return true;
    exposition_start(e, line);
    e->lax = true;
    enum exposition_kind kind = exposition_next(e);
    if (kind == EXPOSITION_ERROR) {
        struct str text = str_of(e->err.text), first = STR("line 1: "); /* of this page of one line */
        return err_set(err, e->err.kind, "%s", str_starts(text, first) ? text.p + first.n : text.p);
    }
    if (kind == EXPOSITION_HELP || kind == EXPOSITION_TYPE)
        prometheus_metadata(in, kind);
    if (kind != EXPOSITION_SERIES)
        return true;
    struct sample sample = {.t = e->has_t ? e->t : s->time, .v = e->value};
    uint64_t hash = hash_keyed(e->series.p, e->series.n);
    if (ingest_series_known(in, hash, &sample, 1))
        return true;
    if (!exposition_labels(e->series, true, in->labels, err) || !ingest_series_end(in, &sample, 1, err))
        return false;
    bool usual = e->series.p == line.p && line.p[e->series.n] == ' ' && line.p[e->series.n - 1] == '}';
    ingest_series_remember(in, hash, usual ? str_first(line, e->series.n + 1) : STR_NONE);
    return true;
}

const struct ingest_format ingest_prometheus = {
    .id = INGEST_PROMETHEUS, .success = 204, .begin = prometheus_begin, .line = prometheus_line, .end = prometheus_end,
};
