// SPDX-License-Identifier: Apache-2.0
/* Flags are parsed in two passes:
 *
 * 1. The arguments, and environment variables if enabled, are collected as text, a list of values per row. The alias
 *    of --config.file that was used, or --dialect, decides the dialect.
 * 2. The text of each row, or its default (from the row, otherwise from the dialect), is parsed as a configuration key
 *    of the same type is.
 */
#include "gateway/config/flags.h"

#include "base/telemetry/log.h"
#include "base/regex/regex.h"
#include "base/text/num.h"
#include "base/text/url.h"
#include "gateway/config/dialect.h"
#include "gateway/config/environment.h"
#include "gateway/config/external_url.h"
#include "gateway/config/flags_table.h"
#include "gateway/config/proxy_headers.h"

#include <stdlib.h>
#include <unistd.h>

struct flag_values { struct str *items; size_t n, cap; }; /* of one row, as text */

struct flags_parser {
    struct flags *out;
    struct flag_values *given; /* by row */
    const char *config_flag;   /* alias with which the configuration file was set */
    struct inert_use *uses;    /* flags set that are not implemented */
    size_t n_uses, cap_uses;
    struct err *err;
};

/* ---- names ---- */

static bool flag_has_name(const struct flag_row *f, struct str name)
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
        if (flag_has_name(&flag_rows[i], name))
            return &flag_rows[i];
    return NULL;
}

static void suggest_closer(struct str name, const char *known, const char **best, unsigned *least)
{
    unsigned d = known ? str_distance(name, str_of(known)) : UINT32_MAX;
    if (d < *least) {
        *least = d;
        *best = known;
    }
}

static bool refuse_unknown_flag(struct str name, struct err *err)
{
    const char *best = NULL;
    unsigned least = (unsigned)name.n / 3 + 2;
    for (size_t i = 0; i < n_flag_rows; i++) {
        suggest_closer(name, flag_rows[i].row.name, &best, &least);
        for (size_t k = 0; k < LEN(flag_rows[i].also); k++)
            suggest_closer(name, flag_rows[i].also[k], &best, &least);
    }
    for (size_t i = 0; i < n_inert_flags; i++)
        suggest_closer(name, inert_flags[i].name, &best, &least);
    if (best)
        return err_set(err, ERR_BAD_DATA, "unknown flag --%.*s; did you mean --%s?", STR_ARG(name), best);
    return err_set(err, ERR_BAD_DATA, "unknown flag --%.*s; see --help for all flags", STR_ARG(name));
}

/* ---- words ---- */

static void flags_add_value(struct flags_parser *p, const struct flag_row *f, struct str value)
{
    struct flag_values *g = &p->given[f - flag_rows];
    arena_grow(&p->out->arena, &g->items, &g->cap, g->n + 1, sizeof *g->items);
    g->items[g->n++] = value;
}

static struct str flags_unquote(struct str s)
{
    bool quoted = s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0];
    return quoted ? str_n(s.p + 1, s.n - 2) : s;
}

/* Offset of the quote or bracket that closes the one at s.p[0]; 0 if there is none: s.p[0] is then an ordinary
 * character. */
static size_t enclosed_length(struct str s)
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

/* Splits a list at the commas outside of quotes and brackets. */
static void flags_add_items(struct flags_parser *p, const struct flag_row *f, struct str value)
{
    size_t start = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == ',') {
            flags_add_value(p, f, flags_unquote(str_n(value.p + start, i - start)));
            start = i + 1;
        } else {
            i += enclosed_length(str_skip(value, i));
        }
    }
    flags_add_value(p, f, flags_unquote(str_skip(value, start)));
}

static bool remember_config_flag(struct flags_parser *p, struct str name)
{
    static const char *const names[] = {"config.file", "promscrape.config", "config"};
    for (size_t i = 0; i < LEN(names); i++)
        if (str_is(name, names[i])) {
            if (p->config_flag && p->config_flag != names[i])
                return err_set(p->err, ERR_BAD_DATA, "--%s and --%s both set the configuration file; remove one",
                               p->config_flag, names[i]);
            p->config_flag = names[i];
        }
    return true;
}

static void add_inert_use(struct flags_parser *p, const struct inert_flag *flag, struct str value)
{
    arena_grow(&p->out->arena, &p->uses, &p->cap_uses, p->n_uses + 1, sizeof *p->uses);
    p->uses[p->n_uses++] = (struct inert_use){flag, value};
}

