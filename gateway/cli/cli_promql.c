// SPDX-License-Identifier: Apache-2.0
/* Commands format, parse and eval. Samples come from a file; times and results have the forms of the HTTP API. */
#include "gateway/cli/cli_promql.h"

#include "base/os/file_read.h"
#include "base/text/duration.h"
#include "gateway/cli/cli_output.h"
#include "gateway/query/params.h"
#include "gateway/query/render.h"
#include "gateway/query/service.h"
#include "gateway/cli/cli_samples.h"

#include <stdio.h>

static const char usage[] =
    "sluice promql format EXPR              print EXPR formatted\n"
    "sluice promql parse EXPR               print the syntax tree as JSON, as /api/v1/parse_query does\n"
    "sluice promql eval [OPTIONS] EXPR      evaluate EXPR; print the `data` of /api/v1/query or query_range\n"
    "  --file FILE                          samples, lines of `name{label=\"value\"} NUMBER UNIX_MS`\n"
    "  --time T                             evaluation time, seconds or RFC 3339 (default: newest sample of FILE)\n"
    "  --start T --end T --step D           evaluate a range query instead\n"
    "  --lookback_delta D                   maximum age of a sample (default: 5m)\n"
    "  --                                   end of options: -- '--up'\n";

struct command {
    struct arena arena;
    struct str verb, expr, file;
    struct form options;   /* as parameters of the API */
    struct buf out;
};

/* ---- arguments ---- */

static bool add_option(struct command *c, struct str name, struct str value, struct err *err)
{
    static const char *const known[] = {"time", "start", "end", "step", "lookback_delta"};
    if (str_is(name, "file")) {
        c->file = value;
        return true;
    }
    for (size_t i = 0; i < LEN(known); i++) {
        if (!str_is(name, known[i]))
            continue;
        arena_grow(&c->arena, &c->options.fields, &c->options._cap, c->options.n + 1, sizeof *c->options.fields);
        c->options.fields[c->options.n++] = (struct form_field){name, value};
        return true;
    }
    return err_set(err, ERR_BAD_DATA, "unknown option --%.*s", STR_ARG(name));
}

static bool read_arguments(struct command *c, int argc, char **argv, struct err *err)
{
    bool options = true;
    c->verb = str_of(argc > 1 ? argv[1] : "");
    for (int i = 2; i < argc; i++) {
        struct str value = str_of(argv[i]), name;
        if (options && str_is(value, "--")) {
            options = false;
            continue;
        }
        if (!options || !str_starts(value, STR("--"))) {
            if (c->expr.p)
                return err_set(err, ERR_BAD_DATA, "more than one expression; quote it");
            c->expr = value;
            continue;
        }
        value = str_skip(value, 2);
        str_cut(&value, '=', &name);
        if (value.p == NULL && ++i == argc)
            return err_set(err, ERR_BAD_DATA, "--%.*s requires a value", STR_ARG(name));
        if (!add_option(c, name, value.p ? value : str_of(argv[i]), err))
            return false;
    }
    return c->expr.p || err_set(err, ERR_BAD_DATA, "missing expression");
}

/* ---- eval ---- */

static bool cli_read_params(struct command *c, int64_t newest, struct query_params *p, struct err *err)
{
    const struct form *o = &c->options;
    struct grid_params g;
    p->range = form_get(o, "start").n > 0 || form_get(o, "end").n > 0 || form_get(o, "step").n > 0;
    if (!param_lookback(o, 0, &p->lookback, err))
        return false;
    if (!p->range)
        return param_time(o, "time", newest, &p->start, err);
    if (!param_grid(o, &g, err))
        return false;
    p->start = g.start;
    p->end = g.end;
    p->step = g.step;
    return true;
}

static void cli_print_notes(const char *kind, const struct note_list *notes)
{
    for (size_t i = 0; i < notes->n; i++)
        fprintf(stderr, "%s: %.*s\n", kind, STR_ARG(notes->items[i]));
}

static bool cli_evaluate(struct command *c, struct expr *tree, struct str samples, struct err *err)
{
    struct query_params params = {.text = c->expr, .tree = tree};
    struct query_result result;
    struct notes notes = {.arena = &c->arena};
    struct query_ctx q = {.arena = &c->arena, .notes = &notes};
    int64_t newest = clock_wall_ms();
    struct query_service service = {.source = cli_samples(&c->arena, samples, &newest, err)};
    if (service.source == NULL)
        return err_wrap(err, "%.*s", STR_ARG(c->file));
    if (!cli_read_params(c, newest, &params, err) || !query_run(&service, &q, &params, &result, err))
        return false;
    struct json_writer w = {.out = &c->out};
    if (!render_result(&w, &result.value, &q, NULL, err))
        return false;
    json_end_object(&w);
    cli_print_notes("warning", &notes.warnings);
    cli_print_notes("info", &notes.infos);
    return true;
}

static bool eval(struct command *c, struct expr *tree, struct err *err)
{
    struct buf samples = {0};
    bool ok = (c->file.n == 0 || file_read(arena_z(&c->arena, c->file), 0, &samples, err)) && cli_evaluate(c, tree, buf_str(&samples), err);
    buf_free(&samples);
    return ok;
}

/* ---- commands ---- */

static bool cli_format(struct command *c, struct expr *tree, struct err *err UNUSED)
{
    promql_pretty(&c->out, tree);
    return true;
}

static bool cli_parse(struct command *c, struct expr *tree, struct err *err UNUSED)
{
    promql_json(&c->out, tree);
    return true;
}

typedef bool verb(struct command *c, struct expr *tree, struct err *err);

static verb *find_verb(struct str name)
{
    static const struct { const char *name; verb *run; } verbs[] = {{"format", cli_format}, {"parse", cli_parse},
                                                                    {"eval", eval}};
    for (size_t i = 0; i < LEN(verbs); i++)
        if (str_is(name, verbs[i].name))
            return verbs[i].run;
    return NULL;
}

static bool cli_run(struct command *c, int argc, char **argv, struct err *err)
{
    if (!read_arguments(c, argc, argv, err))
        return false;
    verb *run_it = find_verb(c->verb);
    if (run_it == NULL)
        return err_set(err, ERR_BAD_DATA, "unknown command \"%.*s\"; see sluice promql --help", STR_ARG(c->verb));
    struct expr *tree = promql_parse(&c->arena, c->expr, &(struct promql_syntax){0}, err);
    bool ok = tree && run_it(c, tree, err);
    promql_free(tree);
    buf_add_char(&c->out, '\n');
    return ok;
}

int cli_promql(int argc, char **argv)
{
    struct command c = {0};
    struct err err;
    if (argc < 3)
        return cli_usage(usage, cli_is_help(argc, argv), 1);
    arena_init(&c.arena, 0);
    bool ok = cli_run(&c, argc, argv, &err);
    if (ok)
        cli_output(&c.out);
    else
        fprintf(stderr, "sluice promql: %s\n", err.text);
    buf_free(&c.out);
    arena_free(&c.arena);
    return ok ? 0 : 1;
}
