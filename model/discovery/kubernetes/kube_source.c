// SPDX-License-Identifier: Apache-2.0
/* Targets of the objects of one role (kubernetes_sd_configs of Prometheus).
 *
 * The source reads the watches that its role needs, each for all sources that need the same one (kube_watch.h). An object of
 * the role is a part, with the targets that are made from it and from other objects: a pod has labels of its node, an
 * endpoint those of its service and its pod. What a part has asked for while its targets were made is noted, whether or not
 * it existed, so that a change of any object concerns exactly the parts that used it.
 *
 * Changes are reported once in an interval. Nothing is reported before all watches have been read once.
 */
#include "model/discovery/kubernetes/kube_targets.h"
#include "model/discovery/kubernetes/kube_watch.h"
#include "model/discovery/source/sd_poll.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/url.h"

/* ---- types ---- */

struct kube_source;
struct kube_need { struct kube_reader reader; struct kube_source *source; struct kube_watch_conf conf; bool of_role; };
struct kube_used { struct str key; struct list users; }; /* an object that parts use, by resource and key */
struct kube_use { struct list of_part, of_used; struct kube_part *part; struct kube_used *used; };
struct kube_part {
    struct str key;              /* of its object; follows the struct */
    struct list changed;         /* in the source's list */
    struct list uses;
    bool removed;
};

struct kube_source {
    struct sd_source source;
    struct sd_source_env env;    /* owner.name: owned */
    struct arena arena;          /* of the configuration's texts */
    struct str server;
    struct client_profile *profile;
    enum kube_role role;
    struct kube_view view;
    int64_t interval;
    struct kube_need *needs; size_t n_needs;
    struct map parts;            /* of struct kube_part, by key */
    struct map used;             /* of struct kube_used */
    struct list changed;         /* of struct kube_part */
    struct kube_part *making;    /* whose targets are made */
    struct loop_timer settle, late;
    bool joined, synced, late_passed, awaited, has_news, has_changes;
    bool drained;                /* all parts have been visited once */
};

static struct kube_source *kube_of_source(const struct sd_source *s) { return (struct kube_source *)(uintptr_t)s; }

/* ---- what parts use ---- */

static void part_forget_uses(struct kube_source *s, struct kube_part *p)
{
    for (struct list *n; (n = list_pop_front(&p->uses)) != NULL;) {
        struct kube_use *use = CONTAINER(n, struct kube_use, of_part);
        struct kube_used *used = use->used;
        list_remove(&use->of_used);
        mem_free(use);
        if (!list_empty(&used->users))
            continue;
        map_remove(&s->used, used->key);
        mem_free(used);
    }
}

static struct kube_used *kube_used_get(struct kube_source *s, struct str key)
{
    bool added;
    struct map_entry *e = map_add(&s->used, key, &added);
    if (!added)
        return e->value.p;
    struct kube_used *used = mem_alloc(sizeof *used + key.n);
    memcpy(used + 1, key.p, key.n);
    used->key = str_n(used + 1, key.n);
    list_init(&used->users);
    e->key = used->key;
    e->value.p = used;
    return used;
}

static void part_note_use(struct kube_source *s, struct kube_part *p, struct str key)
{
    struct kube_used *used = kube_used_get(s, key);
    struct list *last = used->users.prev;
    if (last != &used->users && CONTAINER(last, struct kube_use, of_used)->part == p)
        return; /* the targets of a part are made at once */
    struct kube_use *use = mem_alloc(sizeof *use);
    *use = (struct kube_use){.part = p, .used = used};
    list_push_back(&p->uses, &use->of_part);
    list_push_back(&used->users, &use->of_used);
}

static void kube_used_key(struct buf *out, enum kube_resource resource, struct str key)
{
    buf_printf(out, "%c%.*s", 'a' + (int)resource, STR_ARG(key));
}

