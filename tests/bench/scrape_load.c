// SPDX-License-Identifier: Apache-2.0
/* scrape_load TARGETS SERIES INTERVAL CHURN [gzip] [PAGE...]   the targets and the sink of scrape_bench.py, cheap beside what is
 * measured. Prints two free ports of the loopback device, that of the targets and that of the sink.
 *
 * Targets. The n-th is any path at 127.0.(1 + n / 250).(1 + n % 250). Its page has families of 20 series; three in ten
 * values are fractions, the rest integers, all of which grow with each scrape. CHURN series are replaced per scrape (a
 * fraction is owed to the next), the oldest first, by ones that no other target has. With files of pages, all targets
 * expose these in turn instead, each beginning with another one. INTERVAL is in seconds. A client that accepts gzip gets it with "gzip".
 *
 * Sink. Takes whatever is posted, and counts it. GET /counts on its port: "PAGES SAMPLES BODIES BYTES ON_TIME", the last the
 * number of pages that were requested an interval after the one before it, give or take 10 ms. Any other GET responds 1:
 * vmagent asks that way whether the receiver takes zstd.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <libdeflate.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FAMILY = 20, LINE = 256, HEAD = 512, RECEIVE = 256 << 10, BATCH = 64, COUNTS = 128, ON_TIME_NS = 10000000 };

struct text { char *p; size_t n; };
struct target { uint64_t random; double owed; int64_t asked_ns; uint32_t oldest, turn; uint64_t *values; uint32_t *generations; };
struct peer {
    int fd;
    bool sink, writes;
    struct target *target;
    size_t in, out, sent;
    uint64_t body; /* bytes of a request's body still to come */
    char head[2 * HEAD];
    char *response;
};

static struct target *targets;
static size_t n_targets, n_series, n_files;
static struct text *files;
static size_t *file_samples;
static double churn;
static int64_t interval_ns;
static bool gzips;
static uint64_t pages, on_time, samples, bodies, body_bytes;
static int events;
static char *page, *packed;
static size_t page_cap, packed_cap;
static struct libdeflate_compressor *compressor;

