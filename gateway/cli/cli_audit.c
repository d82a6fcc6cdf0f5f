// SPDX-License-Identifier: Apache-2.0
/* Requests /api/v1/status/audit of a running program and prints the response. */
#include "gateway/cli/cli_audit.h"

#include "gateway/cli/cli_output.h"

#include "base/http/fetch.h"
#include "base/json/json_tree.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "model/labels.h"

#include <stdio.h>

static const char audit_usage[] =
    "sluice audit --group NAME [OPTIONS]    compare what a running sluice has written with what each server of a group\n"
    "                                       returns; the exit code is 1 if samples are missing or extra\n"
    "  --url URL                            of the running sluice (default: http://127.0.0.1:8429)\n"
    "  --match SELECTOR                     series to compare (default: all)\n"
    "  --since D                            time to compare, before now (default: 1h)\n"
    "  --window D                           length of the windows whose samples are counted (default: 5m)\n"
    "  --delay D                            time until storages show samples (default: 30s)\n"
    "  --limit N                            maximum number of differing targets of each server (default: 20)\n";

enum { AUDIT_RESPONSE_MAX = 64 << 20, AUDIT_MS = 300000, LABELS_WIDTH = 56 };

struct audit_command {
    const char *url;
    struct buf request;     /* the URL with its parameters */
    bool has_group, differs;
    struct buf out;
};

/* ---- arguments ---- */

static bool audit_add_option(struct audit_command *c, const char *name, const char *value, struct err *err)
{
    static const struct { const char *option, *parameter; } known[] = {
        {"--group", "group"}, {"--match", "match[]"}, {"--since", "since"}, {"--window", "window"}, {"--delay", "delay"},
        {"--limit", "limit"}};
    for (size_t i = 0; i < LEN(known); i++)
        if (strcmp(name, known[i].option) == 0) {
            form_add(&c->request, known[i].parameter, str_of(value));
            c->has_group = c->has_group || i == 0;
            return true;
        }
    return err_set(err, ERR_BAD_DATA, "unknown option %s; see sluice audit --help", name);
}

static bool audit_read_arguments(struct audit_command *c, int argc, char **argv, struct err *err)
{
    c->url = "http://127.0.0.1:8429";
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return err_set(err, ERR_BAD_DATA, "%s requires a value", argv[i]);
        if (strcmp(argv[i], "--url") == 0)
            c->url = argv[i + 1];
        else if (!audit_add_option(c, argv[i], argv[i + 1], err))
            return false;
    }
    return c->has_group || err_set(err, ERR_BAD_DATA, "missing --group");
}

/* ---- the table ---- */

static unsigned long long audit_number(const struct json_tree *row, const char *key)
{
    double v;
    return json_tree_number(json_tree_get(row, key), &v) && v > 0 ? (unsigned long long)v : 0;
}

static void audit_print_counts(struct audit_command *c, const struct json_tree *row)
{
    static const char *const counts[] = {"written", "returned", "missing", "extra", "late"};
    for (size_t i = 0; i < LEN(counts); i++)
        buf_printf(&c->out, " %11llu", audit_number(row, counts[i]));
    c->differs = c->differs || audit_number(row, "missing") + audit_number(row, "extra") > 0;
}

static void audit_pad(struct buf *out, size_t from, size_t width)
{
    while (out->n - from < width)
        buf_add_char(out, ' ');
}

static void audit_print_target(struct audit_command *c, const struct json_tree *target)
{
    struct json_tree_member m = {0};
    size_t from = c->out.n, n = 0;
    double end;
    buf_add_char(&c->out, '{');
    while (json_tree_next(json_tree_get(target, "labels"), &m)) {
        buf_add_z(&c->out, n++ ? "," : "");
        labels_print_name(&c->out, m.key);
        buf_add_char(&c->out, '=');
        labels_quote(&c->out, json_tree_str(m.value));
    }
    buf_add_char(&c->out, '}');
    audit_pad(&c->out, from, LABELS_WIDTH);
    audit_print_counts(c, target);
    buf_add_z(&c->out, "  ");
    if (json_tree_number(json_tree_get(target, "firstWindowEnd"), &end))
        buf_add_rfc3339(&c->out, (int64_t)(end * 1000));
    buf_add_char(&c->out, '\n');
}

