// SPDX-License-Identifier: Apache-2.0
/* Watches directories by inotify. Adding a directory looks it up, which may hang, so threads for files do it, and the
 * descriptor is closed when the last of them has released it. */
#ifndef MODEL_DISCOVERY_DIR_WATCH_H
#define MODEL_DISCOVERY_DIR_WATCH_H

#include "base/refs.h"

struct dir_watch { struct refs _refs; int fd; };
struct dir_watch *dir_watch_new(void) MUST_USE; /* NULL with errno: not available */
struct dir_watch *dir_watch_ref(struct dir_watch *w);
void dir_watch_unref(struct dir_watch *w);      /* any thread; NULL is fine */
/* Any thread; may hang. Events are readable from fd. A directory that is watched already is watched once. False with
 * errno. */
bool dir_watch_add(struct dir_watch *w, const char *directory) MUST_USE;
void dir_watch_drain(struct dir_watch *w);      /* reads the events; never waits */

#endif
