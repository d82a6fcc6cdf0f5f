// SPDX-License-Identifier: Apache-2.0
/* Memory. --memory.allowedBytes, or a percentage of the machine's memory, is divided:
 *
 *     running queries            1/2    at most four times --query.max-memory
 *     reports about targets      1/8    or 256 MiB, enough for 100,000 targets, but at most 1/2
 *     unread responses           1/8    at most 256 MiB
 *     request bodies             1/8    at most 128 MiB, at least one push
 *     idle connections           1/64   36 KiB each, with TLS 48 KiB; at most 256 MiB
 *
 * The recent store and the queues have separate limits (recent.budget, max_memory_bytes).
 *
 * Descriptors. A part of the limit is reserved for sockets and loops of workers, queue files and targets. Connections
 * may use the rest, less what is open already.
 */
#include "gateway/limits.h"

#include "base/os/process.h"

#include <limits.h>
#include <sys/resource.h>

enum {
    MAX_BODIES = 128 << 20, MAX_RESPONSES = 256 << 20, MAX_IDLE = 256 << 20, REPORTS = 256 << 20, /* bytes */
    RESERVED_FILES = 64, FILES_PER_WORKER = 5, FILES_PER_LANE = 6 /* two daemons of libmicrohttpd */, FILES_ACCEPTOR = 3,
    MAX_ACCEPTED = 256, MIN_ACCEPTED = 4,
    MIN_PLACES = 16
};

void limits_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static size_t size_min(size_t a, size_t b) { return a < b ? a : b; }
static size_t size_max(size_t a, size_t b) { return a > b ? a : b; }

static size_t allowed_memory(const struct flags *f)
{
    return f->memory_bytes > 0 ? (size_t)f->memory_bytes : (size_t)((double)process_memory() / 100 * f->memory_percent);
}

static void divide_memory(const struct flags *f, unsigned n_lanes, struct http_limits *http, struct budget *queries,
                          struct budget *reports)
{
    size_t all = allowed_memory(f), query = (size_t)f->query_memory, push = (size_t)f->max_insert_size / 6 * 7 + 64;
    bool tls = f->web_config_file.n > 0 || f->listener.tls.n > 0;
    size_t idle = size_min(all / 64, MAX_IDLE) / (HTTP_CONNECTION_MEMORY + (tls ? HTTP_TLS_MEMORY : 0));
    queries->max = size_min(all / 2, query > SIZE_MAX / 4 ? SIZE_MAX : 4 * query);
    reports->max = size_max(all / 8, size_min(all / 2, REPORTS));
    http->responses.max = size_min(all / 8, MAX_RESPONSES);
    http->bodies.max = size_max(size_min(all / 8, MAX_BODIES), push);
    http->body_share = size_max(http->bodies.max / 2, push);
    http->idle = (unsigned)size_max(idle / n_lanes, 1);
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
    size_t reserved = size_min(limit / 4, RESERVED_FILES + FILES_PER_WORKER * (size_t)workers);
    int lowest = process_lowest_free_fd();
    size_t open = (size_t)(lowest < 0 ? 0 : lowest) + FILES_PER_LANE * n_lanes + FILES_ACCEPTOR + f->listen.n;
    size_t places = size_min((size_t)f->max_connections, limit - reserved > open ? limit - reserved - open : 0);
    http->max_fd = (int)(limit - reserved);
    http->places = (unsigned)size_max(places / n_lanes, 1);
    http->spare_places = http->min_places = (unsigned)size_max(size_min(reserved / 8, MIN_PLACES) / n_lanes, 1);
    http->max_accepted = (unsigned)size_max(size_min(reserved / 4, MAX_ACCEPTED), MIN_ACCEPTED);
}

int limits_worker_fd(const struct http_limits *http)
{
    return (int)((size_t)http->max_fd + (descriptor_limit() - (size_t)http->max_fd) / 2);
}

void limits_divide(const struct flags *f, unsigned n_lanes, unsigned workers, struct http_limits *http,
                   struct budget *queries, struct budget *reports)
{
    http_limits_init(http);
    http->idle_timeout = f->idle_conn_timeout;
    http->max_age = f->conn_timeout;
    http->per_client = (unsigned)f->max_connections_per_client;
    http->read_timeout = f->read_timeout;
    http->queue_timeout = f->query_queue_timeout;
    divide_memory(f, n_lanes, http, queries, reports);
    divide_descriptors(f, n_lanes, workers, http);
}