static void fail(const char *what)
{
    fprintf(stderr, "scrape_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *checked(void *p)
{
    if (p == NULL)
        fail("memory");
    return p;
}

/* ---- pages ---- */

static uint64_t next_random(struct target *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random;
}

static char *put_text(char *to, const char *text, size_t n)
{
    memcpy(to, text, n);
    return to + n;
}
#define PUT(to, literal) put_text(to, literal, sizeof(literal) - 1)

static char *put_number(char *to, uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    while (n > 0)
        *to++ = digits[--n];
    return to;
}

static char *put_series(char *to, const struct target *t, size_t i)
{
    static const char *const modes[] = {"idle", "user", "system", "iowait"};
    size_t family = i / FAMILY, member = i % FAMILY;
    uint64_t value = t->values[i]; /* in units of 0.0001 */
    if (member == 0) {
        to = put_number(PUT(to, "# HELP node_family_"), family);
        to = put_number(PUT(to, "_total What family "), family);
        to = put_number(PUT(to, " counts, over all of its members.\n# TYPE node_family_"), family);
        to = PUT(to, "_total counter\n");
    }
    to = put_number(PUT(to, "node_family_"), family);
    to = put_number(PUT(to, "_total{device=\"dev"), member / 4);
    to = put_text(PUT(to, "\",mode=\""), modes[member % 4], strlen(modes[member % 4]));
    to = put_number(PUT(to, "\",container=\"web-"), t->generations[i]);
    to = put_number(PUT(to, "\"} "), value / 10000);
    if (i % 10 < 3) {
        uint64_t fraction = 10000 + value % 10000;
        char *point = to;
        to = put_number(to, fraction);
        *point = '.';
    }
    return PUT(to, "\n");
}

static struct text target_page(struct target *t)
{
    if (n_files > 0) {
        size_t k = t->turn++ % n_files;
        samples += file_samples[k];
        return files[k];
    }
    for (t->owed += churn; t->owed >= 1; t->owed--) {
        t->generations[t->oldest] = (uint32_t)next_random(t);
        t->oldest = (t->oldest + 1) % (uint32_t)n_series;
    }
    uint64_t step = next_random(t) % 1000000;
    char *to = page;
    for (size_t i = 0; i < n_series; i++) {
        t->values[i] += step * (i % 7 + 1);
        to = put_series(to, t, i);
    }
    samples += n_series;
    return (struct text){page, (size_t)(to - page)};
}

static struct target *target_at(uint32_t address)
{
    size_t n = ((address >> 8 & 255) - 1) * 250 + (address & 255) - 1;
    if (n >= n_targets)
        return NULL;
    struct target *t = &targets[n];
    if (t->random > 0)
        return t;
    t->random = 0x9e3779b97f4a7c15u * (n + 1);
    t->turn = (uint32_t)n;
    t->values = checked(calloc(n_series, sizeof *t->values));
    t->generations = checked(calloc(n_series, sizeof *t->generations));
    for (size_t i = 0; i < n_series; i++)
        t->values[i] = next_random(t) % (1u << 30) * 10000;
    return t;
}

static void read_file(const char *path, size_t i)
{
    FILE *f = checked(fopen(path, "r"));
    char *p = checked(malloc(16 << 20));
    size_t n = fread(p, 1, 16 << 20, f);
    fclose(f);
    files[i] = (struct text){p, n};
    for (size_t at = 0; at < n; at++)
        file_samples[i] += p[at] != '#' && (at == 0 || p[at - 1] == '\n');
}

/* ---- exchanges ---- */

static void hang_up(struct peer *p)
{
    close(p->fd);
    free(p->response);
    free(p);
}

/* False: the connection is closed. */
static bool send_response(struct peer *p)
{
    while (p->sent < p->out) {
        ssize_t n = send(p->fd, p->response + p->sent, p->out - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            hang_up(p);
            return false;
        }
        p->sent += (size_t)n;
    }
    bool rest = p->sent < p->out;
    if (rest != p->writes)
        epoll_ctl(events, EPOLL_CTL_MOD, p->fd,
                  &(struct epoll_event){.events = EPOLLIN | (rest ? EPOLLOUT : 0u), .data.ptr = p});
    p->writes = rest;
    if (!rest) {
        free(p->response);
        p->response = NULL;
        p->out = p->sent = 0;
    }
    return true;
}

static bool respond(struct peer *p, const char *status, const char *fields, struct text body)
{
    free(p->response);
    p->response = checked(malloc(HEAD + body.n));
    int head = snprintf(p->response, HEAD, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, body.n, fields);
    if (body.n > 0)
        memcpy(p->response + head, body.p, body.n);
    p->out = (size_t)head + body.n;
    p->sent = 0;
    return send_response(p);
}

static void count_time(struct target *t)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec, late_ns = now_ns - t->asked_ns - interval_ns;
    on_time += late_ns >= -ON_TIME_NS && late_ns <= ON_TIME_NS;
    t->asked_ns = now_ns;
}

static bool respond_page(struct peer *p, bool packs)
{
    static const char plain[] = "Content-Type: text/plain; version=0.0.4\r\n";
    static const char coded[] = "Content-Type: text/plain; version=0.0.4\r\nContent-Encoding: gzip\r\n";
    count_time(p->target);
    struct text body = target_page(p->target);
    pages++;
    if (!packs)
        return respond(p, "200 OK", plain, body);
    body = (struct text){packed, libdeflate_gzip_compress(compressor, body.p, body.n, packed, packed_cap)};
    return respond(p, "200 OK", coded, body);
}

static bool respond_sink(struct peer *p)
{
    char counts[COUNTS];
    if (strncmp(p->head, "POST", 4) == 0)
        return respond(p, "204 No Content", "", (struct text){0});
    if (strncmp(p->head, "GET /counts", 11) != 0)
        return respond(p, "200 OK", "", (struct text){"1", 1});
    int n = snprintf(counts, sizeof counts, "%llu %llu %llu %llu %llu\n", (unsigned long long)pages, (unsigned long long)samples,
                     (unsigned long long)bodies, (unsigned long long)body_bytes,
                     (unsigned long long)on_time);
    return respond(p, "200 OK", "", (struct text){counts, (size_t)n});
}

/* The value of a header, or "". */
static const char *field(const char *head, const char *name)
{
    for (const char *line = strchr(head, '\n'); line; line = strchr(line + 1, '\n'))
        if (strncasecmp(line + 1, name, strlen(name)) == 0 && line[1 + strlen(name)] == ':')
            return line + 2 + strlen(name);
    return "";
}

/* False: the connection is closed. */
static bool finish_request(struct peer *p)
{
    const char *accepts = field(p->head, "accept-encoding"), *end = strchr(accepts, '\n');
    const char *gzip = strstr(accepts, "gzip");
    p->in = 0;
    if (p->sink) {
        bodies += strncmp(p->head, "POST", 4) == 0;
        return respond_sink(p);
    }
    return respond_page(p, gzips && gzip && end && gzip < end);
}

static bool take_bytes(struct peer *p, const char *in, size_t n)
{
    while (n > 0) {
        size_t part = p->body < n ? (size_t)p->body : n;
        if (p->body > 0) {
            p->body -= part;
            body_bytes += part;
            in += part;
            n -= part;
            if (p->body == 0 && !finish_request(p))
                return false;
            continue;
        }
        if (p->in + 1 == sizeof p->head) {
            hang_up(p);
            return false;
        }
        p->head[p->in++] = *in++;
        n--;
        p->head[p->in] = 0;
        if (p->in < 4 || memcmp(p->head + p->in - 4, "\r\n\r\n", 4) != 0)
            continue;
        p->body = strtoull(field(p->head, "content-length"), NULL, 10);
        if (p->body == 0 && !finish_request(p))
            return false;
    }
    return true;
}

static void on_event(struct peer *p, uint32_t bits)
{
    static char in[RECEIVE];
    if ((bits & EPOLLOUT) && !send_response(p))
        return;
    if (!(bits & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        return;
    ssize_t n = recv(p->fd, in, sizeof in, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        hang_up(p);
    else
        take_bytes(p, in, (size_t)n);
}

/* ---- listening ---- */

static int listen_on(uint32_t address, unsigned *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo");
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) < 0 || listen(fd, 4096) < 0)
        fail("listen");
    getsockname(fd, (struct sockaddr *)&at, &size);
    *port = ntohs(at.sin_port);
    return fd;
}

static void accept_peer(int listener, bool sink)
{
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    struct peer *p = checked(calloc(1, sizeof *p));
    p->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    p->sink = sink;
    if (p->fd >= 0 && getsockname(p->fd, (struct sockaddr *)&at, &size) == 0)
        p->target = target_at(ntohl(at.sin_addr.s_addr));
    if (p->fd < 0 || (!sink && p->target == NULL))
        hang_up(p);
    else
        epoll_ctl(events, EPOLL_CTL_ADD, p->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = p});
}

static void serve(const int listeners[2])
{
    struct epoll_event ready[BATCH];
    for (;;) {
        int n = epoll_wait(events, ready, BATCH, -1);
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr == &listeners[0] || ready[i].data.ptr == &listeners[1])
                accept_peer(*(const int *)ready[i].data.ptr, ready[i].data.ptr == &listeners[1]);
            else
                on_event(ready[i].data.ptr, ready[i].events);
    }
}