static bool flags_set_value(struct flags_parser *p, struct str name, const struct flag_row *f, struct str value)
{
    if (f->row.type == CONF_STRINGS)
        flags_add_items(p, f, value);
    else
        flags_add_value(p, f, value);
    return remember_config_flag(p, name);
}

/* Replaces %{NAME} by the value of the environment variable, as vmagent does. */
static bool expand_variables(struct flags_parser *p, struct str name, struct str *value)
{
    struct buf filled = {0};
    struct str missing;
    if (str_find_str(*value, STR("%{")) == value->n)
        return true;
    bool ok = environment_fill(*value, &filled, &missing);
    if (ok)
        *value = arena_str(&p->out->arena, buf_str(&filled));
    else
        err_set(p->err, ERR_BAD_DATA, "--%.*s: environment variable %.*s is not set", STR_ARG(name), STR_ARG(missing));
    buf_free(&filled);
    return ok;
}

/* A flag by its name, or a boolean flag by "no-" and its name. Both pointers NULL: unknown. */
struct found_flag { const struct flag_row *row; const struct inert_flag *inert; bool negated; };

static struct found_flag flags_find(struct str name)
{
    struct found_flag k = {flags_find_row(name), inert_find(name), false};
    if (k.row || k.inert || !str_starts(name, STR("no-")))
        return k;
    struct str positive = str_skip(name, 3);
    struct found_flag n = {flags_find_row(positive), inert_find(positive), true};
    return (n.row && n.row->row.type == CONF_BOOL) || (n.inert && n.inert->is_switch) ? n : k;
}

static bool takes_no_value(const struct found_flag *k)
{
    return k->row ? k->row->row.type == CONF_BOOL || k->row->switches : k->inert->is_switch;
}

bool flag_takes_next(const char *argument)
{
    struct str name = str_of(argument);
    if (name.n < 2 || name.p[0] != '-' || str_find(name, '=') < name.n)
        return false;
    struct found_flag k = flags_find(str_skip(name, name.p[1] == '-' ? 2 : 1));
    return (k.row || k.inert) && !takes_no_value(&k);
}

/* One argument and, unless it has the form -x=v or is boolean, the next one as its value. */
static bool flags_read_argument(struct flags_parser *p, int argc, char **argv, int *i)
{
    struct str value = str_of(argv[*i]), name;
    if (value.n < 2 || value.p[0] != '-')
        return err_set(p->err, ERR_BAD_DATA, "unexpected argument \"%s\": flags begin with a dash; see --help",
                       argv[*i]);
    value = str_skip(value, value.p[1] == '-' ? 2 : 1);
    str_cut(&value, '=', &name);
    struct found_flag k = flags_find(name);
    if (k.row == NULL && k.inert == NULL)
        return refuse_unknown_flag(name, p->err);
    if (value.p == NULL && takes_no_value(&k))
        value = k.negated ? STR("false") : STR("true");
    if (value.p == NULL) {
        if (*i + 1 >= argc)
            return err_set(p->err, ERR_BAD_DATA, "--%.*s requires a value", STR_ARG(name));
        value = str_of(argv[++*i]);
    }
    if (!expand_variables(p, name, &value))
        return false;
    if (k.row)
        return flags_set_value(p, name, k.row, value);
    add_inert_use(p, k.inert, value);
    return true;
}

/* ---- flags from the environment ---- */

/* promxy reads the names of headers from the environment, too. */
static bool flags_read_promxy_variable(struct flags_parser *p)
{
    static const struct str flag = {"proxy-headers", 13};
    const struct flag_row *row = flags_find_row(flag);
    const char *value = getenv("PROXY_HEADERS");
    if (p->out->dialect != DIALECT_PROMXY || value == NULL || *value == 0 || p->given[row - flag_rows].n > 0)
        return true;
    return flags_set_value(p, flag, row, str_of(value));
}

static struct str flag_value_text(const struct flags_parser *p, const char *flag)
{
    const struct flag_values *g = &p->given[flags_find_row(str_of(flag)) - flag_rows];
    return g->n > 0 ? g->items[g->n - 1] : STR("");
}

