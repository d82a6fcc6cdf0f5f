// SPDX-License-Identifier: Apache-2.0
#include "gateway/federation/federation.h"

#include "base/text/num.h"
#include "base/text/utf8.h"

enum { ACCEPT_ENTRIES = 32 };

struct accept_entry { struct str type, version, proto, encoding, escaping; double q; };

static struct str accept_unquote(struct str s)
{
    s = str_trim(s);
    return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? str_n(s.p + 1, s.n - 2) : s;
}

static struct accept_entry accept_entry_parse(struct str text)
{
    struct accept_entry e = {.q = 1};
    struct str part, name;
    bool first = true;
    while (str_cut(&text, ';', &part)) {
        struct str value = part;
        if (first) {
            e.type = str_trim(part);
            first = false;
            continue;
        }
        if (!str_cut(&value, '=', &name) || value.p == NULL)
            continue;
        name = str_trim(name);
        value = accept_unquote(value);
        if (str_is(name, "q") && !num_parse(value, &e.q))
            e.q = 1;
        else if (str_is(name, "version"))
            e.version = value;
        else if (str_is(name, "proto"))
            e.proto = value;
        else if (str_is(name, "encoding"))
            e.encoding = value;
        else if (str_is(name, "escaping"))
            e.escaping = value;
    }
    return e;
}

/* Sorted by q; equal ones keep their order. */
static size_t accept_parse(struct str accept, struct accept_entry entries[ACCEPT_ENTRIES])
{
    struct str text;
    size_t n = 0;
    while (n < ACCEPT_ENTRIES && str_cut(&accept, ',', &text)) {
        struct accept_entry e = accept_entry_parse(text);
        size_t at = n++;
        for (; at > 0 && entries[at - 1].q < e.q; at--)
            entries[at] = entries[at - 1];
        entries[at] = e;
    }
    return n;
}

static const char *const accept_escapings[] = {
    [ESCAPE_UNDERSCORES] = "underscores", [ESCAPE_NOTHING] = "allow-utf-8", [ESCAPE_DOTS] = "dots",
    [ESCAPE_VALUES] = "values"};

struct federation_accept federation_negotiate(struct str accept)
{
    struct accept_entry entries[ACCEPT_ENTRIES];
    struct federation_accept out = {FEDERATION_TEXT, ESCAPE_UNDERSCORES};
    size_t n = accept_parse(accept, entries);
    for (size_t i = 0; i < n; i++) {
        const struct accept_entry *e = &entries[i];
        for (size_t k = 0; k < LEN(accept_escapings); k++)
            if (str_is(e->escaping, accept_escapings[k]))
                out.escaping = (enum federation_escaping)k;
        if (str_ieq(e->type, STR("application/vnd.google.protobuf")) &&
            str_is(e->proto, "io.prometheus.client.MetricFamily") && str_is(e->encoding, "delimited")) {
            out.format = FEDERATION_PROTOBUF;
            return out;
        }
        if (str_ieq(e->type, STR("text/plain")) && (e->version.n == 0 || str_is(e->version, "0.0.4")))
            return out;
    }
    return out;
}

const char *federation_content_type(struct federation_accept a)
{
#define FEDERATION_TYPES(type)                                                                                        \
    {[ESCAPE_UNDERSCORES] = type "; escaping=underscores", [ESCAPE_NOTHING] = type "; escaping=allow-utf-8",          \
     [ESCAPE_DOTS] = type "; escaping=dots", [ESCAPE_VALUES] = type "; escaping=values"}
    static const char *const types[2][4] = {
        [FEDERATION_TEXT] = FEDERATION_TYPES("text/plain; version=0.0.4; charset=utf-8"),
        [FEDERATION_PROTOBUF] = FEDERATION_TYPES("application/vnd.google.protobuf; "
                                                 "proto=io.prometheus.client.MetricFamily; encoding=delimited"),
    };
#undef FEDERATION_TYPES
    return types[a.format][a.escaping];
}

/* ---- names ---- */

static bool escape_keeps(uint32_t rune, bool first)
{
    bool digit = rune >= '0' && rune <= '9', letter = (rune | 0x20) >= 'a' && (rune | 0x20) <= 'z';
    return letter || rune == '_' || rune == ':' || (digit && !first);
}

static void escape_rune(struct buf *out, uint32_t rune, bool keep, enum federation_escaping escaping)
{
    if (rune == '_' && escaping != ESCAPE_UNDERSCORES)
        buf_add_z(out, "__");
    else if (rune == '.' && escaping == ESCAPE_DOTS)
        buf_add_z(out, "_dot_");
    else if (keep)
        buf_add_char(out, (char)rune);
    else if (escaping == ESCAPE_VALUES)
        buf_printf(out, "_%x_", (unsigned)rune);
    else
        buf_add_z(out, escaping == ESCAPE_DOTS ? "__" : "_");
}

/* Label names are treated as names of metrics: they may have colons. */
void federation_escape(struct buf *out, struct str name, enum federation_escaping escaping)
{
    if (escaping == ESCAPE_NOTHING || metric_name_legacy(name)) {
        buf_add_str(out, name);
        return;
    }
    if (escaping == ESCAPE_VALUES)
        buf_add_z(out, "U__");
    for (size_t at = 0, len; at < name.n; at += len) {
        uint32_t rune = utf8_next(str_skip(name, at), &len);
        escape_rune(out, rune, escape_keeps(rune, at == 0), escaping);
    }
}
