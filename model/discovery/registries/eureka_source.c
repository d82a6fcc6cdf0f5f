// SPDX-License-Identifier: Apache-2.0
/* Instances of applications that Eureka lists (eureka_sd_configs of Prometheus). Every refresh_interval SERVER/apps is read, as
 * JSON, in which a list with one item may be that item.
 *
 * Source: https://github.com/Netflix/eureka/wiki/Eureka-REST-operations
 */
#include "model/discovery/groups/sd_build.h"
#include "model/discovery/source/sd_poll.h"
#include "model/discovery/source/sd_request.h"

#include "base/text/url.h"

#define META "__meta_eureka_"

enum { EUREKA_TIMEOUT_MS = 60000 };

struct eureka_source {
    struct sd_poll poll;
    struct str url;              /* owned */
    struct client_profile *profile;
    struct sd_request request;
};

static struct eureka_source *eureka_of_poll(struct sd_poll *p) { return (struct eureka_source *)(void *)p; }

static void eureka_source_free(struct sd_poll *p)
{
    struct eureka_source *s = eureka_of_poll(p);
    sd_request_free(&s->request);
    client_profile_unref(s->profile);
    mem_free((char *)s->url.p);
    mem_free(s);
}

/* ---- the response ---- */

/* The first of the items; the value itself if it is no list. */
static const struct json_value *eureka_items(const struct json_value *list)
{
    return list && list->kind == JSON_ARRAY ? list->first : list && list->kind == JSON_OBJECT ? list : NULL;
}

static const struct json_value *eureka_next_item(const struct json_value *list, const struct json_value *item)
{
    return item == list ? NULL : item->next;
}

static struct str eureka_text(const struct json_value *instance, const char *key)
{
    return json_value_scalar(json_value_get(instance, key));
}

/* {"$": 8080, "@enabled": "true"} */
static void eureka_add_port(struct sd_build *b, const struct json_value *port, const char *number, const char *enabled)
{
    if (port == NULL || port->kind != JSON_OBJECT)
        return;
    struct str text = eureka_text(port, "$");
    sd_build_label(b, number, text.n > 0 ? text : STR("0"));
    sd_build_label(b, enabled, str_is(eureka_text(port, "@enabled"), "true") ? STR("true") : STR("false"));
}

/* The members that are texts; "@class" is how Eureka names the type of an empty map. */
static void eureka_add_metadata(struct sd_build *b, const char *prefix, const struct json_value *metadata)
{
    if (metadata == NULL || metadata->kind != JSON_OBJECT)
        return;
    for (const struct json_value *m = metadata->first; m; m = m->next)
        if (!str_starts(m->key, STR("@")))
            sd_build_label_of(b, prefix, m->key, json_value_scalar(m));
}

static void eureka_add_instance(struct sd_build *b, struct str app, const struct json_value *i)
{
    const struct json_value *port = json_value_get(i, "port"), *center = json_value_get(i, "dataCenterInfo");
    struct str number = port && port->kind == JSON_OBJECT ? eureka_text(port, "$") : STR("80");
    struct str host = eureka_text(i, "hostName"), id = eureka_text(i, "instanceId"), country = eureka_text(i, "countryId");
    bool six = str_find(host, ':') < host.n;
    sd_build_target(b, arena_printf(sd_build_arena(b), "%s%.*s%s:%.*s", six ? "[" : "", STR_ARG(host), six ? "]" : "",
                                    STR_ARG(number)));
    sd_build_label(b, "instance", id);
    sd_build_label(b, META "app_name", app);
    sd_build_label(b, META "app_instance_hostname", host);
    sd_build_label(b, META "app_instance_homepage_url", eureka_text(i, "homePageUrl"));
    sd_build_label(b, META "app_instance_statuspage_url", eureka_text(i, "statusPageUrl"));
    sd_build_label(b, META "app_instance_healthcheck_url", eureka_text(i, "healthCheckUrl"));
    sd_build_label(b, META "app_instance_ip_addr", eureka_text(i, "ipAddr"));
    sd_build_label(b, META "app_instance_vip_address", eureka_text(i, "vipAddress"));
    sd_build_label(b, META "app_instance_secure_vip_address", eureka_text(i, "secureVipAddress"));
    sd_build_label(b, META "app_instance_status", eureka_text(i, "status"));
    sd_build_label(b, META "app_instance_country_id", country.n > 0 ? country : STR("0"));
    sd_build_label(b, META "app_instance_id", id);
    eureka_add_port(b, port, META "app_instance_port", META "app_instance_port_enabled");
    eureka_add_port(b, json_value_get(i, "securePort"), META "app_instance_secure_port", META "app_instance_secure_port_enabled");
    sd_build_label(b, META "app_instance_datacenterinfo_name", eureka_text(center, "name"));
    eureka_add_metadata(b, META "app_instance_datacenterinfo_metadata_", json_value_get(center, "metadata"));
    eureka_add_metadata(b, META "app_instance_metadata_", json_value_get(i, "metadata"));
}

