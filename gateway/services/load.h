// SPDX-License-Identifier: Apache-2.0
/* Reloads: a separate thread loads the configuration, because the file, or a file that it names, may be on a mount that
 * does not respond. The control thread keeps running meanwhile; then it applies the configuration and responds to the
 * requests for the reload. There is one load at a time; requests that arrive during a load wait for the next one. A
 * load that takes longer than LOAD_HANG_MS fails the waiting requests; when the mount responds, the files are loaded
 * again.
 *
 * Call on the control thread.
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
