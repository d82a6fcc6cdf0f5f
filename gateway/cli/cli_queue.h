// SPDX-License-Identifier: Apache-2.0
/* `sluice queue ...`: lists, checks, prints, deletes and sends the queues of a queue directory, without a server. */
#ifndef GATEWAY_CLI_CLI_QUEUE_H
#define GATEWAY_CLI_CLI_QUEUE_H

int cli_queue(int argc, char **argv); /* argv[0] is "queue"; returns the exit code */

#endif