static const struct kube_object *kube_source_find(void *arg, enum kube_resource resource, struct str namespace, struct str name)
{
    struct kube_source *s = arg;
    struct buf key = {0};
    const struct kube_object *found = NULL;
    if (namespace.n > 0)
        buf_printf(&key, "%.*s/", STR_ARG(namespace));
    buf_add_str(&key, name);
    for (size_t i = 0; i < s->n_needs && found == NULL; i++)
        if (s->needs[i].conf.resource == resource)
            found = kube_watch_find(s->needs[i].reader.watch, buf_str(&key));
    if (s->making) {
        struct buf used = {0};
        kube_used_key(&used, resource, buf_str(&key));
        part_note_use(s, s->making, buf_str(&used));
        buf_free(&used);
    }
    buf_free(&key);
    return found;
}

/* ---- changes ---- */

static void kube_source_on_settled(struct loop_timer *t)
{
    struct kube_source *s = CONTAINER(t, struct kube_source, settle);
    s->has_news = s->has_changes = true;
    s->env.news(s->env.arg);
}

static void kube_source_changed(struct kube_source *s)
{
    if (s->synced && !loop_timer_armed(&s->settle) && !s->has_changes)
        loop_timer_in(s->env.main, &s->settle, s->interval);
}

static void part_changed(struct kube_source *s, struct kube_part *p)
{
    if (!list_linked(&p->changed))
        list_push_back(&s->changed, &p->changed);
    kube_source_changed(s);
}

static void kube_source_put_part(struct kube_source *s, struct str key)
{
    bool added;
    struct map_entry *e = map_add(&s->parts, key, &added);
    if (added) {
        struct kube_part *p = mem_alloc(sizeof *p + key.n);
        *p = (struct kube_part){.key = {(const char *)(p + 1), key.n}};
        memcpy(p + 1, key.p, key.n);
        list_init(&p->uses);
        e->key = p->key;
        e->value.p = p;
    }
    struct kube_part *p = e->value.p;
    enum sd_stat first = SD_KUBERNETES_NODE_ADD + 3 * (enum sd_stat)s->role;
    stats_add(&sd_stats, first + !(added || p->removed), 1);
    p->removed = false;
    part_changed(s, p);
}

static void kube_source_remove_part(struct kube_source *s, struct str key)
{
    struct kube_part *p = map_get(&s->parts, key);
    if (p == NULL || p->removed)
        return;
    stats_add(&sd_stats, SD_KUBERNETES_NODE_DELETE + 3 * (enum sd_stat)s->role, 1);
    p->removed = true;
    part_changed(s, p);
}

static void kube_source_on_changed(struct kube_reader *r, struct str key, const struct kube_object *now)
{
    struct kube_need *need = CONTAINER(r, struct kube_need, reader);
    struct kube_source *s = need->source;
    struct buf used_key = {0};
    if (need->of_role && now)
        kube_source_put_part(s, key);
    else if (need->of_role)
        kube_source_remove_part(s, key);
    kube_used_key(&used_key, need->conf.resource, key);
    struct kube_used *used = map_get(&s->used, buf_str(&used_key));
    buf_free(&used_key);
    for (struct list *n = used ? used->users.next : NULL; n && n != &used->users; n = n->next)
        part_changed(s, CONTAINER(n, struct kube_use, of_used)->part);
}

/* ---- the state of the watches ---- */

static void kube_source_ended_waiting(struct kube_source *s)
{
    s->awaited = false;
    s->has_news = true;
    s->env.news(s->env.arg);
}

static bool kube_source_failing(const struct kube_source *s)
{
    for (size_t i = 0; s->joined && i < s->n_needs; i++)
        if (kube_watch_state(s->needs[i].reader.watch).error)
            return true;
    return false;
}

static bool kube_source_is_lost(const struct kube_source *s)
{
    for (size_t i = 0; s->joined && !s->synced && i < s->n_needs; i++)
        if (kube_watch_state(s->needs[i].reader.watch).failing_ms >= SD_LOST_MS)
            return true;
    return false;
}

