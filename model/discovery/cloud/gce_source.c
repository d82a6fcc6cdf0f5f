// SPDX-License-Identifier: Apache-2.0
/* Instances of Google Compute Engine (gce_sd_configs of Prometheus), with Google's default credentials
 * (base/http/google_conf.c). Every refresh_interval the pages of these lists are read, one after the other:
 *
 *   /projects/PROJECT/zones/ZONE/instances       for each zone
 *   /projects/PROJECT/aggregated/instances       of all zones, if the zone is `*`
 *
 * The project and the zone of the machine are read once from its metadata server, if they are not configured. The variable
 * CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE changes the URL of the API, as for gcloud.
 * Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances/list
 */
#include "model/discovery/groups/sd_build.h"
#include "model/discovery/groups/sd_pages.h"
#include "model/discovery/source/sd_poll.h"
#include "model/discovery/source/sd_request.h"

#include "base/text/url.h"

#include <stdlib.h>

#define META "__meta_gce_"
#define GCE_API "https://compute.googleapis.com/compute/v1"

enum { GCE_TIMEOUT_MS = 60000, GCE_METADATA_MS = 5000, GCE_PAGE = 500 };

#define GCE(field) offsetof(struct gce_sd, field)
static const struct conf_row gce_rows[] = {
    {CONF_STRING, "project", GCE(project), .help = "Project. Default: that of the machine"},
    {CONF_STRINGS, "zone", GCE(zones), .help = "Zone or zones; `*`: all. Default: that of the machine"},
    {CONF_STRING, "filter", GCE(filter), .help = "Filter expression of the list of instances"},
    {CONF_INT, "port", GCE(port), .preset = "80", .min = 0, .max = 65535, .help = "Port of the targets"},
    {CONF_STRING, "tag_separator", GCE(tag_separator), .preset = ",", .help = "Separator around the tags in `__meta_gce_tags`"},
    {CONF_DURATION, "refresh_interval", GCE(server.refresh_interval), .help = "Time between reads. Default: 1m"},
    HTTP_CONF_ROWS(struct gce_sd, server.http),
    {0}};

/* The options of the HTTP client, with Google's tokens; `tokens` must live as long. */
static struct http_conf gce_http(const struct gce_sd *sd, struct google_iam_conf *tokens)
{
    struct http_conf http = sd->server.http;
    *tokens = (struct google_iam_conf){.scope = STR("https://www.googleapis.com/auth/compute.readonly")};
    http.google_iam = tokens;
    return http;
}

static bool check_gce_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct gce_sd *sd = value;
    struct google_iam_conf tokens;
    struct http_conf http = gce_http(sd, &tokens);
    if (sd->zones.n > 1 && str_list_has(&sd->zones, "*"))
        return conf_err(yaml_get(node, "zone"), err, "gce_sd_config.zone: `*` means all zones; remove the others");
    return http_conf_check(node, &http, err);
}
const struct conf_section gce_sd_section = {"gce_sd_config", sizeof(struct gce_sd), gce_rows, check_gce_sd,
                                            "Instances of Google Compute Engine"};

struct gce_source {
    struct sd_poll poll;
    struct arena arena;          /* of the settings */
    struct str api, filter, tag_separator;
    struct str project;          /* empty: not known yet */
    struct str_list zones;       /* likewise */
    unsigned port;
    struct client_profile *profile;
    struct sd_request request;
    /* The read in progress: */
    struct sd_build build;
    size_t zone;                 /* of `zones` */
    struct sd_pages pages;       /* of the zone */
    char *page;                  /* token of the page in progress, or NULL */
};

static struct gce_source *gce_of_poll(struct sd_poll *p) { return (struct gce_source *)(void *)p; }

static void gce_source_free(struct sd_poll *p)
{
    struct gce_source *s = gce_of_poll(p);
    sd_request_free(&s->request);
    sd_build_drop(&s->build);
    sd_pages_clear(&s->pages);
    client_profile_unref(s->profile);
    arena_free(&s->arena);
    mem_free(s->page);
    mem_free(s);
}

