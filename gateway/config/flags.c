// SPDX-License-Identifier: Apache-2.0
/* Flags are read twice: first the words are sorted to their rows as text, which also tells the dialect; then each row's
 * text, or the row's default, or the dialect's, is parsed as a key of the configuration would be.
 */
#include "gateway/config/flags.h"

#include "base/telemetry/log.h"
#include "base/regex/regex.h"
#include "gateway/config/dialect.h"
#include "gateway/config/environment.h"
#include "gateway/config/flags_table.h"

#include <stdlib.h>

struct flag_values { struct str *items; size_t n, cap; }; /* the texts given for one row */

struct flags_parser {
    struct flags *out;
    struct flag_values *given; /* one a row */
    const char *config_flag;  /* the name under which the file was given */
    struct inert_use *uses;   /* given flags that do nothing here */
    size_t n_uses, cap_uses;
    struct err *err;
};

/* ---- names ---- */

static bool has_name(const struct flag_row *f, struct str name)
{
    if (str_is(name, f->row.name))
        return true;
    for (size_t i = 0; i < LEN(f->also); i++)
        if (f->also[i] && str_is(name, f->also[i]))
            return true;
    return false;
}

static const struct flag_row *flags_find_row(struct str name)
{
    for (size_t i = 0; i < n_flag_rows; i++)
        if (has_name(&flag_rows[i], name))
            return &flag_rows[i];
    return NULL;
}

static void consider(struct str name, const char *known, const char **best, unsigned *least)
{
    unsigned d = known ? str_distance(name, str_of(known)) : UINT32_MAX;
    if (d < *least) {
        *least = d;
        *best = known;
    }
}

static bool unknown(struct str name, struct err *err)
{
    const char *best = NULL;
    unsigned least = (unsigned)name.n / 3 + 2;
    for (size_t i = 0; i < n_flag_rows; i++) {
        consider(name, flag_rows[i].row.name, &best, &least);
        for (size_t k = 0; k < LEN(flag_rows[i].also); k++)
            consider(name, flag_rows[i].also[k], &best, &least);
    }
    for (size_t i = 0; i < n_inert_flags; i++)
        consider(name, inert_flags[i].name, &best, &least);
    if (best)
        return err_set(err, ERR_BAD_DATA, "unknown flag --%.*s; did you mean --%s?", STR_ARG(name), best);
    return err_set(err, ERR_BAD_DATA, "unknown flag --%.*s; --help lists all", STR_ARG(name));
}

/* ---- words ---- */

static void flags_add_value(struct flags_parser *p, const struct flag_row *f, struct str value)
{
    struct flag_values *g = &p->given[f - flag_rows];
    arena_grow(&p->out->arena, &g->items, &g->cap, g->n + 1, sizeof *g->items);
    g->items[g->n++] = value;
}

static struct str unquote(struct str s)
{
    bool quoted = s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0];
    return quoted ? str_n(s.p + 1, s.n - 2) : s;
}

/* Where the text that begins with a quote or bracket at s.p[0] ends; 0 when it has no end: then it is a plain
 * character. */
static size_t enclosed(struct str s)
{
    static const char opening[] = "\"'{[(", closing[] = "\"'}])";
    const char *kind = s.p[0] ? strchr(opening, s.p[0]) : NULL;
    if (kind == NULL)
        return 0;
    char open = *kind, close = closing[kind - opening];
    size_t depth = 1;
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == close)
            depth--;
        else if (s.p[i] == open)
            depth++;
        if (depth == 0)
            return i;
    }
    return 0;
}

/* Items of a list stand between commas that are in no quotes or brackets. */
static void add_items(struct flags_parser *p, const struct flag_row *f, struct str value)
{
    size_t start = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == ',') {
            flags_add_value(p, f, unquote(str_n(value.p + start, i - start)));
            start = i + 1;
        } else {
            i += enclosed(str_skip(value, i));
        }
    }
    flags_add_value(p, f, unquote(str_skip(value, start)));
}

