// SPDX-License-Identifier: Apache-2.0
/* `sluice config-sync` and `sluice config-check`, with the arguments of grafana-agentctl. */
#ifndef GATEWAY_CLI_CLI_CONFIG_SYNC_H
#define GATEWAY_CLI_CLI_CONFIG_SYNC_H

int cli_config_sync(int argc, char **argv);  /* argv[0] is the command's name; the exit code */
int cli_config_check(int argc, char **argv); /* likewise */

#endif
