// SPDX-License-Identifier: Apache-2.0
/* Listening sockets that are not opened by host and port: unix:PATH, and fd:N, which systemd has opened.
 *
 * A socket in the file system stays there when its program is killed. If nobody listens on it any more (the connection
 * is refused), it is replaced; if somebody does, that is an error as with a port.
 */
#include "gateway/http/http_listen.h"

#include "base/text/num.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOCAL_BACKLOG = 1024 };

static int unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

static void unlink_stale(const struct sockaddr_un *at)
{
    struct stat st;
    int fd = lstat(at->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) ? unix_socket() : -1;
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)at, sizeof *at) < 0 && errno == ECONNREFUSED)
        unlink(at->sun_path);
    close(fd);
}

static bool unix_address(struct str address, struct sockaddr_un *at, struct err *err)
{
    struct str path = str_skip(address, 5);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path.n == 0 || path.n >= sizeof at->sun_path)
        return err_set(err, ERR_BAD_DATA, "cannot listen on \"%.*s\": expected unix: and a path of at most %zu bytes",
                       STR_ARG(address), sizeof at->sun_path - 1);
    memcpy(at->sun_path, path.p, path.n);
    return true;
}

bool listen_check_unix(struct str address, struct err *err)
{
    struct sockaddr_un at;
    if (!unix_address(address, &at, err))
        return false;
    char *slash = strrchr(at.sun_path, '/');
    if (slash)
        slash[slash == at.sun_path] = 0;
    return access(slash ? at.sun_path : ".", W_OK | X_OK) == 0 ||
           err_set(err, ERR_UNAVAILABLE, "cannot listen on %.*s: the directory: %s; choose another path with "
                   "--web.listen-address", STR_ARG(address), strerror(errno));
}

int listen_open_unix(struct str address, struct err *err)
{
    struct sockaddr_un at;
    if (!unix_address(address, &at, err))
        return -1;
    unlink_stale(&at);
    int fd = unix_socket();
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, LOCAL_BACKLOG) == 0)
        return fd;
    err_set(err, ERR_UNAVAILABLE, "cannot listen on %.*s: %s; choose another path with --web.listen-address",
            STR_ARG(address), strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int listen_take_fd(struct str address, struct err *err)
{
    uint64_t n;
    int listens = 0, flags = 0;
    socklen_t size = sizeof listens;
    bool number = num_parse_u64(str_skip(address, 3), &n) && n < 1 << 20;
    if (!number || getsockopt((int)n, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens ||
        (flags = fcntl((int)n, F_GETFL)) < 0 || fcntl((int)n, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0) {
        err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: no listening socket with this number was passed to the program; "
                "use ListenStream= in the .socket unit", STR_ARG(address));
        return -1;
    }
    return (int)n;
}
