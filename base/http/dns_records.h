// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: the records of a response of a name server. */
#ifndef BASE_HTTP_DNS_RECORDS_H
#define BASE_HTTP_DNS_RECORDS_H

#include "base/http/dns.h"

enum { DNS_CLASS_IN = 1 };
int dns_records_type(enum dns_type type); /* as in a message */
/* A status of c-ares; *out is sorted, and empty unless it is ARES_SUCCESS. */
int dns_records_parse(enum dns_type type, const unsigned char *message, int length, struct dns_records *out);

#endif
