// SPDX-License-Identifier: Apache-2.0
/* Memory. --memory.allowedBytes, or a percentage of what there is, is divided:
 *
 *     queries at work            1/2    at most four times --query.max-memory
 *     responses not yet read     1/8    at most 256 MiB
 *     bodies of requests         1/8    at most 128 MiB, at least one push
 *     idle connections           1/64   36 KiB each; at most 256 MiB
 *
 * The recent store and the queues have limits of their own (recent.budget, max_memory_bytes).
 *
 * Descriptors. A part of the limit is kept for what may still be opened: sockets and loops of workers, queue files,
 * targets. Connections end where the rest is open, whatever it was opened for.
 */
#include "gateway/limits.h"

#include "base/os/process.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IDLE_MS = 120000, BODIES_MOST = 128 << 20, RESPONSES_MOST = 256 << 20, IDLE_MOST = 256 << 20, KEPT_FILES = 64,
      FILES_A_WORKER = 5, FILES_A_LANE = 4, FILES_ACCEPTOR = 3,
       ACCEPTED_MOST = 256, ACCEPTED_LEAST = 4, LEAST_PLACES = 16 };

void limits_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static size_t size_least(size_t a, size_t b) { return a < b ? a : b; }
static size_t size_most(size_t a, size_t b) { return a > b ? a : b; }

static size_t allowed_memory(const struct flags *f)
{
    return f->memory_bytes > 0 ? (size_t)f->memory_bytes : (size_t)((double)process_memory() / 100 * f->memory_percent);
}

static void divide_memory(const struct flags *f, unsigned n_lanes, struct http_limits *http, struct budget *queries)
{
    size_t all = allowed_memory(f), query = (size_t)f->query_memory, push = (size_t)f->max_insert_size / 6 * 7 + 64;
    size_t idle = size_least(all / 64, IDLE_MOST) / HTTP_CONNECTION_MEMORY;
    queries->max = size_least(all / 2, query > SIZE_MAX / 4 ? SIZE_MAX : 4 * query);
    http->responses.max = size_least(all / 8, RESPONSES_MOST);
    http->bodies.max = size_most(size_least(all / 8, BODIES_MOST), push);
    http->body_share = size_most(http->bodies.max / 2, push);
    http->idle = (unsigned)size_most(idle / n_lanes, 1);
}

static size_t lowest_free_descriptor(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? (size_t)fd : 0;
}

static size_t descriptor_limit(void)
{
    struct rlimit files = {.rlim_cur = RLIM_INFINITY};
    getrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur > INT_MAX ? INT_MAX : (size_t)files.rlim_cur;
}

static void divide_descriptors(const struct flags *f, unsigned n_lanes, unsigned workers, struct http_limits *http)
{
    size_t limit = descriptor_limit();
    size_t kept = size_least(limit / 4, KEPT_FILES + FILES_A_WORKER * (size_t)workers);
    size_t open = lowest_free_descriptor() + FILES_A_LANE * n_lanes + FILES_ACCEPTOR + f->listen.n;
    size_t places = size_least((size_t)f->max_connections, limit - kept > open ? limit - kept - open : 0);
    http->max_fd = (int)(limit - kept);
    http->places = (unsigned)size_most(places / n_lanes, 1);
    http->spare_places = http->least_places = (unsigned)size_most(size_least(kept / 8, LEAST_PLACES) / n_lanes, 1);
    http->max_accepted = (unsigned)size_most(size_least(kept / 4, ACCEPTED_MOST), ACCEPTED_LEAST);
}

int limits_worker_fd(const struct http_limits *http)
{
    return (int)((size_t)http->max_fd + (descriptor_limit() - (size_t)http->max_fd) / 2);
}

void limits_divide(const struct flags *f, unsigned n_lanes, unsigned workers, struct http_limits *http,
                   struct budget *queries)
{
    http_limits_init(http);
    http->idle_timeout = IDLE_MS;
    http->read_timeout = f->read_timeout;
    http->queue_timeout = f->query_queue_timeout;
    divide_memory(f, n_lanes, http, queries);
    divide_descriptors(f, n_lanes, workers, http);
}