static void eureka_on_apps(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct eureka_source *s = CONTAINER(r, struct eureka_source, request);
    const struct json_value *all = json_value_get(doc, "applications"), *apps = json_value_get(all, "application");
    struct sd_build build;
    if (doc && (all == NULL || all->kind != JSON_OBJECT))
        err_set(err, ERR_BAD_GATEWAY, "%s: the response has no applications", s->poll.shown);
    if (all == NULL || all->kind != JSON_OBJECT) {
        sd_request_free(r);
        sd_poll_failed(&s->poll, err->text);
        return;
    }
    sd_build_start(&build);
    for (const struct json_value *a = eureka_items(apps); a; a = eureka_next_item(apps, a)) {
        const struct json_value *instances = json_value_get(a, "instance");
        for (const struct json_value *i = eureka_items(instances); i; i = eureka_next_item(instances, i))
            eureka_add_instance(&build, eureka_text(a, "name"), i);
    }
    sd_request_free(r);
    sd_poll_succeeded(&s->poll, build.groups);
}

/* ---- the request ---- */

static void eureka_source_begin(struct sd_poll *p)
{
    struct eureka_source *s = eureka_of_poll(p);
    static const char *const headers[] = {"Accept: application/json"};
    sd_request_start(&s->request, &(struct sd_ask){.client = s->poll.env.client(s->poll.env.arg), .profile = s->profile, .url = s->url,
                                                   .headers = headers, .n_headers = LEN(headers),
                                                   .timeout_ms = EUREKA_TIMEOUT_MS});
}

static const struct sd_poll_ops eureka_source_ops = {eureka_source_begin, eureka_source_free};

struct sd_source *eureka_source_new(const struct sd_source_env *env, const void *eureka_sd, struct err *err)
{
    const struct eureka_sd *conf = eureka_sd;
    struct client_profile *profile = http_conf_profile(&conf->server.http, err);
    struct buf url = {0}, shown = {0}, key = {0};
    if (profile == NULL)
        return NULL;
    struct eureka_source *s = mem_zalloc(sizeof *s);
    url_join(&url, conf->address, STR("apps"));
    url_redact(&shown, buf_str(&url));
    buf_printf(&key, "eureka %s %016llx %lld", buf_z(&url), (unsigned long long)client_profile_hash(profile),
               (long long)conf->server.refresh_interval);
    s->url = str_of(str_dup(buf_str(&url)));
    s->profile = profile;
    s->request.done = eureka_on_apps;
    sd_poll_init(&s->poll, &eureka_source_ops, env, conf->server.refresh_interval, SD_EUREKA_FAILURES,
                 &(struct sd_found){.mechanism = "eureka", .source = s->url}, buf_z(&shown), buf_str(&key));
    buf_free(&url);
    buf_free(&shown);
    buf_free(&key);
    return &s->poll.source;
}
