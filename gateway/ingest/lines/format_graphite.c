// SPDX-License-Identifier: Apache-2.0
/* Graphite's plaintext protocol, with tags, as vmagent reads it:
 *
 *   servers.a.load;dc=eu;rack=7 0.25 1700000000     becomes   servers.a.load{dc="eu",rack="7"} 0.25
 *
 * Fields are separated by blanks or tabs. Times are seconds; without one, and for 0 and -1, it is the time of arrival. A
 * tag without a name or value is left out. An invalid line is skipped.
 * Source: https://graphite.readthedocs.io/en/latest/feeding-carbon.html#the-plaintext-protocol
 */
#include "base/hash.h"
#include "base/text/num.h"
#include "gateway/ingest/lines/line_number.h"
#include "gateway/services/services.h"

static size_t graphite_field_end(struct str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
        n++;
    return n;
}

static struct str graphite_skip_blanks(struct str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_skip(s, 1);
    return s;
}

static bool graphite_time(const struct ingest *in, struct str s, int64_t *t, struct err *err)
{
    double seconds = 0;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    if (s.n > 0 && !line_number(s, &seconds))
        return err_set(err, ERR_BAD_DATA, "`%.*s` is not a time", STR_ARG(str_first(s, 100)));
    return line_time(in, seconds == -1 ? 0 : seconds, 1000, in->services->flags.ingest.graphite_trim, t, err);
}

static bool graphite_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '_' || c == '.';
}

/* -graphite.sanitizeMetricName: one dot of several, and other characters than letters, digits, `:`, `_` and `.` become
 * `_`, one for each byte sequence of UTF-8. */
static struct str graphite_clean(const struct ingest *in, struct str name)
{
    if (!in->services->flags.ingest.graphite_sanitize)
        return name;
    char *to = arena_bytes(in->scratch, name.n);
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        bool follows = ((unsigned char)name.p[i] & 0xc0) == 0x80;
        if (follows || (name.p[i] == '.' && n > 0 && to[n - 1] == '.'))
            continue;
        to[n++] = graphite_name_char(name.p[i]) ? name.p[i] : '_';
    }
    return str_n(to, n);
}

static bool graphite_labels(struct ingest *in, struct str head, struct err *err)
{
    struct str metric, tag, name;
    str_cut(&head, ';', &metric);
    if (metric.n == 0)
        return err_set(err, ERR_BAD_DATA, "metric name is empty");
    ingest_series_begin(in);
    if (!ingest_label(in, STR(METRIC_NAME), graphite_clean(in, metric), err))
        return false;
    while (str_cut(&head, ';', &tag)) {
        size_t n = str_find(tag, '=');
        name = str_first(tag, n);
        if (n == 0 || n + 1 >= tag.n)
            continue;
        if (!ingest_label(in, graphite_clean(in, name), str_skip(tag, n + 1), err))
            return false;
    }
    return true;
}

/* The line of a series that is expected, if it is of the usual form, with seconds. */
static bool graphite_expected(struct ingest *in, struct str line)
{
    struct str known = ingest_expected(in, 0);
    struct sample sample;
    int64_t t = 0;
    if (!str_starts(line, known) || known.n == 0)
        return false;
    const char *end = line.p + line.n, *p = num_scan(line.p + known.n, end, &sample.v);
    if (p == NULL || end - p != 11 || *p != ' ')
        return false;
    for (p++; p < end && *p >= '0' && *p <= '9'; p++)
        t = t * 10 + (*p - '0');
    if (p < end || t == 0)
        return false;
    sample.t = t * 1000 - t * 1000 % in->services->flags.ingest.graphite_trim;
    return ingest_expected_have_come(in, &sample, 1);
}

static bool graphite_line(struct ingest *in, struct str line, struct err *err)
{
    if (graphite_expected(in, line))
        return true;
    struct sample sample;
    line = graphite_skip_blanks(line);
    size_t n = graphite_field_end(line);
    struct str head = str_first(line, n), rest = graphite_skip_blanks(str_skip(line, n));
    struct str value = str_first(rest, graphite_field_end(rest));
    if (!line_number(value, &sample.v))
        return err_set(err, ERR_BAD_DATA, "`%.*s` is not a value", STR_ARG(str_first(value, 100)));
    if (!graphite_time(in, graphite_skip_blanks(str_skip(rest, value.n)), &sample.t, err))
        return false;
    uint64_t hash = hash_keyed(head.p, head.n);
    if (ingest_series_known(in, hash, &sample, 1))
        return true;
    if (!graphite_labels(in, head, err) || !ingest_series_end(in, &sample, 1, err))
        return false;
    ingest_series_remember(in, hash, str_first(line, n + 1));
    return true;
}

static bool graphite_begin(struct ingest *in, struct err *err UNUSED)
{
    in->max_line = LINE_MAX_BYTES;
    return true;
}

const struct ingest_format ingest_graphite = {.id = INGEST_GRAPHITE, .begin = graphite_begin, .line = graphite_line};
