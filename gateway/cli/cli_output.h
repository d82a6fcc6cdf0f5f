// SPDX-License-Identifier: Apache-2.0
/* What commands print. */
#ifndef GATEWAY_CLI_CLI_OUTPUT_H
#define GATEWAY_CLI_CLI_OUTPUT_H

#include "base/buf.h"

bool cli_is_help(int argc, char **argv); /* the only argument is --help or -h */
/* Prints the usage that was asked for; otherwise to stderr. The exit code: 0, or `wrong`. */
int cli_usage(const char *usage, bool help, int wrong);
void cli_output(const struct buf *text); /* to stdout; a failure is kept until the end */
/* Flushes and closes stdout. The exit code: `code`, or 1 with a message on stderr if a write has failed, for example
 * because the disk is full or the reader of a pipe has ended. SIGPIPE must be ignored. Call it last, once. */
int cli_output_end(int code);

#endif