/* The first targets are news at once. */
static void kube_source_check_state(struct kube_source *s)
{
    bool synced = true;
    for (size_t i = 0; i < s->n_needs; i++)
        synced = synced && kube_watch_synced(s->needs[i].reader.watch);
    if (synced && !s->synced) {
        s->synced = s->has_changes = true;
        kube_source_ended_waiting(s);
    } else if (s->synced || kube_source_failing(s)) {
        kube_source_ended_waiting(s);
    }
}

static void kube_source_on_state(struct kube_reader *r)
{
    kube_source_check_state(CONTAINER(r, struct kube_need, reader)->source);
}

static void kube_source_on_late(struct loop_timer *t)
{
    struct kube_source *s = CONTAINER(t, struct kube_source, late);
    s->late_passed = true;
    if (!s->synced || !s->drained)
        kube_source_ended_waiting(s);
}

/* ---- as a source ---- */

static void kube_source_join(struct kube_source *s)
{
    struct kube_watches *watches = s->env.kube(s->env.arg);
    s->joined = true;
    for (size_t i = 0; i < s->n_needs; i++)
        kube_watch_join(watches, &s->needs[i].conf, &s->needs[i].reader);
    for (size_t i = 0; i < s->n_needs; i++) {
        const struct map *objects = kube_watch_objects(s->needs[i].reader.watch);
        for (struct map_entry *e = map_next(objects, NULL); e && s->needs[i].of_role; e = map_next(objects, e))
            kube_source_put_part(s, e->key);
    }
    loop_timer_in(s->env.main, &s->late, SD_POLL_LATE_MS);
    kube_source_check_state(s);
}

static void kubernetes_source_start(struct sd_source *source, struct dir_watch *dirs UNUSED)
{
    struct kube_source *s = kube_of_source(source);
    s->awaited = !s->synced && !s->late_passed && !kube_source_failing(s);
    if (!s->joined)
        kube_source_join(s);
}

static void kube_part_free(struct kube_source *s, struct kube_part *p)
{
    part_forget_uses(s, p);
    if (list_linked(&p->changed))
        list_remove(&p->changed);
    mem_free(p);
}

static void kubernetes_source_free(struct sd_source *source)
{
    struct kube_source *s = kube_of_source(source);
    for (size_t i = 0; s->joined && i < s->n_needs; i++)
        kube_watch_leave(&s->needs[i].reader);
    for (struct map_entry *e = map_next(&s->parts, NULL); e; e = map_next(&s->parts, e))
        kube_part_free(s, e->value.p);
    loop_timer_stop(s->env.main, &s->settle);
    loop_timer_stop(s->env.main, &s->late);
    map_free(&s->parts);
    map_free(&s->used);
    client_profile_unref(s->profile);
    arena_free(&s->arena);
    mem_free((char *)s->env.owner.name.p);
    mem_free((char *)source->key.p);
    mem_free(s->needs);
    mem_free(s);
}

static struct sd_source_state kubernetes_source_state(const struct sd_source *source)
{
    const struct kube_source *s = kube_of_source(source);
    return (struct sd_source_state){.reads = s->joined && !s->synced && !s->late_passed && !kube_source_failing(s),
                                    .awaited = s->awaited || (s->synced && !s->drained && !s->late_passed),
                                    .was_read = s->synced, .has_some = s->synced, .lost = kube_source_is_lost(s),
                                    .has_news = s->has_news};
}

static bool kubernetes_source_take_news(struct sd_source *source)
{
    struct kube_source *s = kube_of_source(source);
    bool changed = s->has_changes;
    s->has_news = s->has_changes = false;
    return changed;
}

static const struct kube_object *part_object(const struct kube_source *s, const struct kube_part *p)
{
    const struct kube_object *o = NULL;
    for (size_t i = 0; i < s->n_needs && o == NULL; i++)
        if (s->needs[i].of_role)
            o = kube_watch_find(s->needs[i].reader.watch, p->key);
    return o;
}