static void gce_fail(struct gce_source *s, const struct err *err)
{
    sd_request_free(&s->request);
    sd_build_drop(&s->build);
    mem_free(s->page);
    s->page = NULL;
    sd_poll_failed(&s->poll, err->text);
}

/* ---- instances ---- */

static struct str gce_text(const struct json_value *object, const char *key) { return json_value_scalar(json_value_get(object, key)); }

static void gce_add_tags(struct gce_source *s, const struct json_value *tags)
{
    struct buf b = {0};
    for (const struct json_value *t = json_value_items(tags); t; t = t->next)
        buf_printf(&b, "%.*s%.*s", STR_ARG(s->tag_separator), STR_ARG(json_value_text(t)));
    if (b.n > 0)
        buf_add_str(&b, s->tag_separator);
    sd_build_label(&s->build, META "tags", buf_str(&b));
    buf_free(&b);
}

static void gce_add_interfaces(struct sd_build *b, const struct json_value *interfaces)
{
    const struct json_value *primary = json_value_items(interfaces);
    const struct json_value *v4 = json_value_items(json_value_get(primary, "accessConfigs"));
    const struct json_value *v6 = json_value_items(json_value_get(primary, "ipv6AccessConfigs"));
    sd_build_label(b, META "network", gce_text(primary, "network"));
    sd_build_label(b, META "subnetwork", gce_text(primary, "subnetwork"));
    sd_build_label(b, META "private_ip", gce_text(primary, "networkIP"));
    sd_build_label(b, META "internal_ipv6", gce_text(primary, "ipv6Address"));
    if (str_is(gce_text(v4, "type"), "ONE_TO_ONE_NAT"))
        sd_build_label(b, META "public_ip", gce_text(v4, "natIP"));
    if (str_is(gce_text(v6, "type"), "DIRECT_IPV6"))
        sd_build_label(b, META "public_ipv6", gce_text(v6, "externalIpv6"));
    for (const struct json_value *i = primary; i; i = i->next)
        sd_build_label_of(b, META "interface_ipv4_", gce_text(i, "name"), gce_text(i, "networkIP"));
}

static void gce_add_instance(struct gce_source *s, const struct json_value *instance)
{
    const struct json_value *interfaces = json_value_get(instance, "networkInterfaces"), *primary = json_value_items(interfaces);
    struct sd_build *b = &s->build;
    if (primary == NULL)
        return;
    sd_build_target(b, sd_build_address(b, gce_text(primary, "networkIP"), s->port));
    sd_build_label(b, META "project", s->project);
    sd_build_label(b, META "zone", gce_text(instance, "zone"));
    sd_build_label(b, META "instance_id", gce_text(instance, "id"));
    sd_build_label(b, META "instance_name", gce_text(instance, "name"));
    sd_build_label(b, META "instance_status", gce_text(instance, "status"));
    sd_build_label(b, META "machine_type", gce_text(instance, "machineType"));
    gce_add_interfaces(b, interfaces);
    gce_add_tags(s, json_value_get(json_value_get(instance, "tags"), "items"));
    for (const struct json_value *m = json_value_items(json_value_get(json_value_get(instance, "metadata"), "items")); m; m = m->next)
        sd_build_label_of(b, META "metadata_", gce_text(m, "key"), gce_text(m, "value"));
    sd_build_labels(b, META "label_", json_value_get(instance, "labels"));
}

static void gce_add_list(struct gce_source *s, const struct json_value *list)
{
    for (const struct json_value *i = json_value_items(list); i; i = i->next)
        gce_add_instance(s, i);
}

/* ---- lists ---- */

static bool gce_is_all(const struct gce_source *s) { return str_is(s->zones.items[0], "*"); }