/* The variable of "remoteWrite.url" is the prefix and remoteWrite_url. {NULL,0}: not set. */
static struct str environment_of_flag(struct flags_parser *p, const char *flag)
{
    char *name = arena_z(&p->out->arena, arena_printf(&p->out->arena, "%.*s%s", STR_ARG(p->out->env_prefix), flag));
    for (char *c = name; *c; c++)
        *c = *c == '.' ? '_' : *c;
    const char *value = getenv(name);
    return value ? str_of(value) : STR_NONE;
}

static bool flags_read_variable(struct flags_parser *p, const struct flag_row *f, const char *name)
{
    struct str value = environment_of_flag(p, name);
    return value.p == NULL || (expand_variables(p, str_of(name), &value) && flags_set_value(p, str_of(name), f, value));
}

/* As with vmagent's -envflag.enable, the command line takes precedence. */
static bool flags_read_environment(struct flags_parser *p)
{
    static const struct conf_row enable_row = {.type = CONF_BOOL};
    struct str text = flag_value_text(p, "envflag.enable");
    struct conf_context c = {.arena = &p->out->arena};
    if (text.n > 0 && !conf_scalar(&c, &enable_row, text, &p->out->env_enable, p->err))
        return err_wrap(p->err, "--envflag.enable");
    bool enabled = p->out->env_enable;
    p->out->env_prefix = flag_value_text(p, "envflag.prefix");
    for (size_t i = 0; enabled && i < n_flag_rows; i++) {
        const struct flag_row *f = &flag_rows[i];
        if (p->given[i].n == 0 && !flags_read_variable(p, f, f->row.name))
            return false;
        for (size_t k = 0; k < LEN(f->also) && f->also[k] && p->given[i].n == 0; k++)
            if (!flags_read_variable(p, f, f->also[k]))
                return false;
    }
    for (size_t i = 0; enabled && i < n_inert_flags; i++) {
        struct str value = environment_of_flag(p, inert_flags[i].name);
        if (value.p)
            add_inert_use(p, &inert_flags[i], value);
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

static void flags_set_list(struct flags_parser *p, const struct flag_row *f, const struct flag_values *g)
{
    struct str_list list = {ARENA_ARRAY(&p->out->arena, struct str, g->n + 1), g->n};
    for (size_t i = 0; i < g->n; i++)
        list.items[i] = str_of(arena_z(&p->out->arena, g->items[i]));
    memcpy((char *)p->out + f->row.offset, &list, sizeof list);
}

static bool flags_parse_row(struct flags_parser *p, const struct flag_row *f)
{
    struct flag_values *g = &p->given[f - flag_rows];
    const char *preset = f->row.preset ? f->row.preset : dialect_default(&dialects[p->out->dialect], f->row.name);
    struct conf_context c = {.arena = &p->out->arena, .loose_durations = true};
    p->out->all[f - flag_rows].set = g->n > 0;
    if (g->n == 0 && preset)
        flags_add_value(p, f, str_of(preset));
    if (f->row.type == CONF_STRINGS) {
        flags_set_list(p, f, g);
        return true;
    }
    if (g->n == 0 || f->row.offset == offsetof(struct flags, dialect)) /* which was parsed first */
        return true;
    return conf_scalar(&c, &f->row, g->items[g->n - 1], (char *)p->out + f->row.offset, p->err)
           || err_wrap(p->err, "--%s", f->row.name);
}

static struct str flag_shown_value(struct flags_parser *p, const struct flag_row *f)
{
    const struct flag_values *g = &p->given[f - flag_rows];
    struct buf text = {0};
    if (f->row.type == CONF_ENUM)
        return str_of(f->row.names[*(const int *)(const void *)((const char *)p->out + f->row.offset)]);
    if (g->n > 0 && f->secret)
        return STR("secret");
    for (size_t i = f->row.type == CONF_STRINGS || g->n == 0 ? 0 : g->n - 1; i < g->n; i++) {
        buf_add_z(&text, text.n ? "," : "");
        url_redact_path(&text, g->items[i]);
    }
    struct str shown = arena_str(&p->out->arena, buf_str(&text));
    buf_free(&text);
    return shown.n > 0 ? shown : STR("");
}

static bool is_log_format(struct str s)
{
    static const char *const names[] = {"logfmt", "json", "default", "text"}; /* the last two of vmagent and promxy */
    bool known = false;
    for (size_t i = 0; i < LEN(names); i++)
        known = known || str_is(s, names[i]);
    return known;
}

static bool flags_check_messages(const struct str_list *names, struct err *err)
{
    for (size_t i = 0; i < names->n; i++)
        if (!str_is(names->items[i], PUSH_MESSAGE_1) && !str_is(names->items[i], PUSH_MESSAGE_2))
            return err_set(err, ERR_BAD_DATA, "--web.remote-write-receiver.accepted-protobuf-messages: \"%.*s\" is not one "
                           "of " PUSH_MESSAGE_1 ", " PUSH_MESSAGE_2, STR_ARG(names->items[i]));
    return true;
}

static bool flags_check_set(const struct flags *f, struct err *err)
{
    enum log_level level;
    if (!log_level_parse(f->log_level, &level))
        return err_set(err, ERR_BAD_DATA, "--log.level: \"%.*s\" is not one of debug, info, warn, error",
                       STR_ARG(f->log_level));
    if (!is_log_format(f->log_format))
        return err_set(err, ERR_BAD_DATA, "--log.format: \"%.*s\" is not one of logfmt, json", STR_ARG(f->log_format));
    if (!(f->memory_percent >= 1 && f->memory_percent <= 100))
        return err_set(err, ERR_BAD_DATA, "--memory.allowedPercent: %g is out of range: 1 to 100", f->memory_percent);
    if (!proxy_headers_check(&f->proxy_headers, err) || !flags_check_messages(&f->accepted_messages, err))
        return false;
    struct regex *re = regex_new(f->cors_origin, err);
    if (re == NULL)
        return err_wrap(err, "--web.cors.origin");
    regex_free(re);
    return true;
}

/* The default of --config.auto-reload-interval in Prometheus. The feature is the flag's older form. */
static void flags_use_auto_reload(struct flags *f)
{
    f->auto_reload |= str_list_has(&f->enable_features, "auto-reload-config");
    if (f->auto_reload && f->config_check_interval == 0)
        f->config_check_interval = 30 * 1000;
}

static bool flags_is_set(const struct flags *f, const char *name)
{
    return f->all[flags_find_row(str_of(name)) - flag_rows].set;
}

/* --secret.flags. A name that is not known would leave the value of a mistyped one visible. */
static bool flags_hide(struct flags_parser *p)
{
    const struct str_list *names = &p->out->secret_flags;
    for (size_t i = 0; i < names->n; i++) {
        const struct flag_row *f = flags_find_row(names->items[i]);
        if (f == NULL && inert_find(names->items[i]) == NULL)
            return refuse_unknown_flag(names->items[i], p->err) || err_wrap(p->err, "--secret.flags");
        if (f == NULL)
            continue;
        p->out->all[f - flag_rows].secret = true;
        if (p->given[f - flag_rows].n > 0)
            p->out->all[f - flag_rows].value = STR("secret");
    }
    return true;
}

/* An explicit false disables /-/reload in dialects that enable it by default, too. */
static void flags_open_reload(struct flags *f)
{
    bool refused = flags_is_set(f, "web.enable-lifecycle") && !f->enable_lifecycle;
    f->enable_reload = f->enable_lifecycle || (!refused && dialects[f->dialect].reload_open);
}

enum { FIRST_PASSED_FD = 3, PASSED_MAX = 16 };

/* sd_listen_fds(3): LISTEN_FDS sockets from the third descriptor on, if LISTEN_PID is this process. */
static bool flags_listen_on_passed(struct flags *f, struct err *err)
{
    const char *n_text = getenv("LISTEN_FDS"), *pid_text = getenv("LISTEN_PID");
    uint64_t n = 0, pid = 0;
    if (n_text == NULL || pid_text == NULL || !num_parse_u64(str_of(n_text), &n) || n == 0 || n > PASSED_MAX ||
        !num_parse_u64(str_of(pid_text), &pid) || pid != (uint64_t)getpid())
        return err_set(err, ERR_BAD_DATA, "--web.systemd-socket: systemd passed no sockets, or more than %d (LISTEN_FDS); "
                       "start the program by its .socket unit", PASSED_MAX);
    f->listen = (struct str_list){ARENA_ARRAY(&f->arena, struct str, n), 0};
    for (; f->listen.n < n; f->listen.n++)
        f->listen.items[f->listen.n] = arena_printf(&f->arena, "fd:%zu", FIRST_PASSED_FD + f->listen.n);
    return true;
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
    if (!flags_read_environment(&p) || !choose_dialect(&p) || !flags_read_promxy_variable(&p))
        return false;
    for (size_t i = 0; i < n_flag_rows; i++) {
        if (!flags_parse_row(&p, &flag_rows[i]))
            return false;
        out->all[i].name = str_of(flag_rows[i].row.name);
        out->all[i].secret = flag_rows[i].secret;
        out->all[i].value = flag_shown_value(&p, &flag_rows[i]);
    }
    if (!flags_hide(&p))
        return false;
    flags_open_reload(out);
    flags_use_auto_reload(out);
    if (out->systemd_socket && !out->dry_run && !flags_listen_on_passed(out, err))
        return false;
    return external_url_apply(out, flags_is_set(out, "web.route-prefix"), err) && flags_check_set(out, err) && flags_judge(out, p.uses, p.n_uses, err);
}

struct str flags_item(const struct str_list *list, size_t i)
{
    if (list->n == 1)
        return list->items[0];
    return i < list->n ? list->items[i] : STR_NONE;
}

void flags_free(struct flags *f)
{
    buf_free(&f->errors.text);
    arena_free(&f->arena);
}

/* ---- help and documentation ---- */

static void add_flag_default(struct buf *out, const struct flag_row *f)
{
    if (f->row.preset) {
        buf_add_z(out, f->row.preset);
        return;
    }
    const char *text = dialect_default(&dialects[DIALECT_SLUICE], f->row.name);
    buf_add_z(out, text ? text : "");
}

static void help_inert_class(struct buf *out, enum inert_class class, const char *title)
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
    buf_add_z(out, "sluice " VERSION ": scrapes targets, forwards samples and evaluates PromQL over several servers."
                   "\n\n"
                   "  sluice --config.file=sluice.yml\n"
                   "  sluice -promscrape.config=prometheus.yml -remoteWrite.url=http://localhost:8428/api/v1/write\n"
                   "  sluice --config=promxy.yml --bind-addr=:8082\n"
                   "  sluice promql format|parse|eval ...    (sluice promql --help)\n"
                   "  sluice config print|diff|convert ...   (sluice config --help)\n\n"
                   "Flags begin with one or two dashes: -x=v or -x v. -x=false or --no-x disables a boolean flag. "
                   "Lists may be repeated or comma-separated.\n\n");
    for (size_t i = 0; i < n_flag_rows; i++) {
        const struct flag_row *f = &flag_rows[i];
        buf_printf(out, "  --%s", f->row.name);
        for (size_t k = 0; k < LEN(f->also) && f->also[k]; k++)
            buf_printf(out, ", --%s", f->also[k]);
        buf_printf(out, "\n        %s", f->row.help);
        struct buf preset = {0};
        add_flag_default(&preset, f);
        if (preset.n > 0)
            buf_printf(out, " (%s)", buf_z(&preset));
        buf_free(&preset);
        buf_add_char(out, '\n');
    }
    help_inert_class(out, INERT_GUARDS, "Not supported yet; an error unless listed in --accept-inert:");
    help_inert_class(out, INERT_LOSES, "Ignored with a warning; an error with --strict:");
    help_inert_class(out, INERT_TUNES, "Accepted for compatibility; ignored:");
}

static void document_inert_flags(struct buf *out)
{
    static const char *const words[] = {
        [INERT_TUNES] = "accepted", [INERT_LOSES] = "warning", [INERT_GUARDS] = "error"};
    buf_add_z(out, "\n| ignored flag | if set | effect of ignoring it, or why it has none |\n|---|---|---|\n");
    for (size_t i = 0; i < n_inert_flags; i++)
        buf_printf(out, "| `%s` | %s | %s |\n", inert_flags[i].name, words[inert_flags[i].class],
                   inert_flags[i].why);
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
        add_flag_default(&preset, f);
        if (preset.n > 0)
            buf_printf(out, "`%s`", buf_z(&preset));
        buf_free(&preset);
        buf_printf(out, " | %s |\n", f->row.help);
    }
    document_inert_flags(out);
}
