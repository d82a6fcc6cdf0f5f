// SPDX-License-Identifier: Apache-2.0
/* Sources of tokens, one for each set of settings in use: when a fetch ends, its token or error is stored, and all
 * requests that wait are posted. A fetch is straight-line code: it runs a loop with a client until each response is
 * complete. */
#include "base/http/token_source.h"

#include "base/lock_rank.h"
#include "base/text/duration.h"
#include "base/text/secrets.h"
#include "base/text/url.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    RETRY_MS = 1000,        /* after a failure */
    MARGIN_MS = 10000,      /* before the expiry, or a quarter of the lifetime */
    FETCH_TURN_MS = 100,    /* how soon a dropped fetch ends */
};

struct token_source {
    struct list node;             /* in sources */
    unsigned users;
    struct token_settings made;
    struct file_work work;
    bool fetching;
    struct list waiting;          /* requests */
    char *token;                  /* or NULL */
    struct file_text *token_secret; /* the content of secret_file that it was fetched with; a reference */
    int64_t renew_at, expires_at; /* clock_mono_ms */
    int64_t retry_at;             /* after a failure */
    struct err failure;
};

static pthread_mutex_t token_lock = PTHREAD_MUTEX_INITIALIZER; /* guards sources, and users to failure of each */
static struct list sources = {&sources, &sources};

static void token_lock_enter(void)
{
    lock_rank_enter(RANK_TOKENS);
    pthread_mutex_lock(&token_lock);
}

static void token_lock_leave(void)
{
    lock_rank_leave(RANK_TOKENS);
    pthread_mutex_unlock(&token_lock);
}

/* ---- a fetch, on its thread ---- */

bool token_fetch_fail(struct token_fetch *f, enum err_kind kind, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    err_set(&f->err, kind, "%s: %s", f->source->made.kind->name, buf_z(&text));
    buf_free(&text);
    return false;
}

struct token_exchange { struct token_response *response; bool ended; };

/* The client limits the body. */
static bool token_take_data(void *arg, const struct client_reply *reply UNUSED, struct str piece, struct err *err UNUSED)
{
    buf_add_str(&((struct token_exchange *)arg)->response->body, piece);
    return true;
}

static void token_take_reply(void *arg, const struct client_reply *reply)
{
    struct token_exchange *x = arg;
    x->response->status = reply->status;
    x->response->err = reply->err;
    x->ended = true;
}

void token_fetch_send(struct token_fetch *f, struct client_request req, struct token_response *response)
{
    struct token_exchange x = {.response = response};
    *response = (struct token_response){.err = {0}};
    if (f->_loop == NULL && (f->_loop = loop_new()) != NULL)
        f->_client = client_new(f->_loop, &(struct client_settings){.max_inflight = 1});
    if (f->_loop == NULL) {
        err_set(&response->err, ERR_UNAVAILABLE, "no descriptors left");
        return;
    }
    req.timeout_ms = req.timeout_ms ? req.timeout_ms : TOKEN_FETCH_MS;
    req.max_body = req.max_body ? req.max_body : TOKEN_RESPONSE_MAX;
    req.data = token_take_data;
    req.done = token_take_reply;
    req.arg = &x;
    struct client_call *call = client_send(f->_client, &req);
    while (!x.ended && file_work_goes_on(f->_work))
        loop_turn(f->_loop, FETCH_TURN_MS);
    if (!x.ended) {
        client_cancel(call);
        err_set(&response->err, ERR_UNAVAILABLE, "it is not used any more");
    }
}

static bool token_fetch_take_secret(struct token_fetch *f)
{
    const struct token_settings *made = &f->source->made;
    struct err err;
    f->secret = str_of(made->secret ? made->secret : "");
    if (made->secret_file == NULL)
        return true;
    if ((f->secret_text = watched_file_text(made->secret_file, &err)) == NULL)
        return token_fetch_fail(f, ERR_UNAVAILABLE, "%s: %s", made->kind->secret_key, err.text);
    f->secret = str_n(f->secret_text->text, f->secret_text->n);
    return true;
}

static void token_fetch_hide_secrets(struct token_fetch *f)
{
    struct secrets list = {0};
    struct buf shown = {0};
    f->source->made.kind->secrets(f->state, f->secret, NULL, &list);
    secrets_hide(&list, str_of(f->err.text), &shown);
    snprintf(f->err.text, sizeof f->err.text, "%s", buf_z(&shown));
    buf_free(&shown);
    secrets_free(&list);
}

static void token_fetch_run(struct token_fetch *f)
{
    if (token_fetch_take_secret(f))
        f->source->made.kind->fetch(f);
    if (f->_client)
        client_free(f->_client);
    if (f->_loop)
        loop_free(f->_loop);
    if (f->token == NULL)
        token_fetch_hide_secrets(f);
}

static void token_tell(struct loop_task *task)
{
    struct token_request *r = CONTAINER(task, struct token_request, _task);
    r->_posted = false;
    r->done(r);
}

static void token_store(struct token_source *o, struct token_fetch *f, int64_t now) /* with the lock */
{
    if (f->token == NULL) {
        o->failure = f->err;
        o->retry_at = now + RETRY_MS;
        return;
    }
    int64_t margin = f->lifetime / 4 < MARGIN_MS ? f->lifetime / 4 : MARGIN_MS;
    mem_free(o->token);
    file_text_unref(o->token_secret);
    o->token = f->token;
    o->token_secret = f->secret_text;
    f->secret_text = NULL;
    o->expires_at = f->lifetime == INT64_MAX ? INT64_MAX : now + f->lifetime;
    o->renew_at = o->expires_at == INT64_MAX ? INT64_MAX : o->expires_at - margin;
    o->retry_at = 0;
}