/* The token of the next page; false: the list cannot be continued. */
static bool gce_take_page(struct gce_source *s, struct str token, struct err *err)
{
    if (token.n == 0)
        sd_pages_clear(&s->pages);
    else if (!sd_pages_next(&s->pages, token, s->poll.shown, err))
        return false;
    mem_free(s->page);
    s->page = token.n > 0 ? str_dup(token) : NULL;
    return !arena_over(sd_build_arena(&s->build), SD_TREE_MAX)
           || err_set(err, ERR_TOO_LARGE, "%s: the list of instances is too large", s->poll.shown);
}

static void gce_next(struct gce_source *s);

static void gce_on_instances(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct gce_source *s = CONTAINER(r, struct gce_source, request);
    const struct json_value *items = json_value_get(doc, "items");
    struct err why;
    if (doc && doc->kind != JSON_OBJECT)
        err_set(err, ERR_BAD_GATEWAY, "%s: the response is not a list of instances", s->poll.shown);
    if (doc == NULL || doc->kind != JSON_OBJECT) {
        gce_fail(s, err);
        return;
    }
    if (gce_is_all(s))
        for (const struct json_value *zone = json_value_items(items); zone; zone = zone->next)
            gce_add_list(s, json_value_get(zone, "instances"));
    else
        gce_add_list(s, items);
    if (!gce_take_page(s, gce_text(doc, "nextPageToken"), &why)) {
        gce_fail(s, &why);
        return;
    }
    s->zone += s->page == NULL;
    gce_next(s);
}

static void gce_get(struct gce_source *s, const struct sd_ask *ask, void (*done)(struct sd_request *, const struct json_value *, struct err *))
{
    s->request.done = done;
    sd_request_start(&s->request, ask);
}

/* The next page, or the first one of the next zone. */
static void gce_next(struct gce_source *s)
{
    struct buf url = {0};
    if (s->zone == s->zones.n) {
        struct sd_groups *groups = s->build.groups;
        s->build.groups = NULL;
        sd_request_free(&s->request);
        sd_poll_succeeded(&s->poll, groups);
        return;
    }
    buf_printf(&url, "%.*s/projects/", STR_ARG(s->api));
    url_encode(&url, s->project);
    buf_add_z(&url, gce_is_all(s) ? "/aggregated" : "/zones/");
    if (!gce_is_all(s))
        url_encode(&url, s->zones.items[s->zone]);
    buf_printf(&url, "/instances?maxResults=%d", GCE_PAGE);
    if (s->filter.n > 0)
        form_add(&url, "filter", s->filter);
    if (s->page)
        form_add(&url, "pageToken", str_of(s->page));
    gce_get(s, &(struct sd_ask){.client = s->poll.env.client(s->poll.env.arg), .profile = s->profile, .url = buf_str(&url),
                                .timeout_ms = GCE_TIMEOUT_MS}, gce_on_instances);
    buf_free(&url);
}

/* ---- the machine's own project and zone ---- */

static void gce_begin(struct gce_source *s);

static void gce_ask_metadata(struct gce_source *s, const char *path, void (*done)(struct sd_request *, const struct json_value *, struct err *))
{
    static const char *const headers[] = {"Metadata-Flavor: Google"};
    const char *host = getenv("GCE_METADATA_HOST");
    struct buf url = {0};
    buf_printf(&url, "http://%s/computeMetadata/v1/%s?alt=json", host && *host ? host : "169.254.169.254", path);
    gce_get(s, &(struct sd_ask){.client = s->poll.env.client(s->poll.env.arg), .url = buf_str(&url), .headers = headers,
                                .n_headers = LEN(headers), .timeout_ms = GCE_METADATA_MS}, done);
    buf_free(&url);
}

static bool gce_take_metadata(struct gce_source *s, const struct json_value *doc, const char *key, struct err *err)
{
    struct err why;
    if (json_value_text(doc).n > 0)
        return true;
    if (doc)
        err_set(&why, ERR_BAD_GATEWAY, "cannot determine the %s of the machine; set `%s`", key, key);
    else
        err_set(&why, ERR_BAD_GATEWAY, "cannot determine the %s of the machine; set `%s`: %s", key, key, err->text);
    gce_fail(s, &why);
    return false;
}

