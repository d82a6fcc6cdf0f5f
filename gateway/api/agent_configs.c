// SPDX-License-Identifier: Apache-2.0
/* The configuration management API of Grafana Agent's scraping service: instances stored in etcd. Paths, status codes
 * and errors are the Agent's; a change may have the header If-Match with the revision of an ETag.
 *
 * Changes are made on the control thread, one at a time (gateway/agent/instance_store.h). They do not block the
 * request's thread. */
#include "gateway/api/agent_api.h"

#include "base/text/num.h"
#include "gateway/agent/instance_store.h"
#include "gateway/agent/instance_text.h"
#include "gateway/services/services.h"

#include <stdio.h>

/* ---- responses ---- */

void agent_begin(struct http_request *r, struct json_writer *w)
{
    *w = (struct json_writer){.out = &r->out};
    r->content_type = "application/json";
    json_begin_object(w);
    json_field_z(w, "status", "success");
    json_key(w, "data");
}

void agent_error(struct http_request *r, int status, const char *text)
{
    struct json_writer w = {.out = &r->out};
    buf_clear(&r->out);
    r->status = status;
    r->content_type = "application/json";
    json_begin_object(&w);
    json_field_z(&w, "status", "error");
    json_key(&w, "data");
    json_begin_object(&w);
    json_field_z(&w, "error", text);
    json_end_object(&w);
    json_end_object(&w);
}

static void agent_put_etag(struct http_request *r, uint64_t revision)
{
    char text[32];
    snprintf(text, sizeof text, "\"%llu\"", (unsigned long long)revision);
    http_header_add(r, "ETag", str_of(text));
}

/* ---- reading ---- */

/* A reference; NULL: `r` has the error. */
static struct instance_set *agent_stored(struct http_request *r)
{
    struct instance_set *set = services_instances(r->services);
    struct err err;
    if (set)
        return set;
    if (r->services->instances == NULL) {
        agent_error(r, 404, "no config store running");
        return NULL;
    }
    instance_store_error(r->services->instances, &err);
    agent_error(r, 500, err.text);
    return NULL;
}

void api_agent_configs(struct http_request *r)
{
    struct instance_set *set = agent_stored(r);
    struct json_writer w;
    if (set == NULL)
        return;
    agent_begin(r, &w);
    json_begin_object(&w);
    json_key(&w, "configs");
    json_begin_array(&w);
    for (size_t i = 0; i < set->n; i++)
        json_str(&w, set->docs[i]->name);
    json_end_array(&w);
    json_end_object(&w);
    json_end_object(&w);
    instance_set_unref(set);
}

static void agent_show(struct http_request *r, const struct instance_doc *d)
{
    struct buf text = {0};
    struct json_writer w;
    struct err err;
    const struct yaml *node = yaml_parse(&r->arena, d->text, "instance", &err);
    if (node == NULL) {
        err_wrap(&err, "failed to unmarshal config %.*s", STR_ARG(d->name));
        agent_error(r, 500, err.text);
        return;
    }
    instance_show(&r->arena, d->name, node, &text);
    agent_put_etag(r, d->mod_revision);
    agent_begin(r, &w);
    json_begin_object(&w);
    json_field_str(&w, "value", buf_str(&text));
    json_end_object(&w);
    json_end_object(&w);
    buf_free(&text);
}

void api_agent_config_get(struct http_request *r)
{
    struct err err;
    if (!r->services->flags.enable_read_api) {
        http_text(r, 404, "404 - config endpoint is disabled");
        return;
    }
    struct instance_set *set = agent_stored(r);
    if (set == NULL)
        return;
    const struct instance_doc *d = instance_set_find(set, r->tail);
    if (d) {
        agent_show(r, d);
    } else {
        err_set(&err, ERR_NOT_FOUND, "configuration %.*s does not exist", STR_ARG(r->tail));
        agent_error(r, 404, err.text);
    }
    instance_set_unref(set);
}

/* ---- changes ---- */

struct agent_change {
    struct instance_change change;
    struct loop_task task;
    struct http_request *r;
    enum instance_result result;
    struct err err;
};

static int agent_status(enum instance_result result)
{
    switch (result) {
    case INSTANCE_CREATED: return 201;
    case INSTANCE_REPLACED:
    case INSTANCE_DELETED: return 200;
    case INSTANCE_ABSENT: return 404;
    case INSTANCE_CONFLICT: return 412;
    case INSTANCE_REFUSED: return 400;
    case INSTANCE_FAILED: return 500;
    }
    return 500;
}

