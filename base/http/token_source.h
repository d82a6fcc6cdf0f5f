// SPDX-License-Identifier: Apache-2.0
/* Credentials that expire and are fetched from a server, for the headers of requests: tokens of OAuth 2.0 (oauth2.h).
 *
 * A token is fetched when the first request needs it, and again when it is about to expire or the file with the secret
 * has changed. Requests of all threads wait for one fetch, which runs on a thread for files (base/os/file_work.h), and
 * go on when it ends; a failed one is not repeated for a second, during which requests fail with its error. Users with
 * equal settings share a token, also over reloads.
 *
 * Any thread, unless stated otherwise; none of the functions waits, except that making a kind's settings may for the
 * secret's file.
 */
#ifndef BASE_HTTP_TOKEN_SOURCE_H
#define BASE_HTTP_TOKEN_SOURCE_H

#include "base/http/client.h"
#include "base/os/file_work.h"
#include "base/os/watched_file.h"

struct secrets;
struct token_fetch;
struct token_source;

/* ---- for users of tokens ---- */

void token_source_unref(struct token_source *o); /* NULL is fine */

struct token_request { /* embed it; idle when zeroed except the first two fields */
    struct loop *loop;    /* the calling thread's */
    void (*done)(struct token_request *r); /* runs in that loop */
    struct list _node;
    struct loop_task _task;
    bool _waiting, _posted;
};
bool token_ready(struct token_source *o); /* token_read needs no request before it */
/* True: token_read has a token or an error; done is not called. False: done follows, then it has. */
bool token_ask(struct token_source *o, struct token_request *r) MUST_USE;
void token_cancel(struct token_request *r); /* on its loop's thread; done is not called; no effect when idle */
bool token_read(struct token_source *o, struct buf *out, struct err *err) MUST_USE; /* appends the token */
void token_source_secrets(struct token_source *o, struct secrets *list);
const char *token_source_server(const struct token_source *o); /* of its kind, for errors */

/* ---- for kinds of tokens ---- */

struct token_source_kind {
    const char *name;   /* of the configuration section; begins errors */
    const char *server; /* what the token comes from, for errors */
    const char *secret_key; /* key of the file with the secret */
    /* On a thread that may wait: sets token and lifetime, or err. */
    void (*fetch)(struct token_fetch *f);
    /* Adds the secrets in the settings, `secret` among them, and in the token, which is NULL if there is none. */
    void (*secrets)(const void *state, struct str secret, const char *token, struct secrets *list);
    void (*free)(void *state);
};
struct token_settings {
    const struct token_source_kind *kind;
    char *settings;      /* equal texts are equal settings, which share a source */
    void *state;         /* the kind's */
    char *secret;        /* NULL: none, or in secret_file */
    struct watched_file *secret_file; /* NULL: none; the token is fetched again when its content changes */
    int64_t longest_ms;  /* a fetch that takes longer is reported */
};
/* One reference. Takes settings, state, secret and secret_file. */
struct token_source *token_source_get(const struct token_settings *made);

struct token_fetch {
    const struct token_source *source;
    const void *state;             /* of the kind */
    struct file_text *secret_text; /* of secret_file; a reference */
    struct str secret;             /* NUL-terminated */
    char *token;                   /* the result; NULL: see err */
    int64_t lifetime;              /* ms; INT64_MAX: it does not expire */
    struct err err;
    struct file_work *_work;
    struct loop *_loop;
    struct client *_client;
};
enum { TOKEN_FETCH_MS = 10000 /* for one request */, TOKEN_RESPONSE_MAX = 1 << 20 };
struct token_response { int status; /* 0: none, see err */ struct buf body; struct err err; };
/* Sends a request and waits for the response; the body is the caller's to free. data, done, arg, and if they are 0,
 * timeout_ms and max_body are set here. */
void token_fetch_send(struct token_fetch *f, struct client_request req, struct token_response *response);
/* Sets err: "oauth2: WHY". Returns false. */
bool token_fetch_fail(struct token_fetch *f, enum err_kind kind, const char *format, ...) PRINTF(3, 4);

#endif
