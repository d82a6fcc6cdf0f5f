// SPDX-License-Identifier: Apache-2.0
/* Replicas that one server stores: series that differ only in labels that the group's view drops (view.h). */
#ifndef GATEWAY_UPSTREAM_DECODE_STORED_H
#define GATEWAY_UPSTREAM_DECODE_STORED_H

#include "gateway/upstream/decode/response.h"

/* Each shown label set once, in a response whose view unites series. False with an error: series of the server itself
 * have equal labels and overlap in time, or the query must end. */
bool stored_unite(struct response *a, struct err *err) MUST_USE;

/* Private to decode/: in response.c. */
bool response_apart(const struct series *x, const struct series *y); /* in time */
/* The error of duplicates: the server is at fault if it sent these labels twice, otherwise the configuration. */
bool response_clash(struct labels labels, bool sent_twice, struct err *err);

#endif
