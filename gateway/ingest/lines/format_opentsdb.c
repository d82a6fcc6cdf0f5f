// SPDX-License-Identifier: Apache-2.0
/* OpenTSDB's telnet protocol, of which vmagent knows the command put:
 *
 *   put sys.cpu.user 1700000000 42.5 host=a cpu=0     becomes   sys.cpu.user{host="a",cpu="0"} 42.5
 *
 * Times are seconds, or milliseconds from 2^32 on; 0 is the time of arrival. A tag without a name or value is left out. An
 * invalid line is skipped.
 * Source: http://opentsdb.net/docs/build/html/api_telnet/put.html
 */
#include "gateway/ingest/lines/opentsdb_time.h"

#include "base/hash.h"
#include "gateway/ingest/lines/line_number.h"
#include "gateway/services/services.h"

static struct str telnet_skip_blanks(struct str s)
{
    while (s.n > 0 && s.p[0] == ' ')
        s = str_skip(s, 1);
    return s;
}

/* Takes the next word from the front of *line. */
static struct str telnet_word(struct str *line)
{
    struct str word = str_first(*line, str_find(*line, ' '));
    *line = telnet_skip_blanks(str_skip(*line, word.n));
    return word;
}

static bool telnet_labels(struct ingest *in, struct str metric, struct str tags, struct err *err)
{
    ingest_series_begin(in);
    if (!ingest_label(in, STR(METRIC_NAME), metric, err))
        return false;
    while (tags.n > 0) {
        struct str tag = telnet_word(&tags);
        size_t n = str_find(tag, '=');
        if (n == tag.n)
            return err_set(err, ERR_BAD_DATA, "tag `%.*s` has no value", STR_ARG(str_first(tag, 100)));
        if (n > 0 && n + 1 < tag.n && !ingest_label(in, str_first(tag, n), str_skip(tag, n + 1), err))
            return false;
    }
    return true;
}

static bool telnet_line(struct ingest *in, struct str line, struct err *err)
{
    struct sample sample;
    double time;
    line = telnet_skip_blanks(line);
    if (!str_starts(line, STR("put ")))
        return err_set(err, ERR_BAD_DATA, "expected the command put in `%.*s`", STR_ARG(str_first(line, 100)));
    line = telnet_skip_blanks(str_skip(line, 4));
    struct str metric = telnet_word(&line), at = telnet_word(&line), value = telnet_word(&line);
    if (metric.n == 0)
        return err_set(err, ERR_BAD_DATA, "metric name is empty");
    if (!line_number(at, &time))
        return err_set(err, ERR_BAD_DATA, "`%.*s` is not a time", STR_ARG(str_first(at, 100)));
    if (!line_number(value, &sample.v))
        return err_set(err, ERR_BAD_DATA, "`%.*s` is not a value", STR_ARG(str_first(value, 100)));
    if (!opentsdb_time(in, time, in->services->flags.ingest.opentsdb_trim, &sample.t, err))
        return false;
    const uint64_t parts[] = {hash_keyed(metric.p, metric.n), hash_keyed(line.p, line.n)};
    uint64_t hash = hash_keyed(parts, sizeof parts);
    if (ingest_series_known(in, hash, &sample, 1))
        return true;
    if (!telnet_labels(in, metric, line, err) || !ingest_series_end(in, &sample, 1, err))
        return false;
    ingest_series_remember(in, hash, STR_NONE);
    return true;
}

static bool telnet_begin(struct ingest *in, struct err *err UNUSED)
{
    in->max_line = LINE_MAX_BYTES;
    return true;
}

const struct ingest_format ingest_opentsdb = {.id = INGEST_OPENTSDB, .begin = telnet_begin, .line = telnet_line};
