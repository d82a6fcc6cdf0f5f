// SPDX-License-Identifier: Apache-2.0
/* Source: https://github.com/open-telemetry/opentelemetry-specification/blob/main/specification/compatibility/prometheus_and_openmetrics.md
 */
#include "gateway/ingest/otlp/otlp_names.h"

#include "model/labels.h"

static const struct { const char *unit, *word; } otlp_units[] = {
    {"d", "days"}, {"h", "hours"}, {"min", "minutes"}, {"s", "seconds"}, {"ms", "milliseconds"}, {"us", "microseconds"},
    {"ns", "nanoseconds"}, {"By", "bytes"}, {"KiBy", "kibibytes"}, {"MiBy", "mebibytes"}, {"GiBy", "gibibytes"},
    {"TiBy", "tibibytes"}, {"KBy", "kilobytes"}, {"MBy", "megabytes"}, {"GBy", "gigabytes"}, {"TBy", "terabytes"},
    {"m", "meters"}, {"V", "volts"}, {"A", "amperes"}, {"J", "joules"}, {"W", "watts"}, {"g", "grams"}, {"Cel", "celsius"},
    {"Hz", "hertz"}, {"1", ""}, {"%", "percent"}};
static const struct { const char *unit, *word; } otlp_units_per[] = {
    {"s", "second"}, {"m", "minute"}, {"h", "hour"}, {"d", "day"}, {"w", "week"}, {"mo", "month"}, {"y", "year"}};

static struct str otlp_unit_word(struct str unit)
{
    for (size_t i = 0; i < LEN(otlp_units); i++)
        if (str_is(unit, otlp_units[i].unit))
            return str_of(otlp_units[i].word);
    return unit;
}

static struct str otlp_unit_per_word(struct str unit)
{
    for (size_t i = 0; i < LEN(otlp_units_per); i++)
        if (str_is(unit, otlp_units_per[i].unit))
            return str_of(otlp_units_per[i].word);
    return unit;
}

/* ---- vmagent's ---- */

static bool ends_token(char c) { return c == '/' || c == '_' || c == '.' || c == '-' || c == ':' || c == ' '; }

/* The next token, which is not empty; false: there is none. */
static bool next_token(struct str *rest, struct str *token)
{
    while (rest->n > 0 && ends_token(rest->p[0]))
        *rest = str_skip(*rest, 1);
    size_t n = 0;
    while (n < rest->n && !ends_token(rest->p[n]))
        n++;
    *token = str_first(*rest, n);
    *rest = str_skip(*rest, n);
    return n > 0;
}

static bool has_token(struct str name, struct str wanted)
{
    struct str token;
    while (next_token(&name, &token))
        if (str_eq(token, wanted))
            return true;
    return false;
}

static void add_token(struct buf *out, struct str token)
{
    if (out->n > 0)
        buf_add_char(out, '_');
    buf_add_str(out, token);
}

/* Of a unit `main/per` the words to append to the name; empty: none. */
static void otlp_unit_words(struct str name, struct str unit, struct str *main, struct str *per)
{
    struct str rest = unit;
    *main = *per = STR_NONE;
    str_cut(&rest, '/', main);
    *main = str_trim(*main);
    *main = str_find(*main, '{') < main->n ? STR_NONE : otlp_unit_word(*main);
    if (main->n > 0 && has_token(name, *main))
        *main = STR_NONE;
    if (str_find(unit, '/') < unit.n) {
        *per = str_trim(rest);
        *per = str_find(*per, '{') < per->n ? STR_NONE : otlp_unit_per_word(*per);
        if (per->n > 0 && (has_token(name, *per) || str_eq(*per, *main)))
            *per = STR_NONE;
    }
}

void otlp_name_vmagent(struct buf *out, struct str name, struct str unit, enum otlp_name_kind kind)
{
    struct str token, main, per, rest = name;
    struct str last = kind == OTLP_NAME_COUNTER ? STR("total")
                      : kind == OTLP_NAME_GAUGE && str_is(unit, "1") ? STR("ratio") : STR_NONE;
    bool moved = last.n == 0; /* one token that equals it moves to the end */
    buf_clear(out);
    otlp_unit_words(name, unit, &main, &per);
    while (next_token(&rest, &token)) {
        bool moves = !moved && str_eq(token, last);
        moved = moved || moves;
        if (!moves)
            add_token(out, token);
    }
    const struct str words[] = {main, per.n > 0 ? STR("per") : STR_NONE, per};
    for (size_t i = 0; i < LEN(words); i++) {
        bool moves = words[i].n > 0 && !moved && str_eq(words[i], last);
        moved = moved || moves;
        if (words[i].n > 0 && !moves)
            add_token(out, words[i]);
    }
    if (last.n > 0)
        add_token(out, last);
}

/* ---- Prometheus' ---- */

static bool plain_name_byte(char c) { return (c >= '0' && c <= ':') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); }

