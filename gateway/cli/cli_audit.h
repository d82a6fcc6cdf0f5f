// SPDX-License-Identifier: Apache-2.0
/* `sluice audit`: what was written compared with what storages return, as a table. */
#ifndef GATEWAY_CLI_CLI_AUDIT_H
#define GATEWAY_CLI_CLI_AUDIT_H

int cli_audit(int argc, char **argv); /* argv[0] is "audit"; the exit code */

#endif
