// SPDX-License-Identifier: Apache-2.0
/* Commands print, diff and convert. A configuration is named as at a start, by flags; a word without a dash is a file, as
 * --config.file has it. */
#include "gateway/cli/cli_config.h"

#include "gateway/cli/cli_output.h"
#include "gateway/config/config.h"
#include "gateway/config/dialect.h"

#include <stdio.h>

static const char usage[] =
    "sluice config print FLAGS              print the configuration with its defaults as YAML, secrets masked\n"
    "sluice config diff FLAGS -- FLAGS      print what differs by meaning; exit code 1 if anything does\n"
    "sluice config diff FILE FILE           the same for two files\n"
    "sluice config convert FLAGS            print one sluice.yml that loads to the same configuration, secrets in the clear\n"
    "sluice config convert agent.yaml       the same for a file of Grafana Agent in static mode\n"
    "  FLAGS                                those of a start: -promscrape.config=FILE -remoteWrite.url=URL ..., or FILE\n";

enum { CONFIG_WORDS = 1024 };

struct loaded { struct flags flags; struct config *config; };

/* ---- loading ---- */

static void cli_config_print_lines(struct str lines)
{
    for (struct str line; lines.n > 0;) {
        str_cut(&lines, '\n', &line);
        fprintf(stderr, "sluice config: %.*s\n", STR_ARG(line));
    }
}

static void cli_config_print_errors(const struct conf_errors *errors, const struct err *err)
{
    cli_config_print_lines(errors->n > 0 ? buf_str(&errors->text) : str_of(err->text));
}

static void cli_config_print_warnings(const struct str_list *warnings)
{
    for (size_t i = 0; i < warnings->n; i++)
        fprintf(stderr, "warning: %.*s\n", STR_ARG(warnings->items[i]));
}

static bool loaded_flags(struct loaded *l, int n, char **words, struct err *err)
{
    char *argv[CONFIG_WORDS + 2];
    int argc = 0;
    struct arena texts;
    if (n > CONFIG_WORDS) {
        fprintf(stderr, "sluice config: more than %d flags\n", CONFIG_WORDS);
        return false;
    }
    arena_init(&texts, 0);
    argv[argc++] = (char *)(uintptr_t)"sluice";
    argv[argc++] = (char *)(uintptr_t)"--dryRun";
    for (int i = 0; i < n; i++) {
        bool file = words[i][0] != '-' && !(i > 0 && flag_takes_next(words[i - 1]));
        argv[argc++] = file ? arena_z(&texts, arena_printf(&texts, "--config.file=%s", words[i])) : words[i];
    }
    bool ok = flags_parse(argc, argv, &l->flags, err);
    if (!ok)
        cli_config_print_errors(&l->flags.errors, err);
    l->flags.remote_write.show_url = true;
    arena_free(&texts);
    return ok;
}

static bool loaded_new(struct loaded *l, int n, char **words, bool keep_references)
{
    struct conf_errors errors = {0};
    struct err err = {0};
    if (!loaded_flags(l, n, words, &err))
        return false;
    l->flags.keep_references = keep_references;
    l->config = config_load(&l->flags, &errors, &err);
    if (l->config) {
        cli_config_print_warnings(&l->flags.warnings);
        cli_config_print_warnings(&l->config->warnings);
    } else {
        cli_config_print_errors(&errors, &err);
    }
    buf_free(&errors.text);
    return l->config != NULL;
}

static void loaded_free(struct loaded *l)
{
    config_unref(l->config);
    flags_free(&l->flags);
}

/* ---- print ---- */

static void print_loaded(const struct loaded *l, struct buf *out)
{
    buf_printf(out, "# sluice " VERSION ", dialect %s\n# Flags, with their defaults:\n", dialects[l->flags.dialect].name);
    for (size_t i = 0; i < l->flags.n_all; i++)
        buf_printf(out, "#   --%.*s=%.*s%s\n", STR_ARG(l->flags.all[i].name), STR_ARG(l->flags.all[i].value),
                   l->flags.all[i].set ? "   (set)" : "");
    buf_add_str(out, l->config->masked);
}

static int cli_config_print(int n, char **words)
{
    struct loaded l = {0};
    struct buf out = {0};
    bool ok = loaded_new(&l, n, words, false);
    if (ok)
        print_loaded(&l, &out);
    cli_output(&out);
    buf_free(&out);
    loaded_free(&l);
    return ok ? 0 : 1;
}

/* ---- diff ---- */

struct differences { struct buf out; size_t n; };

static bool has_lines(struct str s) { return str_find(str_trim(s), '\n') < str_trim(s).n; }

