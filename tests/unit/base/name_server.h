// SPDX-License-Identifier: Apache-2.0
/* A name server on loopback for tests. It answers by the first label of the name:
 *   one, two...   A 127.0.0.1
 *   many          A 127.0.0.1, A 127.0.0.2, AAAA ::1
 *   moving        A 127.0.0.N, N being the last number of name_server_move
 *   late          as one, 200 ms later
 *   absent        NXDOMAIN
 *   empty         no address
 *   broken        SERVFAIL
 *   silent        nothing
 */
#ifndef TESTS_NAME_SERVER_H
#define TESTS_NAME_SERVER_H

#include <stdbool.h>

enum { NAME_SERVER_TTL_MS = 20000 }; /* of all records */
void name_server_start(void); /* and makes base/http/dns.h use it */
void name_server_stop(void);
void name_server_hush(bool silent);          /* no response to any name */
void name_server_move(int last);
unsigned name_server_asked(const char *name); /* A queries for this name */

#endif
