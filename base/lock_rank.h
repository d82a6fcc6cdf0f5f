// SPDX-License-Identifier: Apache-2.0
/* Lock ranks: a deadlock between two locks needs two threads that take them in different orders, so every lock has a
 * rank and every thread takes locks by ascending rank.
 *
 * While a thread holds a lock it takes only locks of a higher rank, never a second one of the same rank. Builds with a
 * sanitizer (LOCK_RANKS) check it whenever a lock is taken and abort with both names; release builds check nothing.
 * All locks of the program are listed here; docs/architecture.md says what each guards.
 */
#ifndef BASE_LOCK_RANK_H
#define BASE_LOCK_RANK_H

#define LOCK_RANKS_LIST(X)                                                                                             \
    X(RANK_STATS, "stats")                       /* rendering; collectors take the locks below */                      \
    X(RANK_SERVICES, "services")                 /* current configuration and upstream */                              \
    X(RANK_SCRAPER, "scraper")                                                                                         \
    X(RANK_FAILURE_LOG, "failure log")                                                                                 \
    X(RANK_WRITER, "writer")                                                                                           \
    X(RANK_QUEUE_WALK, "queue walk")             /* a visit takes the locks of the recent store */                    \
    X(RANK_STRIPE_QUERIES, "recent store queries")                                                                     \
    X(RANK_STRIPE_NEXT, "recent store next")                                                                           \
    X(RANK_STRIPE, "recent store stripe")                                                                              \
    X(RANK_DESTINATION, "destination")                                                                                 \
    X(RANK_FILE_THREAD, "file thread")                                                                                 \
    X(RANK_QUEUE_DIR, "queue directory")                                                                               \
    X(RANK_QUEUE_INTAKE, "queue intake")                                                                               \
    X(RANK_QUEUE_LOCK, "queue lock file")                                                                              \
    X(RANK_FILE_WORK, "file work")                                                                                     \
    X(RANK_TOKENS, "tokens of clients")                                                                                    \
    X(RANK_CURL_LIBRARY, "loading of libcurl")                                                                         \
    X(RANK_TARGET_FILES, "target files")                                                                               \
    X(RANK_LOOP_JOB, "job of a loop")            /* posts */                                                            \
    X(RANK_COPIES, "copies")                                                                                           \
    X(RANK_COVERAGE, "coverage")                 /* of a group */                                                      \
    X(RANK_SERVER, "downstream server")                                                                                \
    X(RANK_WORKERS, "workers")                                                                                         \
    X(RANK_AUTH, "logins")                       /* posts */                                                            \
    X(RANK_LOOP, "loop")                         /* posted tasks */                                                    \
    X(RANK_LEAF, "leaf")                         /* nothing is taken while it is held */
#define LOCK_RANK_ID(id, name) id,
enum lock_rank { LOCK_RANKS_LIST(LOCK_RANK_ID) N_LOCK_RANKS };

/* Called by mutex_lock and mutex_unlock, and beside the few locks that are not a struct mutex because they exist before
 * main. tried: the lock was had without waiting, so that its order does not matter. */
#ifdef LOCK_RANKS
void lock_rank_enter(enum lock_rank rank);
void lock_rank_tried(enum lock_rank rank);
void lock_rank_leave(enum lock_rank rank);
#else
static inline void lock_rank_enter(enum lock_rank rank) { (void)rank; }
static inline void lock_rank_tried(enum lock_rank rank) { (void)rank; }
static inline void lock_rank_leave(enum lock_rank rank) { (void)rank; }
#endif

#endif
