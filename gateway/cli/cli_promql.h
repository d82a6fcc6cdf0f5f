// SPDX-License-Identifier: Apache-2.0
/* `sluice promql ...`: formats, parses and evaluates expressions on the command line, without a server. */
#ifndef GATEWAY_CLI_CLI_PROMQL_H
#define GATEWAY_CLI_CLI_PROMQL_H

int cli_promql(int argc, char **argv); /* argv[0] is "promql"; returns the exit code */

#endif
