// SPDX-License-Identifier: Apache-2.0
/* Sources of tokens, one for each set of settings in use: when a fetch ends, its token or error is stored, and all
 * requests that wait are posted. */
#include "base/http/oauth2_fetch.h"

#include "base/lock_rank.h"
#include "base/text/duration.h"
#include "base/text/secrets.h"
#include "base/text/url.h"

#include <pthread.h>
#include <string.h>

enum {
    RETRY_MS = 1000,        /* after a failure */
    MARGIN_MS = 10000,      /* before the expiry, or a quarter of the lifetime */
};

static pthread_mutex_t token_lock = PTHREAD_MUTEX_INITIALIZER; /* guards sources, and users to failure of each */
static struct list sources = {&sources, &sources};

static void token_lock_enter(void)
{
    lock_rank_enter(RANK_OAUTH2);
    pthread_mutex_lock(&token_lock);
}

static void token_lock_leave(void)
{
    lock_rank_leave(RANK_OAUTH2);
    pthread_mutex_unlock(&token_lock);
}

/* ---- settings ---- */

static void settings_add(struct buf *out, const char *text)
{
    buf_add_z(out, text ? text : "");
    buf_add_char(out, '\n'); /* values have none, see oauth2_check */
}

void oauth2_settings(const struct client_oauth2 *c, struct buf *out)
{
    const struct client_profile_conf *h = &c->http;
    const char *texts[] = {c->client_id, c->client_secret, c->client_secret_file, c->token_url, h->ca, h->ca_file,
                           h->cert, h->cert_file, h->key, h->key_file, h->server_name, h->min_version, h->proxy_url,
                           h->no_proxy};
    for (size_t i = 0; i < LEN(texts); i++)
        settings_add(out, texts[i]);
    buf_printf(out, "%d%d %zu ", h->insecure_skip_verify, h->proxy_from_environment, c->n_scopes);
    for (size_t i = 0; i < c->n_scopes; i++)
        settings_add(out, c->scopes[i]);
    for (size_t i = 0; i < c->n_params; i++) {
        settings_add(out, c->params[i].name);
        settings_add(out, c->params[i].value);
    }
    for (size_t i = 0; i < h->n_headers; i++)
        settings_add(out, h->headers[i]);
}

bool oauth2_check_text(const char *key, const char *text, struct err *err)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return err_set(err, ERR_BAD_DATA, "oauth2: %s: a line break or another control character is in it", key);
    return true;
}

bool oauth2_check(const struct client_oauth2 *c, struct err *err)
{
    struct url url;
    struct err why;
    if (!url_parse(str_of(c->token_url), &url, &why))
        return err_set(err, ERR_BAD_DATA, "oauth2: token_url: %s", why.text);
    if (!client_profile_check(&c->http, &why))
        return err_set(err, ERR_BAD_DATA, "oauth2: %s", why.text);
    for (size_t i = 0; i < c->n_scopes; i++)
        if (!oauth2_check_text("scopes", c->scopes[i], err))
            return false;
    for (size_t i = 0; i < c->n_params; i++)
        if (!oauth2_check_text("endpoint_params", c->params[i].name, err) ||
            !oauth2_check_text("endpoint_params", c->params[i].value, err))
            return false;
    return oauth2_check_text("client_id", c->client_id, err) && oauth2_check_text("client_secret", c->client_secret, err);
}

/* endpoint_params may replace the other parameters. */
static bool oauth2_has_param(const struct client_oauth2 *c, const char *name)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].name, name) == 0)
            return true;
    return false;
}

static char *oauth2_make_form(const struct client_oauth2 *c)
{
    struct buf form = {0}, scopes = {0};
    for (size_t i = 0; i < c->n_scopes; i++)
        buf_printf(&scopes, "%s%s", i ? " " : "", c->scopes[i]);
    if (!oauth2_has_param(c, "grant_type"))
        form_add(&form, "grant_type", STR("client_credentials"));
    if (c->n_scopes > 0 && !oauth2_has_param(c, "scope"))
        form_add(&form, "scope", buf_str(&scopes));
    for (size_t i = 0; i < c->n_params; i++)
        form_add(&form, c->params[i].name, str_of(c->params[i].value));
    char *text = mem_strdup(buf_z(&form));
    buf_free(&form);
    buf_free(&scopes);
    return text;
}

/* ---- the end of a fetch, on its thread ---- */

static void oauth2_tell(struct loop_task *task)
{
    struct oauth2_request *r = CONTAINER(task, struct oauth2_request, _task);
    r->_posted = false;
    r->done(r);
}

static void oauth2_store(struct oauth2 *o, struct token_fetch *f, int64_t now) /* with the lock */
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

static void oauth2_fetch(struct file_work *w)
{
    struct oauth2 *o = CONTAINER(w, struct oauth2, work);
    struct token_fetch f = {.source = o};
    token_fetch_run(&f);
    token_lock_enter();
    oauth2_store(o, &f, clock_mono_ms());
    o->fetching = false;
    for (struct list *node; (node = list_pop_front(&o->waiting)) != NULL;) {
        struct oauth2_request *r = CONTAINER(node, struct oauth2_request, _node);
        r->_waiting = false;
        r->_posted = true;
        r->_task.run = oauth2_tell;
        loop_post(r->loop, &r->_task);
    }
    token_lock_leave();
    file_text_unref(f.secret_text);
    buf_free(&f.body);
}