/* NULL: it has no targets. */
static struct sd_groups *part_make_groups(struct kube_source *s, struct kube_part *p, struct arena *scratch)
{
    struct sd_build build;
    const struct kube_object *o = part_object(s, p);
    struct arena_mark mark = arena_mark(scratch);
    part_forget_uses(s, p);
    if (o == NULL)
        return NULL;
    sd_build_start(&build);
    s->making = p;
    kube_build_targets(&build, scratch, s->role, o, &s->view);
    s->making = NULL;
    arena_release(scratch, mark);
    if (build.groups->n == 0)
        sd_build_drop(&build);
    return build.groups;
}

static void part_visit(struct kube_source *s, struct kube_part *p, struct arena *scratch, sd_visit_fn *visit, void *arg)
{
    struct sd_groups *groups = p->removed ? NULL : part_make_groups(s, p, scratch);
    visit(arg, &(struct sd_found){.mechanism = "kubernetes", .source = s->server, .groups = groups, .part = p});
    sd_groups_unref(groups);
}

static void part_end_if_removed(struct kube_source *s, struct kube_part *p)
{
    if (!p->removed)
        return;
    map_remove(&s->parts, p->key);
    kube_part_free(s, p);
}

/* Nothing is left to be reported. */
static void kubernetes_source_visit(struct sd_source *source, struct map *seen UNUSED, sd_visit_fn *visit, void *arg)
{
    struct kube_source *s = kube_of_source(source);
    struct arena scratch;
    if (!s->synced)
        return;
    for (struct list *n; (n = list_pop_front(&s->changed)) != NULL;)
        part_end_if_removed(s, CONTAINER(n, struct kube_part, changed));
    arena_init(&scratch, 0);
    for (struct map_entry *e = map_next(&s->parts, NULL); e; e = map_next(&s->parts, e))
        part_visit(s, e->value.p, &scratch, visit, arg);
    arena_free(&scratch);
    s->drained = true;
}

/* As many as a turn of the main loop has time for. */
static void kubernetes_source_visit_changed(struct sd_source *source, sd_visit_fn *visit, void *arg)
{
    struct kube_source *s = kube_of_source(source);
    struct arena scratch;
    struct list *n;
    int64_t until = loop_slice_end(s->env.main);
    arena_init(&scratch, 0);
    while (s->synced && (n = list_pop_front(&s->changed)) != NULL) {
        struct kube_part *p = CONTAINER(n, struct kube_part, changed);
        part_visit(s, p, &scratch, visit, arg);
        part_end_if_removed(s, p);
        if (clock_mono_ns() >= until)
            break;
    }
    arena_free(&scratch);
    s->drained = s->drained || list_empty(&s->changed);
    if (list_empty(&s->changed) || !s->synced)
        return;
    s->has_news = s->has_changes = true;
    s->env.news(s->env.arg);
}

static void kubernetes_source_show(const struct sd_source *source, struct sd_status *out, struct map *seen UNUSED)
{
    const struct kube_source *s = kube_of_source(source);
    out->unanswered += kube_source_failing(s) || (!s->synced && s->late_passed);
}

static void kubernetes_source_explain(const struct sd_source *source, struct buf *out)
{
    const struct kube_source *s = kube_of_source(source);
    for (size_t i = 0; s->joined && i < s->n_needs; i++) {
        struct kube_watch_state state = kube_watch_state(s->needs[i].reader.watch);
        const char *separator = out->n > 0 ? "; " : "";
        if (state.error)
            buf_printf(out, "%s%s, for %lld s, next request in %lld s", separator, state.error,
                       (long long)state.failing_ms / 1000, (long long)state.retry_ms / 1000);
        else if (!kube_watch_synced(s->needs[i].reader.watch))
            buf_printf(out, "%s%s %s", separator, state.shown, s->late_passed ? "does not respond" : "was not read yet");
    }
}

