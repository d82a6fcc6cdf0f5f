// SPDX-License-Identifier: Apache-2.0
#include "base/http/curl_library.h"

#include "base/lock_rank.h"
#include "base/os/file_work.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#define LIBCURL_FILE "libcurl.so.4" /* the interface of <curl/curl.h> since 7.16 */
#define LIBCURL_FUNCTIONS(X)                                                                                           \
    X(curl_easy_cleanup) X(curl_easy_getinfo) X(curl_easy_init) X(curl_easy_pause) X(curl_easy_reset)                  \
    X(curl_easy_setopt) X(curl_easy_strerror) X(curl_free) X(curl_global_init) X(curl_multi_add_handle)                \
    X(curl_multi_assign) X(curl_multi_cleanup) X(curl_multi_info_read) X(curl_multi_init) X(curl_multi_remove_handle)  \
    X(curl_multi_setopt) X(curl_multi_socket_action) X(curl_multi_strerror) X(curl_url) X(curl_url_cleanup)            \
    X(curl_url_get) X(curl_url_set)

enum { LOAD_HANG_MS = 5000 };

static struct { /* written before `library_is_loaded` */
#define LIBCURL_POINTER(name) __typeof__(name) *name;
    LIBCURL_FUNCTIONS(LIBCURL_POINTER)
} libcurl;
static atomic_bool library_is_loaded;

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct list library_waiting = {&library_waiting, &library_waiting};
static bool load_hangs;

static void library_lock_enter(void)
{
    lock_rank_enter(RANK_CURL_LIBRARY);
    pthread_mutex_lock(&library_lock);
}

static void library_lock_leave(void)
{
    lock_rank_leave(RANK_CURL_LIBRARY);
    pthread_mutex_unlock(&library_lock);
}

/* ---- loading, on a `files` thread ---- */

static bool library_find(void *library, const char *name, void *pointer)
{
    void *found = dlsym(library, name);
    memcpy(pointer, &found, sizeof found); /* ISO C has no conversion to a pointer to a function */
    return found != NULL;
}