static void audit_print_server(struct audit_command *c, const struct json_tree *server)
{
    struct str error = json_tree_str(json_tree_get(server, "error")), to = json_tree_str(json_tree_get(server, "destination"));
    const struct json_tree *targets = json_tree_get(server, "targets");
    size_t from = c->out.n;
    buf_printf(&c->out, "%-35.*s %-20.*s", STR_ARG(json_tree_str(json_tree_get(server, "url"))), STR_ARG(to.n ? to : STR("-")));
    audit_pad(&c->out, from, LABELS_WIDTH);
    audit_print_counts(c, server);
    if (error.n > 0) {
        buf_printf(&c->out, "  %.*s\n", STR_ARG(error));
        c->differs = true;
        return;
    }
    buf_printf(&c->out, "  %llu of %llu targets differ\n", audit_number(server, "differingTargets"),
               audit_number(server, "comparedTargets"));
    for (size_t i = 0; i < json_tree_count(targets); i++)
        audit_print_target(c, json_tree_at(targets, i));
}

static void audit_print(struct audit_command *c, const struct json_tree *data)
{
    const struct json_tree *servers = json_tree_get(data, "servers");
    double start = 0, end = 0;
    (void)!json_tree_number(json_tree_get(data, "start"), &start);
    (void)!json_tree_number(json_tree_get(data, "end"), &end);
    buf_add_z(&c->out, "from ");
    buf_add_rfc3339(&c->out, (int64_t)(start * 1000));
    buf_add_z(&c->out, " to ");
    buf_add_rfc3339(&c->out, (int64_t)(end * 1000));
    buf_printf(&c->out, "\n%-*s %11s %11s %11s %11s %11s  %s\n", LABELS_WIDTH, "SERVER, DESTINATION; TARGET", "WRITTEN",
               "RETURNED", "MISSING", "EXTRA", "LATE", "FIRST DIFFERENCE");
    for (size_t i = 0; i < json_tree_count(servers); i++)
        audit_print_server(c, json_tree_at(servers, i));
}

static bool audit_request(struct audit_command *c, struct err *err)
{
    struct buf url = {0}, text = {0};
    struct json_tree *response = NULL;
    int status = 0;
    url_join(&url, str_of(c->url), STR("/api/v1/status/audit"));
    buf_add_char(&url, '?');
    buf_add_str(&url, buf_str(&c->request));
    bool ok = fetch_response(buf_z(&url), AUDIT_RESPONSE_MAX, AUDIT_MS, &status, &text, err);
    if (ok)
        response = json_tree_parse(buf_str(&text), err);
    struct str why = json_tree_str(json_tree_get(response, "error"));
    if (ok && status != 200) {
        struct buf shown = {0};
        url_redact(&shown, str_of(c->url));
        ok = err_set(err, ERR_BAD_DATA, "%s: HTTP %d%s%.*s", buf_z(&shown), status, why.n ? ": " : "", STR_ARG(why));
        buf_free(&shown);
    }
    ok = ok && response;
    if (ok)
        audit_print(c, json_tree_get(response, "data"));
    json_tree_free(response);
    buf_free(&text);
    buf_free(&url);
    return ok;
}

int cli_audit(int argc, char **argv)
{
    struct audit_command c = {0};
    struct err err;
    if (cli_is_help(argc, argv) || argc < 2)
        return cli_usage(audit_usage, cli_is_help(argc, argv), 1);
    bool ok = audit_read_arguments(&c, argc, argv, &err) && audit_request(&c, &err);
    if (ok)
        cli_output(&c.out);
    else
        fprintf(stderr, "sluice audit: %s\n", err.text);
    buf_free(&c.out);
    buf_free(&c.request);
    return ok && !c.differs ? 0 : 1;
}
