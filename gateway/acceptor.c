// SPDX-License-Identifier: Apache-2.0
/* Listening sockets, a signalfd and an alarm in one loop. */
#include "gateway/acceptor.h"

#include "base/os/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct acceptor {
    struct acceptor_conf conf;
    struct loop *loop;
    struct thread *thread;
    struct loop_fd signals;
    struct loop_timer alarm;
    void (*on_late)(void *arg);
    struct http_listener *listeners[LISTENERS_MAX];
    size_t n;
};

static sigset_t acceptor_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

void acceptor_block_signals(void)
{
    sigset_t set = acceptor_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void acceptor_on_signals(struct loop_fd *w, uint32_t events UNUSED)
{
    struct acceptor *a = CONTAINER(w, struct acceptor, signals);
    struct signalfd_siginfo info;
    while (read(w->fd, &info, sizeof info) == sizeof info)
        a->conf.on_signal(a, a->conf.arg, (int)info.ssi_signo);
}

static void acceptor_on_alarm(struct loop_timer *t)
{
    struct acceptor *a = CONTAINER(t, struct acceptor, alarm);
    a->on_late(a->conf.arg);
}

void acceptor_alarm(struct acceptor *a, int64_t ms, void (*on_late)(void *arg))
{
    a->on_late = on_late;
    loop_timer_in(a->loop, &a->alarm, ms);
}

static bool acceptor_listen(struct acceptor *a, struct err *err)
{
    for (size_t i = 0; i < a->conf.n_listeners; i++) {
        a->listeners[a->n] = http_listen(&a->conf.listeners[i], a->loop, a->conf.servers, a->conf.n_servers,
                                         a->conf.limits, err);
        if (a->listeners[a->n] == NULL)
            return false;
        a->n++;
    }
    return true;
}

static bool acceptor_watch_signals(struct acceptor *a)
{
    sigset_t set = acceptor_signals();
    a->signals.run = acceptor_on_signals;
    a->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return a->signals.fd >= 0 && loop_watch(a->loop, &a->signals, EPOLLIN);
}

static void acceptor_run(void *arg) { loop_run(((struct acceptor *)arg)->loop); }

static bool acceptor_begin(struct acceptor *a, struct err *err)
{
    if ((a->loop = loop_new()) != NULL) {
        if (!acceptor_listen(a, err))
            return false;
        if (acceptor_watch_signals(a) && (a->thread = thread_start("acceptor", acceptor_run, a)) != NULL)
            return true;
    }
    return err_set(err, ERR_UNAVAILABLE, "cannot start the acceptor: %s; raise the limit of %s", strerror(errno),
                   a->loop && a->signals.fd >= 0 ? "threads (ulimit -u, pids cgroup)" : "open files (ulimit -n)");
}

struct acceptor *acceptor_start(const struct acceptor_conf *conf, struct err *err)
{
    struct acceptor *a = mem_zalloc(sizeof *a);
    *a = (struct acceptor){.conf = *conf, .signals.fd = -1, .alarm.run = acceptor_on_alarm};
    if (acceptor_begin(a, err))
        return a;
    acceptor_stop(a);
    return NULL;
}

const struct http_listener *acceptor_listener(const struct acceptor *a, size_t i) { return a->listeners[i]; }

void acceptor_stop(struct acceptor *a)
{
    if (a == NULL)
        return;
    if (a->thread) {
        loop_stop(a->loop);
        thread_join(a->thread);
    }
    while (a->n > 0)
        http_listener_close(a->listeners[--a->n]);
    if (a->signals.fd >= 0) {
        loop_unwatch(a->loop, &a->signals);
        close(a->signals.fd);
    }
    if (a->loop) {
        loop_timer_stop(a->loop, &a->alarm);
        loop_free(a->loop);
    }
    mem_free(a);
}
