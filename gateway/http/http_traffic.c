// SPDX-License-Identifier: Apache-2.0
/* Counts bytes of connections. The library does the reads and writes, so the kernel's counters (TCP_INFO) are used:
 * their increase is added at the end of each request and of the connection.
 */
#include "gateway/http/http_connection.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

/* Kernels before 4.19 do not report sent bytes: acknowledged ones lag slightly behind. */
static uint64_t http_traffic_written_bytes(const struct tcp_info *info, socklen_t n)
{
    if (n < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof info->tcpi_bytes_retrans)
        return info->tcpi_bytes_acked;
    return info->tcpi_bytes_sent - info->tcpi_bytes_retrans;
}

void http_traffic_count(struct http_traffic *t, int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
        return;
    uint64_t read = info.tcpi_bytes_received, written = http_traffic_written_bytes(&info, n);
    if (read > t->read)
        stats_add(&http_stats, HTTP_READ_BYTES, (double)(read - t->read));
    if (written > t->written)
        stats_add(&http_stats, HTTP_WRITTEN_BYTES, (double)(written - t->written));
    *t = (struct http_traffic){read, written};
}