int main(int argc, char **argv)
{
    static int listeners[2];
    struct rlimit limit;
    unsigned ports[2];
    if (argc < 5) {
        fprintf(stderr, "usage: scrape_load TARGETS SERIES INTERVAL CHURN [gzip] [PAGE...]\n");
        return 2;
    }
    n_targets = strtoul(argv[1], NULL, 10);
    n_series = strtoul(argv[2], NULL, 10);
    interval_ns = (int64_t)(strtod(argv[3], NULL) * 1e9);
    churn = strtod(argv[4], NULL);
    gzips = argc > 5 && strcmp(argv[5], "gzip") == 0;
    n_files = (size_t)(argc - 5 - gzips);
    files = checked(calloc(n_files + 1, sizeof *files));
    file_samples = checked(calloc(n_files + 1, sizeof *file_samples));
    page_cap = n_series * 2 * LINE;
    for (size_t i = 0; i < n_files; i++) {
        read_file(argv[5 + gzips + i], i);
        page_cap = files[i].n > page_cap ? files[i].n : page_cap;
    }
    targets = checked(calloc(n_targets, sizeof *targets));
    page = checked(malloc(page_cap));
    compressor = checked(libdeflate_alloc_compressor(1));
    packed_cap = libdeflate_gzip_compress_bound(compressor, page_cap);
    packed = checked(malloc(packed_cap));
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    events = epoll_create1(0);
    for (int i = 0; i < 2; i++) {
        listeners[i] = listen_on(i == 0 ? INADDR_ANY : INADDR_LOOPBACK, &ports[i]);
        epoll_ctl(events, EPOLL_CTL_ADD, listeners[i], &(struct epoll_event){.events = EPOLLIN, .data.ptr = &listeners[i]});
    }
    printf("%u %u\n", ports[0], ports[1]);
    fflush(stdout);
    serve(listeners);
}