static void gce_on_project(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct gce_source *s = CONTAINER(r, struct gce_source, request);
    if (!gce_take_metadata(s, doc, "project", err))
        return;
    s->project = arena_str(&s->arena, json_value_text(doc));
    gce_begin(s);
}

/* "projects/NUMBER/zones/ZONE" */
static void gce_on_zone(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct gce_source *s = CONTAINER(r, struct gce_source, request);
    struct str rest = json_value_text(doc), part = STR_NONE;
    if (!gce_take_metadata(s, doc, "zone", err))
        return;
    while (str_cut(&rest, '/', &part)) {
    }
    s->zones = (struct str_list){ARENA_NEW(&s->arena, struct str), 1};
    s->zones.items[0] = arena_str(&s->arena, part);
    gce_begin(s);
}

static void gce_begin(struct gce_source *s)
{
    if (s->project.n == 0) {
        gce_ask_metadata(s, "project/project-id", gce_on_project);
        return;
    }
    if (s->zones.n == 0) {
        gce_ask_metadata(s, "instance/zone", gce_on_zone);
        return;
    }
    s->zone = 0;
    sd_pages_clear(&s->pages);
    sd_build_start(&s->build);
    gce_next(s);
}

static void gce_source_begin(struct sd_poll *p) { gce_begin(gce_of_poll(p)); }

static const struct sd_poll_ops gce_source_ops = {gce_source_begin, gce_source_free};

/* ---- creation ---- */

static void gce_copy_conf(struct gce_source *s, const struct gce_sd *conf)
{
    const char *set = getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE");
    struct str api = str_of(set && *set ? set : GCE_API);
    while (str_ends(api, STR("/")))
        api.n--;
    s->api = arena_str(&s->arena, api);
    s->filter = arena_str(&s->arena, conf->filter);
    s->tag_separator = arena_str(&s->arena, conf->tag_separator);
    s->project = arena_str(&s->arena, conf->project);
    s->zones = (struct str_list){ARENA_ARRAY(&s->arena, struct str, conf->zones.n), conf->zones.n};
    for (size_t i = 0; i < conf->zones.n; i++)
        s->zones.items[i] = arena_str(&s->arena, conf->zones.items[i]);
    s->port = (unsigned)conf->port;
}

struct sd_source *gce_source_new(const struct sd_source_env *env, const void *gce_sd, struct err *err)
{
    const struct gce_sd *conf = gce_sd;
    struct google_iam_conf tokens;
    struct http_conf http = gce_http(conf, &tokens);
    struct client_profile *profile = http_conf_profile(&http, err);
    struct buf shown = {0}, key = {0};
    if (profile == NULL)
        return NULL;
    struct gce_source *s = mem_zalloc(sizeof *s);
    arena_init(&s->arena, 0);
    s->profile = profile;
    gce_copy_conf(s, conf);
    buf_printf(&shown, "GCE project %s", s->project.n > 0 ? conf->project.p : "of the machine");
    buf_printf(&key, "gce %.*s %.*s %.*s %.*s %u %016llx %lld", STR_ARG(s->api), STR_ARG(s->project), STR_ARG(s->filter),
               STR_ARG(s->tag_separator), s->port, (unsigned long long)client_profile_hash(profile),
               (long long)conf->server.refresh_interval);
    for (size_t i = 0; i < s->zones.n; i++)
        buf_printf(&key, "\nz%.*s", STR_ARG(s->zones.items[i]));
    sd_poll_init(&s->poll, &gce_source_ops, env, conf->server.refresh_interval, SD_GCE_FAILURES,
                 &(struct sd_found){.mechanism = "gce", .source = buf_str(&shown)}, buf_z(&shown), buf_str(&key));
    buf_free(&shown);
    buf_free(&key);
    return &s->poll.source;
}