static bool note_config_flag(struct flags_parser *p, struct str name)
{
    static const char *const names[] = {"config.file", "promscrape.config", "config"};
    for (size_t i = 0; i < LEN(names); i++)
        if (str_is(name, names[i])) {
            if (p->config_flag && p->config_flag != names[i])
                return err_set(p->err, ERR_BAD_DATA, "--%s and --%s both name a configuration; keep one",
                               p->config_flag, names[i]);
            p->config_flag = names[i];
        }
    return true;
}

static void use_inert(struct flags_parser *p, const struct inert_flag *flag, struct str value)
{
    arena_grow(&p->out->arena, &p->uses, &p->cap_uses, p->n_uses + 1, sizeof *p->uses);
    p->uses[p->n_uses++] = (struct inert_use){flag, value};
}

static bool flags_set_value(struct flags_parser *p, struct str name, const struct flag_row *f, struct str value)
{
    if (f->row.type == CONF_STRINGS)
        add_items(p, f, value);
    else
        flags_add_value(p, f, value);
    return note_config_flag(p, name);
}

/* %{NAME} in a value is the environment's, as in vmagent. */
static bool fill_value(struct flags_parser *p, struct str name, struct str *value)
{
    struct buf filled = {0};
    struct str missing;
    if (str_find_str(*value, STR("%{")) == value->n)
        return true;
    bool ok = environment_fill(*value, &filled, &missing);
    if (ok)
        *value = arena_str(&p->out->arena, buf_str(&filled));
    else
        err_set(p->err, ERR_BAD_DATA, "--%.*s: the environment has no %.*s", STR_ARG(name), STR_ARG(missing));
    buf_free(&filled);
    return ok;
}

/* A flag by its name, or by "no-" and the name of a switch. */
struct known { const struct flag_row *row; const struct inert_flag *inert; bool negated; };

static struct known known_flag(struct str name)
{
    struct known k = {flags_find_row(name), inert_find(name), false};
    if (k.row || k.inert || !str_starts(name, STR("no-")))
        return k;
    struct str positive = str_skip(name, 3);
    struct known n = {flags_find_row(positive), inert_find(positive), true};
    return (n.row && n.row->row.type == CONF_BOOL) || (n.inert && n.inert->is_switch) ? n : k;
}

static bool is_switch(const struct known *k)
{
    return k->row ? k->row->row.type == CONF_BOOL || k->row->switches : k->inert->is_switch;
}

/* One word and, when it needs one, the value behind it. */
static bool flags_read_argument(struct flags_parser *p, int argc, char **argv, int *i)
{
    struct str value = str_of(argv[*i]), name;
    if (value.n < 2 || value.p[0] != '-')
        return err_set(p->err, ERR_BAD_DATA, "\"%s\" is not a flag; --help lists all", argv[*i]);
    value = str_skip(value, value.p[1] == '-' ? 2 : 1);
    str_cut(&value, '=', &name);
    struct known k = known_flag(name);
    if (k.row == NULL && k.inert == NULL)
        return unknown(name, p->err);
    if (value.p == NULL && is_switch(&k))
        value = k.negated ? STR("false") : STR("true");
    if (value.p == NULL) {
        if (*i + 1 >= argc)
            return err_set(p->err, ERR_BAD_DATA, "--%.*s needs a value", STR_ARG(name));
        value = str_of(argv[++*i]);
    }
    if (!fill_value(p, name, &value))
        return false;
    if (k.row)
        return flags_set_value(p, name, k.row, value);
    use_inert(p, k.inert, value);
    return true;
}

/* ---- flags from the environment ---- */

static struct str flag_value_text(const struct flags_parser *p, const char *flag)
{
    const struct flag_values *g = &p->given[flags_find_row(str_of(flag)) - flag_rows];
    return g->n > 0 ? g->items[g->n - 1] : STR("");
}

