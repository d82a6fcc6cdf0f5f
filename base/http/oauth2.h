// SPDX-License-Identifier: Apache-2.0
/* Tokens of OAuth 2.0 by client credentials (RFC 6749 4.4), for the Authorization header of requests.
 *
 * A token is fetched when the first request needs it, and again when it is about to expire or the file with the secret
 * has changed. Requests of all threads wait for one fetch, which runs on a thread for files (base/os/file_work.h), and
 * go on when it ends; a failed one is not repeated for a second, during which requests fail with its error. Users with
 * equal settings share a token, also over reloads.
 *
 * Any thread, unless stated otherwise; none of the functions waits, except that oauth2_get may for the secret's file.
 */
#ifndef BASE_HTTP_OAUTH2_H
#define BASE_HTTP_OAUTH2_H

#include "base/http/client.h"

struct secrets;
struct oauth2;
struct oauth2 *oauth2_get(const struct client_oauth2 *conf, struct err *err) MUST_USE; /* one reference */
void oauth2_unref(struct oauth2 *o); /* NULL is fine */
bool oauth2_check(const struct client_oauth2 *conf, struct err *err) MUST_USE;
/* Appends all settings, with the secrets: equal texts are equal settings. */
void oauth2_settings(const struct client_oauth2 *conf, struct buf *out);

struct oauth2_request { /* embed it; idle when zeroed except the first two fields */
    struct loop *loop;    /* the calling thread's */
    void (*done)(struct oauth2_request *r); /* runs in that loop */
    struct list _node;
    struct loop_task _task;
    bool _waiting, _posted;
};
bool oauth2_ready(struct oauth2 *o); /* oauth2_line needs no request before it */
/* True: oauth2_line has a token or an error; done is not called. False: done follows, then it has. */
bool oauth2_ask(struct oauth2 *o, struct oauth2_request *r) MUST_USE;
void oauth2_cancel(struct oauth2_request *r); /* on its loop's thread; done is not called; no effect when idle */
/* Appends "Authorization: TYPE TOKEN" and a line feed. */
bool oauth2_line(struct oauth2 *o, struct buf *out, struct err *err) MUST_USE;
void oauth2_secrets(struct oauth2 *o, struct secrets *list); /* token and client secret */

#endif
