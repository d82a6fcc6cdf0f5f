// SPDX-License-Identifier: Apache-2.0
/* `sluice config`: prints, compares and converts configurations. */
#ifndef GATEWAY_CLI_CLI_CONFIG_H
#define GATEWAY_CLI_CLI_CONFIG_H

int cli_config(int argc, char **argv); /* argv[0]: "config"; the exit code */

#endif
