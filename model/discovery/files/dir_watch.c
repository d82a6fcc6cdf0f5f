// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/files/dir_watch.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

struct dir_watch *dir_watch_new(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct dir_watch *w = mem_zalloc(sizeof *w);
    refs_init(&w->_refs);
    w->fd = fd;
    return w;
}

struct dir_watch *dir_watch_ref(struct dir_watch *w)
{
    refs_take(&w->_refs);
    return w;
}

void dir_watch_unref(struct dir_watch *w)
{
    if (w == NULL || !refs_drop(&w->_refs))
        return;
    close(w->fd);
    mem_free(w);
}

bool dir_watch_add(struct dir_watch *w, const char *directory)
{
    return inotify_add_watch(w->fd, directory, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE) >= 0;
}

void dir_watch_drain(struct dir_watch *w)
{
    char drained[4096];
    while (read(w->fd, drained, sizeof drained) > 0) {
    }
}
