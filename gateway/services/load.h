// SPDX-License-Identifier: Apache-2.0
/* Loads the configuration for a reload, on a thread of its own, which may hang: the file, or one that it names, may lie
 * on a mount that does not respond. The control thread goes on meanwhile, applies what was loaded, and answers those
 * who requested it. One load at a time; requests that arrive during one are served by the next. After LOAD_HANG_MS
 * without an end, those who wait are told; when the mount responds the files are loaded once more.
 *
 * The control thread, but for the thread itself.
 */
#ifndef GATEWAY_SERVICES_LOAD_H
#define GATEWAY_SERVICES_LOAD_H

#include "gateway/services/services.h"

enum { LOAD_HANG_MS = 10000 };
struct config_load;
struct config_load *config_load_new(struct services *s);
/* False: a thread hangs and may still use `s`, whose memory must not be freed. */
bool config_load_free(struct config_load *l) MUST_USE;

#endif