/* ---- requests ---- */

/* A reference to the present content of the file; NULL: none. */
static struct file_text *oauth2_secret_now(struct oauth2 *o)
{
    return o->secret_file ? watched_file_text(o->secret_file, NULL) : NULL;
}

static bool oauth2_settled(const struct oauth2 *o, const struct file_text *secret, int64_t now) /* with the lock */
{
    return (o->token && now < o->renew_at && o->token_secret == secret) || now < o->retry_at;
}

bool oauth2_ready(struct oauth2 *o)
{
    struct file_text *secret = oauth2_secret_now(o);
    token_lock_enter();
    bool ready = oauth2_settled(o, secret, clock_mono_ms());
    token_lock_leave();
    file_text_unref(secret);
    return ready;
}

bool oauth2_ask(struct oauth2 *o, struct oauth2_request *r)
{
    struct file_text *secret = oauth2_secret_now(o);
    token_lock_enter();
    bool settled = oauth2_settled(o, secret, clock_mono_ms()), begin = !settled && !o->fetching;
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

void oauth2_cancel(struct oauth2_request *r)
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
bool oauth2_line(struct oauth2 *o, struct buf *out, struct err *err)
{
    token_lock_enter();
    bool ok = o->token && clock_mono_ms() < o->expires_at;
    if (ok)
        buf_printf(out, "Authorization: %s\n", o->token);
    else if (o->retry_at > 0)
        err_set(err, o->failure.kind, "%s", o->failure.text);
    else
        err_set(err, ERR_UNAVAILABLE, "oauth2: the token of %s has expired", o->shown);
    token_lock_leave();
    return ok;
}

void oauth2_secrets(struct oauth2 *o, struct secrets *list)
{
    struct file_text *secret = oauth2_secret_now(o);
    struct str text = secret ? str_n(secret->text, secret->n) : str_of(o->secret ? o->secret : "");
    secrets_add_login(list, str_of(o->client_id), text);
    file_text_unref(secret);
    token_lock_enter();
    if (o->token)
        secrets_add(list, str_of(strchr(o->token, ' ') + 1));
    token_lock_leave();
}

/* ---- life ---- */

static void oauth2_hangs(struct file_work *w UNUSED) {} /* requests have timeouts */

static void oauth2_free(struct file_work *w)
{
    struct oauth2 *o = CONTAINER(w, struct oauth2, work);
    char *texts[] = {o->settings, o->client_id, o->secret, o->token_url, o->form, o->shown, o->token};
    for (size_t i = 0; i < LEN(texts); i++)
        mem_free(texts[i]);
    watched_file_free(o->secret_file);
    file_text_unref(o->token_secret);
    client_profile_unref(o->profile);
    mem_free(o);
}

static struct oauth2 *oauth2_find(const char *settings) /* with the lock */
{
    for (struct list *node = sources.next; node != &sources; node = node->next) {
        struct oauth2 *o = CONTAINER(node, struct oauth2, node);
        if (strcmp(o->settings, settings) == 0) {
            o->users++;
            return o;
        }
    }
    return NULL;
}

static struct oauth2 *oauth2_new(const struct client_oauth2 *conf, struct client_profile *profile)
{
    struct oauth2 *o = mem_zalloc(sizeof *o);
    struct buf shown = {0}, settings = {0};
    url_redact(&shown, str_of(conf->token_url));
    oauth2_settings(conf, &settings);
    o->users = 1;
    o->profile = profile;
    o->settings = mem_strdup(buf_z(&settings));
    o->client_id = mem_strdup(conf->client_id ? conf->client_id : "");
    if (conf->client_secret_file && *conf->client_secret_file)
        o->secret_file = watched_file_new(conf->client_secret_file, WATCHED_LINE);
    else
        o->secret = mem_strdup(conf->client_secret ? conf->client_secret : "");
    o->token_url = mem_strdup(conf->token_url);
    o->shown = mem_strdup(buf_z(&shown));
    o->form = oauth2_make_form(conf);
    o->work = (struct file_work){.run = oauth2_fetch, .hangs = oauth2_hangs, .release = oauth2_free,
                                 .hang_ms = 3 * TOKEN_FETCH_MS};
    list_init(&o->waiting);
    buf_free(&shown);
    buf_free(&settings);
    return o;
}

struct oauth2 *oauth2_get(const struct client_oauth2 *conf, struct err *err)
{
    if (!oauth2_check(conf, err))
        return NULL;
    struct client_profile *profile = client_profile_new(&conf->http, err);
    if (profile == NULL)
        return NULL;
    struct oauth2 *made = oauth2_new(conf, profile);
    token_lock_enter();
    struct oauth2 *o = oauth2_find(made->settings);
    if (o == NULL)
        list_push_back(&sources, &made->node);
    token_lock_leave();
    if (o == NULL)
        return made;
    oauth2_free(&made->work);
    return o;
}

void oauth2_unref(struct oauth2 *o)
{
    if (o == NULL)
        return;
    token_lock_enter();
    bool last = --o->users == 0;
    if (last)
        list_remove(&o->node);
    token_lock_leave();
    if (last && file_work_drop(&o->work))
        oauth2_free(&o->work);
}