/* Words of such bytes, with underscores between them, but for those that `drop` equals. */
static void add_plain_words(struct buf *out, struct str text, struct str drop, struct str wanted, bool *found)
{
    for (size_t i = 0, n; i < text.n; i += n) {
        for (n = 0; i + n < text.n && plain_name_byte(text.p[i + n]); n++) {}
        struct str word = str_n(text.p + i, n);
        *found = *found || (n > 0 && str_eq(word, wanted));
        if (n > 0 && !(drop.n > 0 && str_eq(word, drop)))
            add_token(out, word);
        n += n == 0;
    }
}

static struct str plain_unit(struct str unit, struct str (*word)(struct str unit))
{
    unit = str_trim(unit);
    return str_find(unit, '{') < unit.n || str_find(unit, '}') < unit.n ? STR_NONE : word(unit);
}

static void plain_name_begins(struct buf *out)
{
    if (out->n > 0 && out->p[0] >= '0' && out->p[0] <= '9' && buf_reserve(out, 1)) {
        memmove(out->p + 1, out->p, out->n++);
        out->p[0] = '_';
    }
}

static struct str suffix_of_kind(struct str unit, enum otlp_name_kind kind)
{
    return kind == OTLP_NAME_COUNTER ? STR("total") : kind == OTLP_NAME_GAUGE && str_is(unit, "1") ? STR("ratio") : STR_NONE;
}

static void plain_unit_words(struct str unit, struct str *main, struct str *per)
{
    struct str rest = unit;
    *main = STR_NONE;
    str_cut(&rest, '/', main);
    *main = plain_unit(*main, otlp_unit_word);
    *per = str_find(unit, '/') < unit.n ? plain_unit(rest, otlp_unit_per_word) : STR_NONE;
}

void otlp_name_prometheus(struct buf *out, struct str name, struct str unit, enum otlp_name_kind kind)
{
    struct str main, per, last = suffix_of_kind(unit, kind);
    bool found = false, ignored = false;
    plain_unit_words(unit, &main, &per);
    buf_clear(out);
    add_plain_words(out, name, last, main, &found);
    if (!found)
        add_plain_words(out, main, last, STR_NONE, &ignored);
    if (per.n > 0) {
        add_token(out, STR("per"));
        add_plain_words(out, per, last, STR_NONE, &ignored);
    }
    if (last.n > 0)
        add_token(out, last);
    plain_name_begins(out);
}

/* Underscores stay; a run of other bytes becomes one, but for those at both ends. */
void otlp_name_escaped(struct buf *out, struct str name)
{
    buf_clear(out);
    for (size_t i = 0, n; i < name.n; i += n) {
        for (n = 0; i + n < name.n && (plain_name_byte(name.p[i + n]) || name.p[i + n] == '_'); n++) {}
        if (n > 0)
            add_token(out, str_n(name.p + i, n));
        n += n == 0;
    }
    plain_name_begins(out);
}

static void add_suffix(struct buf *out, struct str suffix)
{
    if (suffix.n == 0)
        return;
    buf_add_char(out, '_');
    buf_add_str(out, suffix);
}

/* Without a suffix and the character before it: it moves to the end. */
static struct str without_suffix(struct str name, struct str suffix)
{
    bool has = suffix.n > 0 && name.n > suffix.n + 1 && str_ends(name, suffix);
    return has ? str_first(name, name.n - suffix.n - 1) : name;
}

void otlp_name_utf8(struct buf *out, struct str name, struct str unit, enum otlp_name_kind kind)
{
    struct str main, per, last = suffix_of_kind(unit, kind);
    struct buf per_unit = {0};
    plain_unit_words(unit, &main, &per);
    if (per.n > 0) {
        buf_add_z(&per_unit, "per_");
        buf_add_str(&per_unit, per);
    }
    name = without_suffix(without_suffix(name, last), buf_str(&per_unit));
    buf_clear(out);
    buf_add_str(out, name);
    if (!str_ends(name, main))
        add_suffix(out, main);
    add_suffix(out, buf_str(&per_unit));
    add_suffix(out, last);
    buf_free(&per_unit);
}

/* ---- labels ---- */

static bool label_byte(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

struct str otlp_label_name(struct arena *a, struct str name, bool underscore)
{
    bool digit = name.n > 0 && name.p[0] >= '0' && name.p[0] <= '9';
    if (!digit && label_name_legacy(name) && !(underscore && name.p[0] == '_'))
        return name;
    char *to = arena_bytes(a, name.n + 4);
    size_t n = 4;
    for (size_t i = 0; i < name.n; i++)
        if (label_byte(name.p[i]))
            to[n++] = name.p[i];
        else if ((name.p[i] & 0xc0) != 0x80) /* one for each character of UTF-8 */
            to[n++] = '_';
    memcpy(to, "key_", 4);
    if (digit)
        return str_n(to, n);
    bool key = underscore && n > 4 && to[4] == '_' && !(n > 5 && to[5] == '_');
    if (key) /* key, then the underscore that is there */
        memmove(to + 1, "key", 3);
    return key ? str_n(to + 1, n - 1) : str_n(to + 4, n - 4);
}
