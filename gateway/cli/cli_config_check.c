// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/cli_config_sync.h"

#include "gateway/cli/cli_output.h"
#include "gateway/config/config.h"

#include <stdio.h>
#include <string.h>

static const char check_usage[] =
    "sluice config-check FILE                check a file of Grafana Agent in static mode, as grafana-agentctl does\n"
    "  -e, --expand-env                      replace ${NAME} by environment variables\n";

static bool check_agent_file(const char *file, bool expand, struct err *err)
{
    struct flags f = {0};
    struct buf path = {0};
    buf_printf(&path, "--config.file=%s", file);
    char *words[] = {(char *)"sluice", (char *)buf_z(&path), (char *)"--dialect=prometheus",
                     (char *)(expand ? "--config.expand-env" : "--config.expand-env=false"), NULL};
    struct config *c = flags_parse(4, words, &f, err) ? config_load(&f, NULL, err) : NULL;
    bool ok = c != NULL;
    config_unref(c);
    flags_free(&f);
    buf_free(&path);
    return ok;
}

int cli_config_check(int argc, char **argv)
{
    const char *file = NULL;
    bool expand = false, help = false, wrong = false;
    for (int i = 1; i < argc; i++) {
        bool is_expand = strcmp(argv[i], "-e") == 0 || strcmp(argv[i], "--expand-env") == 0;
        expand = expand || is_expand;
        help = help || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        wrong = wrong || (!is_expand && (argv[i][0] == '-' || file));
        file = is_expand ? file : argv[i];
    }
    if (help || wrong || file == NULL)
        return cli_usage(check_usage, help, 1);
    struct err err;
    if (!check_agent_file(file, expand, &err)) {
        fprintf(stderr, "failed to load config: %s\n", err.text);
        return 1;
    }
    puts("config valid");
    return 0;
}