static void token_run_fetch(struct file_work *w)
{
    struct token_source *o = CONTAINER(w, struct token_source, work);
    struct token_fetch f = {.source = o, .state = o->made.state, ._work = w};
    token_fetch_run(&f);
    token_lock_enter();
    token_store(o, &f, clock_mono_ms());
    o->fetching = false;
    for (struct list *node; (node = list_pop_front(&o->waiting)) != NULL;) {
        struct token_request *r = CONTAINER(node, struct token_request, _node);
        r->_waiting = false;
        r->_posted = true;
        r->_task.run = token_tell;
        loop_post(r->loop, &r->_task);
    }
    token_lock_leave();
    file_text_unref(f.secret_text);
}

/* ---- requests ---- */

/* A reference to the present content of the file; NULL: none. */
static struct file_text *token_secret_now(struct token_source *o)
{
    return o->made.secret_file ? watched_file_text(o->made.secret_file, NULL) : NULL;
}

static bool token_settled(const struct token_source *o, const struct file_text *secret, int64_t now) /* with the lock */
{
    return (o->token && now < o->renew_at && o->token_secret == secret) || now < o->retry_at;
}

bool token_ready(struct token_source *o)
{
    struct file_text *secret = token_secret_now(o);
    token_lock_enter();
    bool ready = token_settled(o, secret, clock_mono_ms());
    token_lock_leave();
    file_text_unref(secret);
    return ready;
}

bool token_ask(struct token_source *o, struct token_request *r)
{
    struct file_text *secret = token_secret_now(o);
    token_lock_enter();
    bool settled = token_settled(o, secret, clock_mono_ms()), begin = !settled && !o->fetching;
    if (!settled) {
        r->_waiting = true;
        list_push_back(&o->waiting, &r->_node);
        o->fetching = true;
    }
    token_lock_leave();
    file_text_unref(secret);
    if (begin)
        (void)!file_work_in(&o->work, 0); /* without a thread it stays queued, and requests end by their timeouts */
    return settled;
}

void token_cancel(struct token_request *r)
{
    token_lock_enter();
    if (r->_waiting)
        list_remove(&r->_node);
    if (r->_posted)
        loop_unpost(r->loop, &r->_task);
    r->_waiting = r->_posted = false;
    token_lock_leave();
}

/* A token that could not be renewed is used until it expires. */
bool token_read(struct token_source *o, struct buf *out, struct err *err)
{
    token_lock_enter();
    bool ok = o->token && clock_mono_ms() < o->expires_at;
    if (ok)
        buf_add_z(out, o->token);
    else if (o->retry_at > 0)
        err_set(err, o->failure.kind, "%s", o->failure.text);
    else
        err_set(err, ERR_UNAVAILABLE, "%s: the token has expired", o->made.kind->name);
    token_lock_leave();
    return ok;
}

void token_source_secrets(struct token_source *o, struct secrets *list)
{
    struct file_text *secret = token_secret_now(o);
    const char *set = o->made.secret ? o->made.secret : "";
    token_lock_enter();
    o->made.kind->secrets(o->made.state, secret ? str_n(secret->text, secret->n) : str_of(set), o->token, list);
    token_lock_leave();
    file_text_unref(secret);
}

const char *token_source_server(const struct token_source *o) { return o->made.kind->server; }

/* ---- life ---- */

static void token_hangs(struct file_work *w UNUSED) {} /* requests have timeouts */

static void token_settings_free(const struct token_settings *made)
{
    mem_free(made->settings);
    mem_free(made->secret);
    watched_file_free(made->secret_file);
    made->kind->free(made->state);
}

static void token_source_free(struct file_work *w)
{
    struct token_source *o = CONTAINER(w, struct token_source, work);
    token_settings_free(&o->made);
    mem_free(o->token);
    file_text_unref(o->token_secret);
    mem_free(o);
}

static struct token_source *token_source_find(const struct token_settings *made) /* with the lock */
{
    for (struct list *node = sources.next; node != &sources; node = node->next) {
        struct token_source *o = CONTAINER(node, struct token_source, node);
        if (o->made.kind == made->kind && strcmp(o->made.settings, made->settings) == 0) {
            o->users++;
            return o;
        }
    }
    return NULL;
}

struct token_source *token_source_get(const struct token_settings *made)
{
    token_lock_enter();
    struct token_source *o = token_source_find(made);
    if (o == NULL) {
        o = mem_zalloc(sizeof *o);
        o->users = 1;
        o->made = *made;
        o->work = (struct file_work){.run = token_run_fetch, .hangs = token_hangs, .release = token_source_free,
                                     .hang_ms = made->longest_ms};
        list_init(&o->waiting);
        list_push_back(&sources, &o->node);
        made = NULL;
    }
    token_lock_leave();
    if (made)
        token_settings_free(made);
    return o;
}

void token_source_unref(struct token_source *o)
{
    if (o == NULL)
        return;
    token_lock_enter();
    bool last = --o->users == 0;
    if (last)
        list_remove(&o->node);
    token_lock_leave();
    if (last && file_work_drop(&o->work))
        token_source_free(&o->work);
}
