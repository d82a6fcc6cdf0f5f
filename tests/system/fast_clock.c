// SPDX-License-Identifier: Apache-2.0
/* A clock that runs $FAST_CLOCK times as fast, by LD_PRELOAD: all clocks but those of CPU time, and the waits of epoll,
 * conditions and sleeps, which end after that much less time. A day of the program then takes minutes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name)                                     \
    static __typeof__(&name) real;                     \
    if (!real)                                         \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum { SECOND_NS = 1000000000 };

static int64_t speed = 1, begin_wall, begin_mono;

static int64_t nanoseconds(struct timespec t) { return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec; }

static struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

static int64_t clock_now(clockid_t id)
{
    REAL(clock_gettime);
    struct timespec t;
    real(id, &t);
    return nanoseconds(t);
}

static __attribute__((constructor)) void begin(void)
{
    const char *text = getenv("FAST_CLOCK");
    begin_wall = clock_now(CLOCK_REALTIME);
    begin_mono = clock_now(CLOCK_MONOTONIC);
    speed = text ? atoll(text) : 1;
}

static int64_t *begin_of(clockid_t id)
{
    switch (id) {
    case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: return &begin_wall;
    case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_COARSE: case CLOCK_MONOTONIC_RAW: case CLOCK_BOOTTIME: return &begin_mono;
    default: return NULL;
    }
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    REAL(clock_gettime);
    int rc = real(id, t);
    const int64_t *from = begin_of(id);
    if (rc == 0 && from && *from)
        *t = to_timespec(*from + (nanoseconds(*t) - *from) * speed);
    return rc;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *t)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t)
        *t = now.tv_sec;
    return now.tv_sec;
}

int epoll_wait(int fd, struct epoll_event *events, int n, int ms)
{
    struct timespec wait = to_timespec((int64_t)ms * 1000000 / speed);
    return epoll_pwait2(fd, events, n, ms < 0 ? NULL : &wait, NULL);
}

int nanosleep(const struct timespec *wait, struct timespec *left)
{
    REAL(nanosleep);
    struct timespec less = to_timespec(nanoseconds(*wait) / speed);
    return real(&less, left);
}

int usleep(useconds_t us) { return nanosleep(&(struct timespec){us / 1000000, (long)(us % 1000000) * 1000}, NULL); }

static struct timespec sooner(const struct timespec *until, int64_t from)
{
    const time_t never = INT64_MAX / SECOND_NS / 2; /* an end beyond it is none */
    if (until->tv_sec >= never)
        return *until;
    int64_t ns = nanoseconds(*until);
    return to_timespec(ns > from ? from + (ns - from) / speed : ns);
}

/* `until` is of the wall clock or of the monotonic one, which counts from the start of the machine. */
int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict until)
{
    REAL(pthread_cond_timedwait);
    struct timespec at = sooner(until, until->tv_sec >= begin_wall / SECOND_NS ? begin_wall : begin_mono);
    return real(c, m, &at);
}

int pthread_cond_clockwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, clockid_t id,
                           const struct timespec *restrict until)
{
    REAL(pthread_cond_clockwait);
    struct timespec at = sooner(until, id == CLOCK_REALTIME ? begin_wall : begin_mono);
    return real(c, m, id, &at);
}