static const struct sd_source_ops kubernetes_source_ops = {
    .free = kubernetes_source_free, .start = kubernetes_source_start, .state = kubernetes_source_state,
    .take_news = kubernetes_source_take_news, .visit = kubernetes_source_visit,
    .visit_changed = kubernetes_source_visit_changed, .show = kubernetes_source_show,
    .explain = kubernetes_source_explain};

/* ---- creation ---- */

static void kube_source_need(struct kube_source *s, const struct kubernetes_sd *conf, enum kube_resource resource,
                             struct str namespace, int selector_role)
{
    struct kube_need *need = &s->needs[s->n_needs++];
    static const enum kube_resource of_role[] = {
        [KUBE_ROLE_NODE] = KUBE_NODES, [KUBE_ROLE_POD] = KUBE_PODS, [KUBE_ROLE_SERVICE] = KUBE_SERVICES,
        [KUBE_ROLE_ENDPOINTS] = KUBE_ENDPOINTS, [KUBE_ROLE_ENDPOINTSLICE] = KUBE_ENDPOINTSLICES,
        [KUBE_ROLE_INGRESS] = KUBE_INGRESSES};
    *need = (struct kube_need){
        .reader = {.changed = kube_source_on_changed, .state = kube_source_on_state}, .source = s,
        .conf = {.server = s->server, .profile = s->profile, .resource = resource, .namespace = arena_str(&s->arena, namespace)},
        .of_role = resource == of_role[s->role]};
    for (size_t i = 0; i < conf->selectors.n; i++) {
        const struct kube_selector *selector = (const struct kube_selector *)conf->selectors.items + i;
        if (selector->role != selector_role)
            continue;
        need->conf.label = arena_str(&s->arena, selector->label);
        need->conf.field = arena_str(&s->arena, selector->field);
    }
}

static void kube_source_need_namespace(struct kube_source *s, const struct kubernetes_sd *conf, struct str namespace)
{
    bool endpoints = s->role == KUBE_ROLE_ENDPOINTS || s->role == KUBE_ROLE_ENDPOINTSLICE;
    const struct kube_attach *attach = &s->view.attach;
    if (s->role == KUBE_ROLE_POD || endpoints)
        kube_source_need(s, conf, KUBE_PODS, namespace, KUBE_ROLE_POD);
    if (s->role == KUBE_ROLE_SERVICE || endpoints)
        kube_source_need(s, conf, KUBE_SERVICES, namespace, KUBE_ROLE_SERVICE);
    if (s->role == KUBE_ROLE_ENDPOINTS)
        kube_source_need(s, conf, KUBE_ENDPOINTS, namespace, KUBE_ROLE_ENDPOINTS);
    if (s->role == KUBE_ROLE_ENDPOINTSLICE)
        kube_source_need(s, conf, KUBE_ENDPOINTSLICES, namespace, KUBE_ROLE_ENDPOINTSLICE);
    if (s->role == KUBE_ROLE_INGRESS)
        kube_source_need(s, conf, KUBE_INGRESSES, namespace, KUBE_ROLE_INGRESS);
    if (attach->deployment)
        kube_source_need(s, conf, KUBE_REPLICASETS, namespace, -1);
    if (attach->cronjob)
        kube_source_need(s, conf, KUBE_JOBS, namespace, -1);
}

static void kube_source_set_needs(struct kube_source *s, const struct kubernetes_sd *conf)
{
    const struct kube_namespaces *ns = &conf->namespaces;
    struct str own = ns->own_namespace && conf->access ? conf->access->namespace : STR_NONE;
    s->needs = mem_zalloc(((ns->names.n + 1) * 5 + 2) * sizeof *s->needs);
    if (s->role == KUBE_ROLE_NODE || s->view.attach.node)
        kube_source_need(s, conf, KUBE_NODES, STR_NONE, KUBE_ROLE_NODE);
    if (s->view.attach.namespace)
        kube_source_need(s, conf, KUBE_NAMESPACES, STR_NONE, -1);
    for (size_t i = 0; i < ns->names.n; i++)
        kube_source_need_namespace(s, conf, ns->names.items[i]);
    if ((own.n > 0 && !str_list_has(&ns->names, own.p)) || ns->names.n == 0)
        kube_source_need_namespace(s, conf, own);
}

