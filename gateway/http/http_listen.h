// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/http/: listening sockets; -1 with an error. */
#ifndef GATEWAY_HTTP_HTTP_LISTEN_H
#define GATEWAY_HTTP_HTTP_LISTEN_H

#include "base/err.h"
#include "base/os/loop.h"
#include "base/str.h"
#include "gateway/http/listener.h"

static inline bool listen_is_unix(struct str address) { return str_starts(address, STR("unix:")); }
static inline bool listen_is_fd(struct str address) { return str_starts(address, STR("fd:")); }
bool listen_check_unix(struct str address, struct err *err) MUST_USE;
int listen_open_unix(struct str address, struct err *err); /* unix:PATH */
int listen_take_fd(struct str address, struct err *err);   /* fd:N */

#endif
