// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/cli_output.h"

#include "base/buf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

bool cli_is_help(int argc, char **argv)
{
    return argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

int cli_usage(const char *usage, bool help, int wrong)
{
    fputs(usage, help ? stdout : stderr);
    return help ? 0 : wrong;
}

void cli_output(const struct buf *text)
{
    if (text->n > 0)
        fwrite(text->p, 1, text->n, stdout);
}

int cli_output_end(int code)
{
    bool failed = ferror(stdout);
    errno = 0;
    if (fclose(stdout) == 0 && !failed)
        return code;
    fprintf(stderr, "sluice: the output is incomplete: %s\n", errno ? strerror(errno) : "a write to stdout failed");
    return code ? code : 1;
}