/* On the request's lane. */
static void agent_respond(struct loop_task *task)
{
    struct agent_change *c = CONTAINER(task, struct agent_change, task);
    struct http_request *r = c->r;
    struct json_writer w = {.out = &r->out};
    int status = agent_status(c->result);
    if (status >= 400) {
        agent_error(r, status, c->err.text);
    } else {
        r->status = status;
        r->content_type = "application/json";
        if (c->result != INSTANCE_DELETED)
            agent_put_etag(r, c->change.revision);
        json_begin_object(&w);
        json_field_z(&w, "status", "success");
        json_end_object(&w);
    }
    mem_free(c);
    http_finish(r);
}

static void agent_on_done(struct instance_change *change, enum instance_result result, const struct err *err)
{
    struct agent_change *c = CONTAINER(change, struct agent_change, change);
    c->result = result;
    if (err)
        c->err = *err;
    if (result == INSTANCE_FAILED)
        err_wrap(&c->err, change->remove ? "error deleting configuration" : "failed to put config");
    c->task.run = agent_respond;
    loop_post(c->r->loop, &c->task);
}

static bool agent_check_jobs(const struct instance_change *c, const struct instance_set *set,
                             const struct str_list *jobs, struct err *err)
{
    const struct str *second = instance_set_duplicate(set, c->name, jobs);
    return second == NULL ||
           err_set(err, ERR_BAD_DATA, "failed to check uniqueness of config: found multiple scrape configs in config "
                   "store with job name \"%.*s\"", STR_ARG(*second));
}

/* On the control thread. */
static bool agent_check(struct instance_change *change, const struct instance_set *set, struct buf *value,
                        struct err *err)
{
    struct agent_change *c = CONTAINER(change, struct agent_change, change);
    const struct services *s = c->r->services;
    struct instance_checked checked;
    struct arena a;
    arena_init(&a, 0); /* bounded by the limits of YAML (base/conf/yaml.h) */
    enum instance_verdict verdict =
        config_check_instance(s->_config, &s->flags, &a, change->name, c->r->body, &checked, err);
    if (verdict != INSTANCE_VALID)
        err_wrap(err, verdict == INSTANCE_UNREADABLE ? "could not unmarshal config" : "failed to validate config");
    bool ok = verdict == INSTANCE_VALID && agent_check_jobs(change, set, &checked.jobs, err);
    if (ok) {
        struct buf text = {0};
        instance_write(&a, change->name, checked.node, &text);
        ok = instance_encode(buf_str(&text), value) || err_set(err, ERR_INTERNAL, "no memory");
        buf_free(&text);
    }
    arena_free(&a);
    return ok;
}

static void agent_on_change(struct loop_task *task)
{
    struct agent_change *c = CONTAINER(task, struct agent_change, task);
    struct services *s = c->r->services;
    struct err err;
    if (s->instances && s->_config && atomic_load(&s->state) != SERVICES_STOPPING) {
        instance_store_change(s->instances, &c->change);
        return;
    }
    err_set(&err, ERR_UNAVAILABLE, "the program is stopping");
    agent_on_done(&c->change, INSTANCE_FAILED, &err);
}

/* "123", as in ETag. False: the header has something else. */
static bool agent_read_revision(struct str header, uint64_t *revision)
{
    int64_t n;
    header = str_trim(header);
    *revision = 0;
    if (header.n == 0)
        return true;
    if (header.n < 3 || header.p[0] != '"' || header.p[header.n - 1] != '"' ||
        !num_parse_i64(str_n(header.p + 1, header.n - 2), &n) || n <= 0)
        return false;
    *revision = (uint64_t)n;
    return true;
}

static void agent_refuse(struct http_request *r, int status, const char *text)
{
    agent_error(r, status, text);
    http_finish(r);
}

static void agent_begin_change(struct http_request *r, bool remove)
{
    uint64_t revision;
    if (r->services->instances == NULL) {
        agent_refuse(r, 404, "no config store running");
        return;
    }
    if (!agent_read_revision(http_header(r, "If-Match"), &revision)) {
        agent_refuse(r, 400, "If-Match: expected the value of ETag, a revision in double quotes");
        return;
    }
    if (r->tail.n > INSTANCE_NAME_MAX) {
        agent_refuse(r, 400, "the name is too long");
        return;
    }
    struct agent_change *c = mem_zalloc(sizeof *c);
    *c = (struct agent_change){.r = r, .task.run = agent_on_change,
                               .change = {.name = r->tail, .remove = remove, .if_revision = revision,
                                          .check = agent_check, .done = agent_on_done}};
    loop_post(r->services->control, &c->task);
}

void api_agent_config_put(struct http_request *r) { agent_begin_change(r, false); }
void api_agent_config_delete(struct http_request *r) { agent_begin_change(r, true); }
