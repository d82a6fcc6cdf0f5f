// SPDX-License-Identifier: Apache-2.0
/* Threads, mutexes and condition variables over pthreads; a failing lock operation ends the process. */
#include "base/os/thread.h"

#include "base/os/cgroup.h"
#include "base/refs.h"
#include "base/text/duration.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct mutex) >= sizeof(pthread_mutex_t), "struct mutex is too small for this C library");
_Static_assert(sizeof(struct cond) >= sizeof(pthread_cond_t), "struct cond is too small for this C library");
_Static_assert(sizeof(struct semaphore) >= sizeof(sem_t), "struct semaphore is too small for this C library");

struct thread {
    struct refs refs; /* one held by the thread until it runs, one by the owner */
    pthread_t id;
    char name[16];
    void (*run)(void *arg);
    void *arg;
};

/* A failed lock operation would corrupt data silently, and no caller could handle it. */
static void must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "sluice: %s: %s\n", what, strerror(rc));
        abort();
    }
}

static void thread_unref(struct thread *t)
{
    if (refs_drop(&t->refs))
        mem_free(t);
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    void (*run)(void *arg) = t->run;
    void *run_arg = t->arg;
    pthread_setname_np(pthread_self(), t->name);
    thread_unref(t);
    run(run_arg);
    return NULL;
}

/* The main thread handles signals: a new thread blocks all but those that a fault raises. */
static void mask_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all;
    sigfillset(&all);
    for (size_t i = 0; i < LEN(faults); i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

struct thread *thread_start(const char *name, void (*run)(void *arg), void *arg)
{
    struct thread *t = mem_zalloc(sizeof *t);
    refs_init(&t->refs);
    refs_take(&t->refs); /* the thread's */
    snprintf(t->name, sizeof t->name, "%s", name);
    t->run = run;
    t->arg = arg;
    sigset_t before;
    mask_signals(&before);
    pthread_attr_t attr;
    size_t stack;
    pthread_attr_init(&attr);
    if (pthread_attr_getstacksize(&attr, &stack) == 0 && stack < THREAD_STACK)
        pthread_attr_setstacksize(&attr, THREAD_STACK);
    int rc = pthread_create(&t->id, &attr, thread_main, t);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return t;
    mem_free(t);
    errno = rc;
    return NULL;
}

void thread_join(struct thread *t)
{
    must(pthread_join(t->id, NULL), "cannot join a thread");
    thread_unref(t);
}

void thread_detach(struct thread *t)
{
    must(pthread_detach(t->id), "cannot detach a thread");
    thread_unref(t);
}

static pthread_mutex_t *mutex_of(struct mutex *m) { return (void *)m; }
static pthread_cond_t *cond_of(struct cond *c) { return (void *)c; }

void mutex_init(struct mutex *m, enum lock_rank rank)
{
    must(pthread_mutex_init(mutex_of(m), NULL), "mutex_init");
    m->_rank = rank;
}

void mutex_free(struct mutex *m) { must(pthread_mutex_destroy(mutex_of(m)), "mutex_free"); }
void mutex_lock(struct mutex *m)
{
    lock_rank_enter(m->_rank);
    must(pthread_mutex_lock(mutex_of(m)), "mutex_lock");
}

bool mutex_try(struct mutex *m)
{
    int rc = pthread_mutex_trylock(mutex_of(m));
    if (rc == EBUSY)
        return false;
    must(rc, "mutex_try");
    lock_rank_tried(m->_rank);
    return true;
}

void mutex_unlock(struct mutex *m)
{
    lock_rank_leave(m->_rank);
    must(pthread_mutex_unlock(mutex_of(m)), "mutex_unlock");
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    must(pthread_cond_init(cond_of(c), &attr), "cond_init");
    pthread_condattr_destroy(&attr);
}

void cond_free(struct cond *c) { must(pthread_cond_destroy(cond_of(c)), "cond_free"); }
void cond_wait(struct cond *c, struct mutex *m) { must(pthread_cond_wait(cond_of(c), mutex_of(m)), "cond_wait"); }

bool cond_wait_ms(struct cond *c, struct mutex *m, int64_t ms)
{
    struct timespec until = clock_mono_after(ms < 0 ? 0 : ms);
    int rc = pthread_cond_timedwait(cond_of(c), mutex_of(m), &until);
    if (rc == ETIMEDOUT)
        return false;
    must(rc, "cond_wait_ms");
    return true;
}

void cond_signal(struct cond *c) { must(pthread_cond_signal(cond_of(c)), "cond_signal"); }
void cond_broadcast(struct cond *c) { must(pthread_cond_broadcast(cond_of(c)), "cond_broadcast"); }

static sem_t *semaphore_of(struct semaphore *s) { return (void *)s; }

static void semaphore_must(int rc, const char *what) { must(rc ? errno : 0, what); }

void semaphore_init(struct semaphore *s) { semaphore_must(sem_init(semaphore_of(s), 0, 0), "semaphore_init"); }
void semaphore_free(struct semaphore *s) { semaphore_must(sem_destroy(semaphore_of(s)), "semaphore_free"); }
void semaphore_post(struct semaphore *s) { semaphore_must(sem_post(semaphore_of(s)), "semaphore_post"); }

bool semaphore_wait_ms(struct semaphore *s, int64_t ms)
{
    struct timespec until = clock_mono_after(ms < 0 ? 0 : ms);
    int rc;
    while ((rc = sem_clockwait(semaphore_of(s), CLOCK_MONOTONIC, &until)) < 0 && errno == EINTR) {
    }
    if (rc < 0 && errno == ETIMEDOUT)
        return false;
    semaphore_must(rc, "semaphore_wait_ms");
    return true;
}

unsigned thread_cores(void)
{
    cpu_set_t set;
    long all = sysconf(_SC_NPROCESSORS_ONLN); /* for machines with more cores than the set can hold */
    unsigned n = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : all > 0 ? (unsigned)all : 1;
    double quota = cgroup_cores();
    if (quota > 0 && quota < n)
        n = (unsigned)(quota + 0.999);
    return n > 0 ? n : 1;
}