static void add_side(struct buf *out, char mark, struct str value)
{
    for (struct str line; value.n > 0;) {
        str_cut(&value, '\n', &line);
        if (str_trim(line).n > 0)
            buf_printf(out, "  %c %.*s\n", mark, STR_ARG(line));
    }
}

static void on_difference(void *arg, const char *path, struct str a, struct str b)
{
    struct differences *d = arg;
    if (strcmp(path, "scrape_config_files") == 0) /* whose jobs are compared */
        return;
    d->n++;
    if (a.n == 0 || b.n == 0)
        buf_printf(&d->out, "%s: %s\n", path, a.n == 0 ? "only in the second" : "only in the first");
    else if (str_eq(a, b))
        buf_printf(&d->out, "%s: differs in a part that is not shown\n", path);
    else if (!has_lines(a) && !has_lines(b)) {
        buf_printf(&d->out, "%s: %.*s -> %.*s\n", path, STR_ARG(str_trim(a)), STR_ARG(str_trim(b)));
        return;
    } else
        buf_printf(&d->out, "%s:\n", path);
    if (!str_eq(a, b)) {
        add_side(&d->out, '-', a);
        add_side(&d->out, '+', b);
    }
}

/* Flags that fill sections of the file, or tell how it is read, are compared there. */
static bool flag_is_in_file(struct str name)
{
    static const char *const names[] = {"config.file", "dialect", "config.expand-env", "envflag.enable", "envflag.prefix",
                                        "check-reachability"};
    for (size_t i = 0; i < LEN(names); i++)
        if (str_is(name, names[i]))
            return true;
    return str_starts(name, STR("remoteWrite.")) && !str_is(name, "remoteWrite.flushInterval");
}

static void diff_flags(const struct flags *a, const struct flags *b, struct differences *d)
{
    if (a->dialect != b->dialect)
        on_difference(d, "dialect", str_of(dialects[a->dialect].name), str_of(dialects[b->dialect].name));
    for (size_t i = 0; i < a->n_all; i++) {
        struct buf path = {0};
        buf_printf(&path, "flag --%.*s", STR_ARG(a->all[i].name));
        struct str x = a->all[i].value, y = b->all[i].value;
        if (!flag_is_in_file(a->all[i].name) && !str_eq(x, y))
            on_difference(d, buf_z(&path), x.n ? x : STR("(empty)"), y.n ? y : STR("(empty)"));
        buf_free(&path);
    }
}

static int diff_loaded(const struct loaded *a, const struct loaded *b)
{
    struct differences d = {0};
    diff_flags(&a->flags, &b->flags, &d);
    config_diff(a->config, b->config, on_difference, &d);
    cli_output(&d.out);
    if (d.n == 0)
        puts("no difference");
    buf_free(&d.out);
    return d.n > 0;
}

static int cli_config_diff(int n, char **words)
{
    struct loaded a = {0}, b = {0};
    int split = 0;
    while (split < n && strcmp(words[split], "--") != 0)
        split++;
    bool two_files = split == n && n == 2 && words[0][0] != '-' && words[1][0] != '-';
    if (split == n && !two_files) {
        fputs(usage, stderr);
        return 2;
    }
    bool ok = loaded_new(&a, two_files ? 1 : split, words, false);
    ok = loaded_new(&b, two_files ? 1 : n - split - 1, words + (two_files ? 1 : split + 1), false) && ok;
    int code = ok ? diff_loaded(&a, &b) : 2;
    loaded_free(&a);
    loaded_free(&b);
    return code;
}

/* ---- convert ---- */

static bool convert_agent(int n, char **words, struct buf *out, struct err *err)
{
    return n == 1 && words[0][0] != '-' && config_convert_agent(words[0], out, err);
}

static int cli_config_convert(int n, char **words)
{
    struct loaded l = {0};
    struct buf out = {0};
    struct err err;
    bool ok = convert_agent(n, words, &out, &err);
    if (!ok && loaded_new(&l, n, words, true)) {
        buf_clear(&out);
        config_convert(l.config, &l.flags, &out);
        ok = true;
    }
    cli_output(&out);
    buf_free(&out);
    loaded_free(&l);
    return ok ? 0 : 1;
}

/* ---- commands ---- */

int cli_config(int argc, char **argv)
{
    static const struct { const char *name; int (*run)(int n, char **words); } verbs[] = {
        {"print", cli_config_print}, {"diff", cli_config_diff}, {"convert", cli_config_convert}};
    for (size_t i = 0; argc > 2 && i < LEN(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 2, argv + 2);
    return cli_usage(usage, cli_is_help(argc, argv), 2);
}