/* "remoteWrite.url" is remoteWrite_url behind the prefix. {NULL,0}: not set. */
static struct str variable(struct flags_parser *p, const char *flag)
{
    struct str prefix = flag_value_text(p, "envflag.prefix");
    char *name = arena_z(&p->out->arena, arena_printf(&p->out->arena, "%.*s%s", STR_ARG(prefix), flag));
    for (char *c = name; *c; c++)
        *c = *c == '.' ? '_' : *c;
    const char *value = getenv(name);
    return value ? str_of(value) : STR_NONE;
}

static bool take_variable(struct flags_parser *p, const struct flag_row *f, const char *name)
{
    struct str value = variable(p, name);
    return value.p == NULL || (fill_value(p, str_of(name), &value) && flags_set_value(p, str_of(name), f, value));
}

/* As with vmagent's -envflag.enable: the command line wins. */
static bool take_environment(struct flags_parser *p)
{
    static const struct conf_row truth = {.type = CONF_BOOL};
    struct str text = flag_value_text(p, "envflag.enable");
    struct conf_context c = {.arena = &p->out->arena};
    bool enabled = false;
    if (text.n > 0 && !conf_scalar(&c, &truth, text, &enabled, p->err))
        return err_wrap(p->err, "--envflag.enable");
    for (size_t i = 0; enabled && i < n_flag_rows; i++) {
        const struct flag_row *f = &flag_rows[i];
        if (p->given[i].n == 0 && !take_variable(p, f, f->row.name))
            return false;
        for (size_t k = 0; k < LEN(f->also) && f->also[k] && p->given[i].n == 0; k++)
            if (!take_variable(p, f, f->also[k]))
                return false;
    }
    for (size_t i = 0; enabled && i < n_inert_flags; i++) {
        struct str value = variable(p, inert_flags[i].name);
        if (value.p)
            use_inert(p, &inert_flags[i], value);
    }
    return true;
}

/* ---- values ---- */

static const char *dialect_default(const struct dialect_defaults *d, const char *flag)
{
    for (const struct flag_default *f = d->flags; f->flag; f++)
        if (strcmp(f->flag, flag) == 0)
            return f->text;
    return NULL;
}

static bool choose_dialect(struct flags_parser *p)
{
    for (size_t i = 0; p->config_flag && i < LEN(dialects); i++)
        if (strcmp(p->config_flag, dialects[i].config_flag) == 0) {
            p->out->dialect = (enum dialect)i;
            break;
        }
    const struct flag_row *f = flags_find_row(STR("dialect"));
    const struct flag_values *g = &p->given[f - flag_rows];
    struct conf_context c = {.arena = &p->out->arena};
    int chosen;
    if (g->n == 0)
        return true;
    if (!conf_scalar(&c, &f->row, g->items[g->n - 1], &chosen, p->err))
        return err_wrap(p->err, "--dialect");
    p->out->dialect = (enum dialect)chosen;
    return true;
}

static void set_list(struct flags_parser *p, const struct flag_row *f, const struct flag_values *g)
{
    struct str_list list = {ARENA_ARRAY(&p->out->arena, struct str, g->n + 1), g->n};
    for (size_t i = 0; i < g->n; i++)
        list.items[i] = str_of(arena_z(&p->out->arena, g->items[i]));
    memcpy((char *)p->out + f->row.offset, &list, sizeof list);
}

static bool set_value(struct flags_parser *p, const struct flag_row *f)
{
    struct flag_values *g = &p->given[f - flag_rows];
    const char *preset = f->row.preset ? f->row.preset : dialect_default(&dialects[p->out->dialect], f->row.name);
    struct conf_context c = {.arena = &p->out->arena, .loose_durations = true};
    p->out->all[f - flag_rows].set = g->n > 0;
    if (g->n == 0 && preset)
        flags_add_value(p, f, str_of(preset));
    if (f->row.type == CONF_STRINGS) {
        set_list(p, f, g);
        return true;
    }
    if (g->n == 0 || f->row.type == CONF_ENUM)
        return true;
    return conf_scalar(&c, &f->row, g->items[g->n - 1], (char *)p->out + f->row.offset, p->err)
           || err_wrap(p->err, "--%s", f->row.name);
}

