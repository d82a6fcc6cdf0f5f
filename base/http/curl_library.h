// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: libcurl, loaded when the first request needs it.
 *
 * libcurl and the 20 libraries that nothing else needs (OpenSSL, Kerberos, LDAP, SSH, ...) take 3 MB of memory and 5 ms
 * of CPU time, and a program whose targets, destinations and servers are all reached over http:// does without them
 * (client_plain.h). So it is not linked: curl_library.c defines those functions of curl/curl.h that the client calls,
 * and each calls the library's. None may be called before the library is loaded.
 *
 * A `files` thread loads it (base/os/file_work.h), so that no loop waits for a disk. It stays loaded. A failure (not
 * installed, no descriptor left) is the error of the requests that wait; the next request tries again.
 */
#ifndef BASE_HTTP_CURL_LIBRARY_H
#define BASE_HTTP_CURL_LIBRARY_H

#include "base/err.h"
#include "base/list.h"
#include "base/os/loop.h"

bool curl_library_loaded(void); /* any thread */

struct curl_library_request { /* embed it; zeroed but for the first two: not asked */
    struct loop *loop;                              /* of the thread that asks */
    void (*done)(struct curl_library_request *r);   /* in the loop: loaded, or `err` has the reason */
    struct err err;
    struct list _node;
    struct loop_task _task;
    bool _waiting, _posted;
};
void curl_library_ask(struct curl_library_request *r);    /* `done` follows, once; no effect when asked already */
void curl_library_cancel(struct curl_library_request *r); /* the loop's thread: `done` does not follow */

#endif
