// SPDX-License-Identifier: Apache-2.0
/* Gives listeners their access (gateway/config/access.h) and keeps it current: once a second the files that it was made
 * of are compared with what `files` threads have read of them (base/os/watched_file.h). If one has changed, the access is
 * made again; if that fails, as while certificate and key are being replaced, the previous one stays in use until the
 * files change again. Control thread.
 */
#ifndef GATEWAY_SERVICES_ACCESS_WATCH_H
#define GATEWAY_SERVICES_ACCESS_WATCH_H

#include "gateway/services/services.h"

struct access_watch;
struct access_watch *access_watch_new(struct services *s);
void access_watch_free(struct access_watch *w);
void access_watch_use(struct access_watch *w, struct access_set *set); /* in force from now on */
void access_watch_stop(struct access_watch *w);                        /* the program stops: no more checks */
void access_watch_register_stats(void);                                /* once, before other threads start */

#endif