static struct str shown(struct flags_parser *p, const struct flag_row *f)
{
    const struct flag_values *g = &p->given[f - flag_rows];
    struct str text = STR("");
    if (f->row.type == CONF_ENUM)
        return str_of(f->row.names[p->out->dialect]);
    if (g->n > 0 && f->secret)
        return STR("secret");
    for (size_t i = f->row.type == CONF_STRINGS || g->n == 0 ? 0 : g->n - 1; i < g->n; i++)
        text = arena_printf(&p->out->arena, "%.*s%s%.*s", STR_ARG(text), text.n ? "," : "", STR_ARG(g->items[i]));
    return text;
}

static bool is_format(struct str s)
{
    static const char *const names[] = {"logfmt", "json", "default", "text"}; /* the last two: vmagent's and promxy's */
    bool known = false;
    for (size_t i = 0; i < LEN(names); i++)
        known = known || str_is(s, names[i]);
    return known;
}

static bool flags_check_set(const struct flags *f, struct err *err)
{
    enum log_level level;
    if (!log_level_parse(f->log_level, &level))
        return err_set(err, ERR_BAD_DATA, "--log.level: \"%.*s\" is not one of debug, info, warn, error",
                       STR_ARG(f->log_level));
    if (!is_format(f->log_format))
        return err_set(err, ERR_BAD_DATA, "--log.format: \"%.*s\" is neither logfmt nor json", STR_ARG(f->log_format));
    if (!(f->memory_percent >= 1 && f->memory_percent <= 100))
        return err_set(err, ERR_BAD_DATA, "--memory.allowedPercent: %g is not between 1 and 100", f->memory_percent);
    struct regex *re = regex_new(f->cors_origin, err);
    if (re == NULL)
        return err_wrap(err, "--web.cors.origin");
    regex_free(re);
    return true;
}

/* "pre", "/pre" and "/pre/" are one prefix. */
static void flags_normalize_prefix(struct flags *f)
{
    struct str s = f->path_prefix;
    while (s.n > 0 && s.p[0] == '/')
        s = str_skip(s, 1);
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    f->path_prefix = s.n > 0 ? arena_printf(&f->arena, "/%.*s", STR_ARG(s)) : STR("");
}

/* An explicit false closes what the dialect leaves open. */
static void decide_reload(struct flags *f)
{
    const struct flag_row *row = flags_find_row(STR("web.enable-lifecycle"));
    bool given = f->all[row - flag_rows].set;
    f->enable_reload = f->enable_lifecycle || (!given && dialects[f->dialect].reload_open);
}

bool flags_parse(int argc, char **argv, struct flags *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    arena_init(&out->arena, 0);
    struct flags_parser p = {.out = out, .given = ARENA_ARRAY(&out->arena, struct flag_values, n_flag_rows),
                             .err = err};
    out->n_all = n_flag_rows;
    out->all = arena_array(&out->arena, n_flag_rows, sizeof *out->all);
    for (int i = 1; i < argc; i++)
        if (!flags_read_argument(&p, argc, argv, &i))
            return false;
    if (!take_environment(&p) || !choose_dialect(&p))
        return false;
    for (size_t i = 0; i < n_flag_rows; i++) {
        if (!set_value(&p, &flag_rows[i]))
            return false;
        out->all[i].name = str_of(flag_rows[i].row.name);
        out->all[i].secret = flag_rows[i].secret;
        out->all[i].value = shown(&p, &flag_rows[i]);
    }
    flags_normalize_prefix(out);
    decide_reload(out);
    return flags_check_set(out, err) && flags_judge(out, p.uses, p.n_uses, err);
}