/* Of what the role has; the rest would only be read. */
static void kube_source_set_attach(struct kube_source *s, const struct kube_attach *attach)
{
    bool pods = s->role == KUBE_ROLE_POD || s->role == KUBE_ROLE_ENDPOINTS || s->role == KUBE_ROLE_ENDPOINTSLICE;
    s->view.attach = (struct kube_attach){
        .node = attach->node && pods, .namespace = attach->namespace && s->role != KUBE_ROLE_NODE,
        .deployment = attach->deployment && pods, .job = attach->job && pods, .cronjob = attach->cronjob && pods};
}

static void kube_source_key(struct buf *out, const struct kube_source *s)
{
    const struct kube_attach *a = &s->view.attach;
    buf_printf(out, "kubernetes %.*s %016llx %s %lld %d%d%d%d%d", STR_ARG(s->server),
               (unsigned long long)client_profile_hash(s->profile), kube_role_names[s->role], (long long)s->interval, a->node,
               a->namespace, a->deployment, a->job, a->cronjob);
    for (size_t i = 0; i < s->n_needs; i++) {
        const struct kube_watch_conf *c = &s->needs[i].conf;
        buf_printf(out, "\n%d %.*s\n%.*s\n%.*s", (int)c->resource, STR_ARG(c->namespace), STR_ARG(c->label), STR_ARG(c->field));
    }
}

/* With a scheme, and without a slash at its end. */
static struct str kube_source_server(struct kube_source *s, const struct kubernetes_sd *conf)
{
    const struct http_conf *http = &conf->server.http;
    struct str server = conf->access ? conf->access->server : conf->api_server;
    while (server.n > 0 && server.p[server.n - 1] == '/')
        server.n--;
    if (url_is_http(server))
        return arena_str(&s->arena, server);
    bool tls = http->tls.ca.n > 0 || http->tls.ca_file.n > 0 || http->tls.cert.n > 0 || http->tls.cert_file.n > 0 ||
               http->tls.insecure_skip_verify || http->tls.server_name.n > 0;
    return arena_printf(&s->arena, "%s://%.*s", tls ? "https" : "http", STR_ARG(server));
}

struct sd_source *kubernetes_source_new(const struct sd_source_env *env, const void *kubernetes_sd, struct err *err)
{
    const struct kubernetes_sd *conf = kubernetes_sd;
    const struct kube_access *access = conf->access;
    struct buf key = {0};
    if (access && access->error.n > 0) {
        err_set(err, ERR_BAD_DATA, "%.*s", STR_ARG(access->error));
        return NULL;
    }
    if (conf->namespaces.own_namespace && access && access->namespace.n == 0) {
        err_set(err, ERR_BAD_DATA, "own_namespace: the service account's file `namespace` cannot be read");
        return NULL;
    }
    struct client_profile *profile = http_conf_profile(access ? &access->http : &conf->server.http, err);
    if (profile == NULL)
        return NULL;
    struct kube_source *s = mem_zalloc(sizeof *s);
    *s = (struct kube_source){.env = *env, .profile = profile, .role = (enum kube_role)conf->role,
                              .interval = conf->server.refresh_interval, .settle.run = kube_source_on_settled,
                              .late.run = kube_source_on_late, .source.ops = &kubernetes_source_ops,
                              .view = {.find = kube_source_find, .arg = s}};
    s->env.owner.name = str_of(str_dup(env->owner.name));
    arena_init(&s->arena, 0);
    list_init(&s->changed);
    s->server = kube_source_server(s, conf);
    if (conf->attach_metadata)
        kube_source_set_attach(s, conf->attach_metadata);
    kube_source_set_needs(s, conf);
    kube_source_key(&key, s);
    s->source.key = str_of(str_dup(buf_str(&key)));
    buf_free(&key);
    return &s->source;
}
