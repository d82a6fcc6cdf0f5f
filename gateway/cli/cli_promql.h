// SPDX-License-Identifier: Apache-2.0
/* `sluice promql ...`: expressions on the command line, without a server. */
#ifndef GATEWAY_CLI_CLI_PROMQL_H
#define GATEWAY_CLI_CLI_PROMQL_H

int cli_promql(int argc, char **argv); /* argv[0] is "promql"; the process' exit code */

#endif
