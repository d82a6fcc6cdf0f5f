// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: a source of tokens (oauth2.c), and one fetch of a token (oauth2_fetch.c). */
#ifndef BASE_HTTP_OAUTH2_FETCH_H
#define BASE_HTTP_OAUTH2_FETCH_H

#include "base/http/oauth2.h"
#include "base/os/file_work.h"
#include "base/os/watched_file.h"

enum { TOKEN_FETCH_MS = 10000 }; /* for one request */

struct oauth2 {
    struct list node;             /* in sources */
    unsigned users;
    char *settings;               /* the key */
    char *client_id, *secret, *token_url, *form, *shown; /* shown: token_url without secrets */
    struct watched_file *secret_file; /* NULL: secret */
    struct client_profile *profile;   /* of requests for tokens */
    struct file_work work;
    bool fetching;
    struct list waiting;          /* requests */
    char *token;                  /* "TYPE TOKEN", or NULL */
    struct file_text *token_secret; /* the content of secret_file that it was fetched with; a reference */
    int64_t renew_at, expires_at; /* clock_mono_ms */
    int64_t retry_at;             /* after a failure */
    struct err failure;
    bool secret_in_form;          /* the server wants the credentials there; the fetching thread's */
};

struct token_fetch {
    struct oauth2 *source;
    struct file_text *secret_text; /* of secret_file; a reference */
    struct str secret;
    struct loop *loop;
    struct buf body;
    bool ended, refused;           /* refused: the server responded, but not with a token */
    char *token;                   /* "TYPE TOKEN", the caller's; NULL: see err */
    int64_t lifetime;              /* ms; INT64_MAX: it does not expire */
    struct err err;                /* without secrets */
};
/* On a thread that may wait: requests a token. The caller releases secret_text and body. */
void token_fetch_run(struct token_fetch *f);
/* Whether the text fits into a header line or a form. */
bool oauth2_check_text(const char *key, const char *text, struct err *err) MUST_USE;

#endif