void flags_free(struct flags *f)
{
    buf_free(&f->errors.text);
    arena_free(&f->arena);
}

/* ---- documents ---- */

static void add_default(struct buf *out, const struct flag_row *f)
{
    if (f->row.preset) {
        buf_add_z(out, f->row.preset);
        return;
    }
    const char *text = dialect_default(&dialects[DIALECT_SLUICE], f->row.name);
    buf_add_z(out, text ? text : "");
}

static void help_inert(struct buf *out, enum inert_class class, const char *title)
{
    size_t line = 0;
    buf_printf(out, "\n%s\n ", title);
    for (size_t i = 0; i < n_inert_flags; i++) {
        size_t n = strlen(inert_flags[i].name) + 3;
        if (inert_flags[i].class != class)
            continue;
        if (line + n > 116) {
            buf_add_z(out, "\n ");
            line = 0;
        }
        buf_printf(out, " --%s", inert_flags[i].name);
        line += n;
    }
    buf_add_char(out, '\n');
}

void flags_help(struct buf *out)
{
    buf_add_z(out, "sluice " VERSION ": scrapes, forwards and answers PromQL over several servers, in one program.\n\n"
                   "  sluice --config.file=sluice.yml\n"
                   "  sluice -promscrape.config=prometheus.yml -remoteWrite.url=http://localhost:8428/api/v1/write\n"
                   "  sluice --config=promxy.yml --bind-addr=:8082\n"
                   "  sluice promql format|parse|eval ...    (sluice promql --help)\n\n"
                   "Flags take one or two dashes, -x=v or -x v; switches are turned off by -x=false. List flags "
                   "may be repeated or comma-separated.\n\n");
    for (size_t i = 0; i < n_flag_rows; i++) {
        const struct flag_row *f = &flag_rows[i];
        buf_printf(out, "  --%s", f->row.name);
        for (size_t k = 0; k < LEN(f->also) && f->also[k]; k++)
            buf_printf(out, ", --%s", f->also[k]);
        buf_printf(out, "\n        %s", f->row.help);
        struct buf preset = {0};
        add_default(&preset, f);
        if (preset.n > 0)
            buf_printf(out, " (%s)", buf_z(&preset));
        buf_free(&preset);
        buf_add_char(out, '\n');
    }
    help_inert(out, INERT_GUARDS, "Not supported yet, an error unless --accept-inert names them:");
    help_inert(out, INERT_LOSES, "Ignored with a warning, an error with --strict:");
    help_inert(out, INERT_TUNES, "Accepted; they change nothing here:");
}

static void document_inert(struct buf *out)
{
    static const char *const words[] = {
        [INERT_TUNES] = "accepted", [INERT_LOSES] = "warning", [INERT_GUARDS] = "error"};
    buf_add_z(out, "\n| ignored flag | when given | without it |\n|---|---|---|\n");
    for (size_t i = 0; i < n_inert_flags; i++)
        buf_printf(out, "| `%s` | %s | %s |\n", inert_flags[i].name, words[inert_flags[i].class],
                   inert_flags[i].why ? inert_flags[i].why : "");
}

void flags_document(struct buf *out)
{
    buf_add_z(out, "| flag | also | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n_flag_rows; i++) {
        const struct flag_row *f = &flag_rows[i];
        buf_printf(out, "| `%s` | ", f->row.name);
        for (size_t k = 0; k < LEN(f->also) && f->also[k]; k++)
            buf_printf(out, "%s`%s`", k ? ", " : "", f->also[k]);
        buf_add_z(out, " | ");
        struct buf preset = {0};
        add_default(&preset, f);
        if (preset.n > 0)
            buf_printf(out, "`%s`", buf_z(&preset));
        buf_free(&preset);
        buf_printf(out, " | %s |\n", f->row.help);
    }
    document_inert(out);
}