static bool library_load(struct err *err)
{
    void *library = dlopen(LIBCURL_FILE, RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL)
        return err_set(err, ERR_UNAVAILABLE, "libcurl cannot be loaded: %s", dlerror());
#define LIBCURL_FIND(name)                                                                                             \
    if (!library_find(library, #name, &libcurl.name))                                                                  \
        return err_set(err, ERR_UNAVAILABLE, "libcurl cannot be used: " LIBCURL_FILE " has no " #name);
    LIBCURL_FUNCTIONS(LIBCURL_FIND)
    if (libcurl.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_UNAVAILABLE, "libcurl cannot be initialized");
    atomic_store_explicit(&library_is_loaded, true, memory_order_release);
    return true;
}

static void library_tell(struct loop_task *task)
{
    struct curl_library_request *r = CONTAINER(task, struct curl_library_request, _task);
    r->_posted = false;
    r->done(r);
}

static void library_post(struct curl_library_request *r, const struct err *err) /* with the lock */
{
    r->err = *err;
    r->_posted = true;
    r->_task.run = library_tell;
    loop_post(r->loop, &r->_task);
}

static void library_settle(const struct err *err, bool hangs)
{
    library_lock_enter();
    load_hangs = hangs;
    for (struct list *node; (node = list_pop_front(&library_waiting)) != NULL;) {
        struct curl_library_request *r = CONTAINER(node, struct curl_library_request, _node);
        r->_waiting = false;
        library_post(r, err);
    }
    library_lock_leave();
}

static const struct err no_response = {.kind = ERR_UNAVAILABLE, .text = "libcurl cannot be loaded: the file system does not respond"};

static const struct err no_thread = {.kind = ERR_UNAVAILABLE, .text = "libcurl cannot be loaded: no thread can be started"};

static void library_run(struct file_work *w UNUSED)
{
    struct err err = {.kind = ERR_NONE};
    if (!curl_library_loaded())
        (void)!library_load(&err);
    library_settle(&err, false);
}

static void library_hangs(struct file_work *w UNUSED) { library_settle(&no_response, true); }

static struct file_work library_work = {.run = library_run, .hangs = library_hangs, .hang_ms = LOAD_HANG_MS};

/* ---- requests ---- */

bool curl_library_loaded(void) { return atomic_load_explicit(&library_is_loaded, memory_order_acquire); }

void curl_library_ask(struct curl_library_request *r)
{
    library_lock_enter();
    bool asked = r->_waiting || r->_posted;
    if (!asked && load_hangs)
        library_post(r, &no_response);
    else if (!asked) {
        r->_waiting = true;
        list_push_back(&library_waiting, &r->_node);
    }
    bool begin = r->_waiting && !asked;
    library_lock_leave();
    if (begin && !file_work_in(&library_work, 0))
        library_settle(&no_thread, false);
}

void curl_library_cancel(struct curl_library_request *r)
{
    library_lock_enter();
    if (r->_waiting)
        list_remove(&r->_node);
    if (r->_posted)
        loop_unpost(r->loop, &r->_task);
    r->_waiting = r->_posted = false;
    library_lock_leave();
}

/* ---- the functions of libcurl ---- */

/* Three of them take one argument of a type that the option decides. */
CURLcode(curl_easy_setopt)(CURL *easy, CURLoption option, ...)
{
    CURLcode code;
    va_list arg;
    va_start(arg, option);
    if (option < CURLOPTTYPE_OBJECTPOINT)
        code = (libcurl.curl_easy_setopt)(easy, option, va_arg(arg, long));
    else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
        code = (libcurl.curl_easy_setopt)(easy, option, va_arg(arg, curl_off_t));
    else
        code = (libcurl.curl_easy_setopt)(easy, option, va_arg(arg, void *));
    va_end(arg);
    return code;
}

CURLMcode(curl_multi_setopt)(CURLM *multi, CURLMoption option, ...)
{
    CURLMcode code;
    va_list arg;
    va_start(arg, option);
    if ((int)option < CURLOPTTYPE_OBJECTPOINT)
        code = (libcurl.curl_multi_setopt)(multi, option, va_arg(arg, long));
    else if ((int)option >= CURLOPTTYPE_OFF_T)
        code = (libcurl.curl_multi_setopt)(multi, option, va_arg(arg, curl_off_t));
    else
        code = (libcurl.curl_multi_setopt)(multi, option, va_arg(arg, void *));
    va_end(arg);
    return code;
}

CURLcode(curl_easy_getinfo)(CURL *easy, CURLINFO info, ...)
{
    va_list arg;
    va_start(arg, info);
    CURLcode code = (libcurl.curl_easy_getinfo)(easy, info, va_arg(arg, void *));
    va_end(arg);
    return code;
}

CURL *curl_easy_init(void) { return libcurl.curl_easy_init(); }
void curl_easy_reset(CURL *easy) { libcurl.curl_easy_reset(easy); }
CURLcode curl_easy_pause(CURL *easy, int what) { return libcurl.curl_easy_pause(easy, what); }
void curl_easy_cleanup(CURL *easy) { libcurl.curl_easy_cleanup(easy); }
const char *curl_easy_strerror(CURLcode code) { return libcurl.curl_easy_strerror(code); }
void curl_free(void *p) { libcurl.curl_free(p); }

CURLM *curl_multi_init(void) { return libcurl.curl_multi_init(); }
CURLMcode curl_multi_cleanup(CURLM *multi) { return libcurl.curl_multi_cleanup(multi); }
CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy) { return libcurl.curl_multi_add_handle(multi, easy); }
CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy) { return libcurl.curl_multi_remove_handle(multi, easy); }
CURLMcode curl_multi_assign(CURLM *multi, curl_socket_t fd, void *arg) { return libcurl.curl_multi_assign(multi, fd, arg); }
CURLMsg *curl_multi_info_read(CURLM *multi, int *left) { return libcurl.curl_multi_info_read(multi, left); }
CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int bits, int *running)
{
    return libcurl.curl_multi_socket_action(multi, fd, bits, running);
}
const char *curl_multi_strerror(CURLMcode code) { return libcurl.curl_multi_strerror(code); }

CURLU *curl_url(void) { return libcurl.curl_url(); }
void curl_url_cleanup(CURLU *url) { libcurl.curl_url_cleanup(url); }
#if LIBCURL_VERSION_NUM >= 0x080000
#define LIBCURL_READ_ONLY const
#else
#define LIBCURL_READ_ONLY
#endif
CURLUcode curl_url_get(LIBCURL_READ_ONLY CURLU *url, CURLUPart part, char **text, unsigned flags)
{
    return libcurl.curl_url_get(url, part, text, flags);
}
CURLUcode curl_url_set(CURLU *url, CURLUPart part, const char *text, unsigned flags)
{
    return libcurl.curl_url_set(url, part, text, flags);
}
