// SPDX-License-Identifier: Apache-2.0
/* Threads and locks. Only base includes pthread.h. docs/architecture.md lists every thread and every mutex; nothing
 * else may lock. */
#ifndef BASE_OS_THREAD_H
#define BASE_OS_THREAD_H

#include "base/lock_rank.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* Minimum stack size in bytes, however low the system's limit (ulimit -s) is: the deepest query that is accepted uses
 * less than half of it, under AddressSanitizer too. Only touched pages take memory. */
enum { THREAD_STACK = 8 << 20 };
struct thread;
/* name: at most 15 bytes, shown by top -H. NULL with errno when no thread can be created (EAGAIN). */
struct thread *thread_start(const char *name, void (*run)(void *arg), void *arg) MUST_USE;
void thread_join(struct thread *t);                                                /* waits for its end and frees it */
void thread_detach(struct thread *t); /* frees it; it ends on its own */

struct mutex { void *_impl[6]; enum lock_rank _rank; };
void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_free(struct mutex *m);
void mutex_lock(struct mutex *m);
bool mutex_try(struct mutex *m) MUST_USE; /* false: another thread has it */
void mutex_unlock(struct mutex *m);

struct cond { void *_impl[7]; };
void cond_init(struct cond *c);
void cond_free(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
bool cond_wait_ms(struct cond *c, struct mutex *m, int64_t ms); /* false on timeout; below 0 is 0 */
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* Counts posts. Posting never waits, whatever the threads that wait are doing. */
struct semaphore { void *_impl[4]; };
void semaphore_init(struct semaphore *s); /* at 0 */
void semaphore_free(struct semaphore *s); /* after the last post that was waited for */
void semaphore_post(struct semaphore *s);
bool semaphore_wait_ms(struct semaphore *s, int64_t ms) MUST_USE; /* takes one post; false on timeout; below 0 is 0 */

unsigned thread_cores(void); /* cores available to the process: affinity and cgroup cpu.max, at least 1 */

#endif
