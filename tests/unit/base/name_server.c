// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/base/name_server.h"

#include "base/http/dns.h"
#include "base/os/thread.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 12, TYPE_A = 1, TYPE_AAAA = 28, TTL_S = NAME_SERVER_TTL_MS / 1000, LATE_MS = 200, LOG = 4096 };

static int name_socket;
static struct thread *name_thread;
static atomic_bool name_silent;
static atomic_int name_last;
static struct mutex name_mutex; /* guards the log */
static char name_log[LOG][64];
static unsigned name_logged;

static size_t read_name(const uint8_t *q, size_t n, char *name, size_t size)
{
    size_t at = HEAD, len = 0;
    while (at < n && q[at] && at + 1 + q[at] < n && len + q[at] + 2 < size) {
        if (len)
            name[len++] = '.';
        memcpy(name + len, q + at + 1, q[at]);
        len += q[at];
        at += 1 + (size_t)q[at];
    }
    name[len] = 0;
    return at + 1;
}

static size_t add_record(uint8_t *p, unsigned type, const char *address)
{
    uint8_t head[] = {0xc0, HEAD, 0, (uint8_t)type, 0, 1, 0, 0, 0, TTL_S, 0, type == TYPE_A ? 4 : 16};
    memcpy(p, head, sizeof head);
    inet_pton(type == TYPE_A ? AF_INET : AF_INET6, address, p + sizeof head);
    return sizeof head + head[11];
}

static unsigned add_addresses(uint8_t *p, size_t *at, const char *name, unsigned type)
{
    char moving[16];
    snprintf(moving, sizeof moving, "127.0.0.%d", name_last);
    bool many = strncmp(name, "many.", 5) == 0, empty = strncmp(name, "empty.", 6) == 0;
    if (type == TYPE_AAAA && many)
        *at += add_record(p + *at, type, "::1");
    if (type != TYPE_A || empty)
        return type == TYPE_AAAA && many;
    *at += add_record(p + *at, type, strncmp(name, "moving.", 7) == 0 ? moving : "127.0.0.1");
    if (many)
        *at += add_record(p + *at, type, "127.0.0.2");
    return many ? 2 : 1;
}

static void log_question(const char *name, unsigned type)
{
    mutex_lock(&name_mutex);
    if (type == TYPE_A && name_logged < LOG)
        snprintf(name_log[name_logged++], sizeof name_log[0], "%s", name);
    mutex_unlock(&name_mutex);
}

static void respond(uint8_t *q, size_t n, struct sockaddr_in *from)
{
    char name[64];
    size_t at = read_name(q, n, name, sizeof name) + 4;
    unsigned type = q[at - 3], answers = 0, code = 0;
    log_question(name, type);
    if (name_silent || strncmp(name, "silent", 6) == 0)
        return;
    if (strncmp(name, "absent", 6) == 0)
        code = 3;
    else if (strncmp(name, "broken", 6) == 0)
        code = 2;
    else
        answers = add_addresses(q, &at, name, type);
    q[2] = 0x84;
    q[3] = (uint8_t)(0x80 | code);
    q[7] = (uint8_t)answers;
    memset(q + 8, 0, 4);
    if (strncmp(name, "late", 4) == 0)
        usleep(LATE_MS * 1000);
    sendto(name_socket, q, at, 0, (struct sockaddr *)from, sizeof *from);
}

static void serve_names(void *arg UNUSED)
{
    uint8_t q[2048];
    struct sockaddr_in from;
    for (socklen_t size = sizeof from;; size = sizeof from) {
        ssize_t n = recvfrom(name_socket, q, 512, 0, (struct sockaddr *)&from, &size);
        if (n <= HEAD)
            return; /* name_server_stop */
        respond(q, (size_t)n, &from);
    }
}

void name_server_start(void)
{
    static char servers[32];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    name_socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(name_socket, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(name_socket, (struct sockaddr *)&at, &size), 0);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(at.sin_port));
    dns_use_servers(servers);
    mutex_init(&name_mutex, RANK_LEAF);
    name_logged = 0;
    name_silent = false;
    name_last = 1;
    name_thread = thread_start("names", serve_names, NULL);
}

void name_server_stop(void)
{
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    getsockname(name_socket, (struct sockaddr *)&at, &size);
    sendto(name_socket, "", 0, 0, (struct sockaddr *)&at, size);
    thread_join(name_thread);
    close(name_socket);
    mutex_free(&name_mutex);
    dns_use_servers(NULL);
}

void name_server_hush(bool silent) { name_silent = silent; }
void name_server_move(int last) { name_last = last; }

unsigned name_server_asked(const char *name)
{
    unsigned n = 0;
    mutex_lock(&name_mutex);
    for (unsigned i = 0; i < name_logged; i++)
        n += strcmp(name_log[i], name) == 0;
    mutex_unlock(&name_mutex);
    return n;
}
