// SPDX-License-Identifier: Apache-2.0
/* Virtual machines of Azure (azure_sd_configs of Prometheus). Every refresh_interval the Resource Manager is asked for
 *
 *   1. the virtual machines of the subscription, or of a resource group, page by page
 *   2. its scale sets, likewise, and the machines of each
 *   3. the network interfaces of all of them, INTERFACES_AT_ONCE at a time
 *
 * A machine is a target with the first private address of its primary interface. An interface that does not exist any more is
 * skipped. Source: https://learn.microsoft.com/en-us/rest/api/compute/virtual-machines/list-all and .../virtualnetwork/network-interfaces/get
 */
#include "model/discovery/groups/sd_build.h"
#include "model/discovery/groups/sd_pages.h"
#include "model/discovery/source/sd_poll.h"
#include "model/discovery/source/sd_request.h"

#include "base/json/json_tree.h"
#include "base/os/file_read.h"
#include "base/text/url.h"

#include <stdio.h>
#include <stdlib.h>

#define META "__meta_azure_"
#define COMPUTE_VERSION "?api-version=2022-03-01"
#define INTERFACE_QUERY "?api-version=2021-08-01&$expand=ipConfigurations/publicIPAddress"

enum { AZURE_TIMEOUT_MS = 60000, INTERFACES_AT_ONCE = 8, AZURE_FILE_MAX = 64 << 10 };

/* ---- configuration ---- */

#define AZURE_SD(field) offsetof(struct azure_sd, field)
static const struct conf_row azure_rows[] = {
    {CONF_STRING, "environment", AZURE_SD(environment), .preset = "AzurePublicCloud",
     .help = "Cloud: AzurePublicCloud, AzureChinaCloud, AzureUSGovernment, or AzureStackCloud, whose endpoints are in the file "
             "`AZURE_ENVIRONMENT_FILEPATH`"},
    {CONF_STRING, "authentication_method", AZURE_SD(method), .preset = "OAuth",
     .help = "OAuth, ManagedIdentity, WorkloadIdentity, or SDK: the first of them that the environment has credentials for"},
    {CONF_STRING, "subscription_id", AZURE_SD(subscription), .required = true, .not_empty = true, .help = "Subscription"},
    {CONF_STRING, "tenant_id", AZURE_SD(tenant), .help = "Tenant; required for OAuth"},
    {CONF_STRING, "client_id", AZURE_SD(client), .help = "Client; required for OAuth"},
    {CONF_SECRET, "client_secret", AZURE_SD(secret), .help = "Its secret; required for OAuth"},
    {CONF_STRING, "resource_group", AZURE_SD(group), .help = "Resource group. Default: all"},
    {CONF_INT, "port", AZURE_SD(port), .preset = "80", .min = 0, .max = 65535, .help = "Port of the targets"},
    {CONF_DURATION, "refresh_interval", AZURE_SD(server.refresh_interval), .help = "Time between reads. Default: 5m"},
    HTTP_CONF_ROWS(struct azure_sd, server.http),
    {0}};

static const struct { const char *name; int cloud; const char *api; } azure_clouds[] = { /* cloud: of azuread */
    {"AzurePublicCloud", 0, "https://management.azure.com"}, {"AzureCloud", 0, "https://management.azure.com"},
    {"AzureGermanCloud", 0, "https://management.azure.com"}, {"AzureChinaCloud", 1, "https://management.chinacloudapi.cn"},
    {"AzureUSGovernment", 2, "https://management.usgovcloudapi.net"}, {"AzureUSGovernmentCloud", 2, "https://management.usgovcloudapi.net"}};

static struct str without_slash(struct str url)
{
    while (str_ends(url, STR("/")))
        url.n--;
    return url;
}

/* On a thread that may wait for the file. */
static bool read_stack_file(struct conf_context *c, const struct yaml *node, struct azure_sd *sd, struct err *err)
{
    const char *path = getenv("AZURE_ENVIRONMENT_FILEPATH");
    struct buf text = {0};
    struct url url;
    struct err why;
    if (path == NULL || *path == 0)
        return conf_err(node, err, "azure_sd_config.environment: AzureStackCloud needs the variable AZURE_ENVIRONMENT_FILEPATH");
    struct json_tree *file = file_read(path, AZURE_FILE_MAX, &text, &why) ? json_tree_parse(buf_str(&text), &why) : NULL;
    struct str authority = json_tree_str(json_tree_get(file, "activeDirectoryEndpoint"));
    struct str api = json_tree_str(json_tree_get(file, "resourceManagerEndpoint"));
    bool ok = file && url_parse(authority, &url, &why) && url_parse(api, &url, &why);
    if (ok) {
        sd->authority = str_of(arena_z(c->arena, without_slash(authority)));
        sd->api = str_of(arena_z(c->arena, without_slash(api)));
    }
    json_tree_free(file);
    buf_free(&text);
    return ok || conf_err(node, err, "azure_sd_config.environment: AZURE_ENVIRONMENT_FILEPATH %s: activeDirectoryEndpoint and "
                          "resourceManagerEndpoint: %s", path, why.text);
}

static bool find_cloud(struct conf_context *c, const struct yaml *node, struct azure_sd *sd, struct err *err)
{
    if (str_ieq(sd->environment, STR("AzureStackCloud")))
        return read_stack_file(c, node, sd, err);
    for (size_t i = 0; i < LEN(azure_clouds); i++) {
        if (!str_ieq(sd->environment, str_of(azure_clouds[i].name)))
            continue;
        sd->cloud = azure_clouds[i].cloud;
        sd->api = str_of(azure_clouds[i].api);
        return true;
    }
    return conf_err(yaml_get(node, "environment"), err, "azure_sd_config.environment: \"%.*s\" is none of AzurePublicCloud, "
                    "AzureChinaCloud, AzureUSGovernment, AzureStackCloud", STR_ARG(sd->environment));
}

/* The parts of azuread that the section stands for. */
struct azure_tokens {
    struct azuread_conf azuread;
    struct azure_identity identity;
    struct azure_secret secret;
    struct azure_workload workload;
    struct azure_sdk sdk;
    char scope[512];
};

static struct str azure_variable(const char *name) { return str_of(getenv(name)); }

static void set_workload(struct azure_tokens *t, const struct azure_sd *sd)
{
    t->workload = (struct azure_workload){
        .client_id = sd->client.n > 0 ? sd->client : azure_variable("AZURE_CLIENT_ID"),
        .tenant_id = sd->tenant.n > 0 ? sd->tenant : azure_variable("AZURE_TENANT_ID")};
    t->azuread.workload_identity = &t->workload;
}

/* `tokens` must live as long as the result. */
static struct http_conf azure_http(const struct azure_sd *sd, struct azure_tokens *t)
{
    struct http_conf http = sd->server.http;
    *t = (struct azure_tokens){.azuread = {.cloud = sd->cloud, .authority = sd->authority}};
    snprintf(t->scope, sizeof t->scope, "%.*s/.default", STR_ARG(sd->api));
    t->azuread.scope = str_of(t->scope);
    if (str_ieq(sd->method, STR("OAuth"))) {
        t->secret = (struct azure_secret){sd->client, sd->secret, sd->tenant};
        t->azuread.oauth = &t->secret;
    } else if (str_ieq(sd->method, STR("ManagedIdentity"))) {
        t->identity = (struct azure_identity){sd->client};
        t->azuread.managed_identity = &t->identity;
    } else if (str_ieq(sd->method, STR("WorkloadIdentity"))) {
        set_workload(t, sd);
    } else {
        t->sdk = (struct azure_sdk){sd->tenant};
        t->azuread.sdk = &t->sdk;
    }
    http.azuread = &t->azuread;
    return http;
}

static bool check_method(const struct yaml *node, const struct azure_sd *sd, struct err *err)
{
    static const char *const methods[] = {"OAuth", "ManagedIdentity", "WorkloadIdentity", "SDK"};
    const struct { const char *key; struct str value; } needed[] = {
        {"tenant_id", sd->tenant}, {"client_id", sd->client}, {"client_secret", sd->secret}};
    bool known = false;
    for (size_t i = 0; i < LEN(methods); i++)
        known = known || str_ieq(sd->method, str_of(methods[i]));
    if (!known)
        return conf_err(yaml_get(node, "authentication_method"), err, "azure_sd_config.authentication_method: \"%.*s\" is none of "
                        "OAuth, ManagedIdentity, WorkloadIdentity, SDK", STR_ARG(sd->method));
    for (size_t i = 0; i < LEN(needed) && str_ieq(sd->method, STR("OAuth")); i++)
        if (needed[i].value.n == 0)
            return conf_err(node, err, "azure_sd_config.%s: required for authentication_method OAuth", needed[i].key);
    return true;
}

static bool check_azure_sd(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    struct azure_sd *sd = value;
    struct azure_tokens tokens;
    if (!check_method(node, sd, err) || !find_cloud(c, node, sd, err))
        return false;
    struct http_conf http = azure_http(sd, &tokens);
    return http_conf_check(node, &http, err);
}
const struct conf_section azure_sd_section = {"azure_sd_config", sizeof(struct azure_sd), azure_rows, check_azure_sd,
                                              "Virtual machines of Azure"};

/* ---- the source ---- */

struct azure_machine {
    struct str id, name, computer, location, os, size, scale_set;
    struct str_map tags;
    struct str_list interfaces;  /* ids */
    bool has_address;
};
struct azure_slot { struct sd_request request; struct azure_source *source; struct azure_machine *machine; };
struct azure_source {
    struct sd_poll poll;
    struct arena arena;          /* of the settings */
    struct str api, subscription, tenant, group;
    unsigned port;
    struct client_profile *profile;
    struct sd_request request;
    struct azure_slot slots[INTERFACES_AT_ONCE];
    /* The read in progress: */
    struct arena read;
    struct azure_machine *machines; size_t n_machines, machines_cap;
    struct azure_set { struct str id, name; } *sets; size_t n_sets, sets_cap;
    bool lists_sets;             /* otherwise machines: of sets[set - 1] if set > 0 */
    size_t set;
    struct sd_pages pages;       /* of all lists */
    size_t machine, interface, running; /* the next interface */
    struct sd_build build;
};

static struct azure_source *azure_of_poll(struct sd_poll *p) { return (struct azure_source *)(void *)p; }

static void azure_forget(struct azure_source *s)
{
    for (size_t i = 0; i < INTERFACES_AT_ONCE; i++)
        sd_request_free(&s->slots[i].request);
    sd_request_free(&s->request);
    sd_build_drop(&s->build);
    sd_pages_clear(&s->pages);
    arena_free(&s->read);
    s->machines = NULL;
    s->sets = NULL;
    s->n_machines = s->machines_cap = s->n_sets = s->sets_cap = 0;
}

static void azure_source_free(struct sd_poll *p)
{
    struct azure_source *s = azure_of_poll(p);
    azure_forget(s);
    client_profile_unref(s->profile);
    arena_free(&s->arena);
    mem_free(s);
}

static void azure_fail(struct azure_source *s, const struct err *err)
{
    struct err why = *err;
    azure_forget(s);
    sd_poll_failed(&s->poll, why.text);
}

static void azure_get(struct azure_source *s, struct sd_request *r, struct str url)
{
    sd_request_start(r, &(struct sd_ask){.client = s->poll.env.client(s->poll.env.arg), .profile = s->profile, .url = url,
                                         .timeout_ms = AZURE_TIMEOUT_MS});
}

static struct str azure_text(const struct json_value *object, const char *key) { return json_value_text(json_value_get(object, key)); }

static const struct json_value *azure_properties(const struct json_value *object) { return json_value_get(object, "properties"); }

/* An id is part of a URL: "/subscriptions/..." */
static bool azure_is_id(struct str id)
{
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f || id.p[i] == '?' || id.p[i] == '#')
            return false;
    return str_starts(id, STR("/"));
}

/* ---- network interfaces ---- */

static void azure_add_labels(struct azure_source *s, const struct azure_machine *m, const struct json_value *ip)
{
    struct sd_build *b = &s->build;
    struct str rest = m->id, group = STR_NONE;
    for (int i = 0; i < 5 && str_cut(&rest, '/', &group); i++) { /* "", subscriptions, ID, resourceGroups, GROUP */
    }
    sd_build_label(b, META "subscription_id", s->subscription);
    sd_build_label(b, META "tenant_id", s->tenant);
    sd_build_label(b, META "machine_id", m->id);
    sd_build_label(b, META "machine_name", m->name);
    sd_build_label(b, META "machine_computer_name", m->computer);
    sd_build_label(b, META "machine_os_type", m->os);
    sd_build_label(b, META "machine_location", m->location);
    sd_build_label(b, META "machine_resource_group", group);
    sd_build_label(b, META "machine_size", m->size);
    sd_build_label(b, META "machine_scale_set", m->scale_set);
    sd_build_label(b, META "machine_private_ip", azure_text(ip, "privateIPAddress"));
    sd_build_label(b, META "machine_public_ip", azure_text(azure_properties(json_value_get(ip, "publicIPAddress")), "ipAddress"));
    for (size_t i = 0; i < m->tags.n; i++)
        sd_build_label_of(b, META "machine_tag_", m->tags.keys[i], m->tags.values[i]);
}

static void azure_add_interface(struct azure_source *s, struct azure_machine *m, const struct json_value *interface)
{
    const struct json_value *properties = azure_properties(interface);
    if (!str_is(json_value_scalar(json_value_get(properties, "primary")), "true"))
        return;
    for (const struct json_value *i = json_value_items(json_value_get(properties, "ipConfigurations")); i && !m->has_address; i = i->next) {
        const struct json_value *ip = azure_properties(i);
        struct str address = azure_text(ip, "privateIPAddress");
        if (address.n == 0)
            continue;
        sd_build_target(&s->build, sd_build_address(&s->build, address, s->port));
        azure_add_labels(s, m, ip);
        m->has_address = true;
    }
}

static void azure_next_interface(struct azure_source *s, struct azure_slot *slot)
{
    struct buf url = {0};
    while (s->machine < s->n_machines && s->interface == s->machines[s->machine].interfaces.n) {
        s->machine++;
        s->interface = 0;
    }
    if (s->machine == s->n_machines)
        return;
    slot->machine = &s->machines[s->machine];
    struct str id = slot->machine->interfaces.items[s->interface++];
    buf_printf(&url, "%.*s%.*s" INTERFACE_QUERY, STR_ARG(s->api), STR_ARG(id));
    s->running++;
    azure_get(s, &slot->request, buf_str(&url));
    buf_free(&url);
}

static void azure_end(struct azure_source *s)
{
    struct sd_groups *groups = s->build.groups;
    s->build.groups = NULL;
    azure_forget(s);
    sd_poll_succeeded(&s->poll, groups);
}

static void azure_on_interface(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct azure_slot *slot = CONTAINER(r, struct azure_slot, request);
    struct azure_source *s = slot->source;
    if (doc == NULL && r->status != 404) {
        azure_fail(s, err);
        return;
    }
    azure_add_interface(s, slot->machine, doc);
    s->running--;
    azure_next_interface(s, slot);
    if (s->running == 0)
        azure_end(s);
}

static void azure_read_interfaces(struct azure_source *s)
{
    sd_build_start(&s->build);
    s->machine = s->interface = s->running = 0;
    for (size_t i = 0; i < INTERFACES_AT_ONCE; i++)
        azure_next_interface(s, &s->slots[i]);
    if (s->running == 0)
        azure_end(s);
}

/* ---- lists ---- */

static void azure_add_machine(struct azure_source *s, const struct json_value *vm)
{
    struct arena *a = &s->read;
    const struct json_value *p = azure_properties(vm), *tags = json_value_get(vm, "tags");
    const struct json_value *list = json_value_get(json_value_get(p, "networkProfile"), "networkInterfaces");
    arena_grow(a, &s->machines, &s->machines_cap, s->n_machines + 1, sizeof *s->machines);
    struct azure_machine *m = &s->machines[s->n_machines++];
    *m = (struct azure_machine){
        .id = arena_str(a, azure_text(vm, "id")), .name = arena_str(a, azure_text(vm, "name")),
        .location = arena_str(a, azure_text(vm, "location")),
        .computer = arena_str(a, azure_text(json_value_get(p, "osProfile"), "computerName")),
        .os = arena_str(a, azure_text(json_value_get(json_value_get(p, "storageProfile"), "osDisk"), "osType")),
        .size = arena_str(a, azure_text(json_value_get(p, "hardwareProfile"), "vmSize")),
        .scale_set = s->set > 0 ? s->sets[s->set - 1].name : STR_NONE};
    m->tags.keys = ARENA_ARRAY(a, struct str, tags ? tags->n : 0);
    m->tags.values = ARENA_ARRAY(a, struct str, tags ? tags->n : 0);
    for (const struct json_value *t = json_value_items(tags); t; t = t->next) {
        m->tags.keys[m->tags.n] = arena_str(a, t->key);
        m->tags.values[m->tags.n++] = arena_str(a, json_value_text(t));
    }
    m->interfaces.items = ARENA_ARRAY(a, struct str, list ? list->n : 0);
    for (const struct json_value *i = json_value_items(list); i; i = i->next)
        if (azure_is_id(azure_text(i, "id")))
            m->interfaces.items[m->interfaces.n++] = arena_str(a, azure_text(i, "id"));
}

static void azure_add_set(struct azure_source *s, const struct json_value *set)
{
    if (!azure_is_id(azure_text(set, "id")))
        return;
    arena_grow(&s->read, &s->sets, &s->sets_cap, s->n_sets + 1, sizeof *s->sets);
    s->sets[s->n_sets++] = (struct azure_set){arena_str(&s->read, azure_text(set, "id")), arena_str(&s->read, azure_text(set, "name"))};
}

static void azure_list(struct azure_source *s, struct str url)
{
    azure_get(s, &s->request, url);
}

/* virtualMachines or virtualMachineScaleSets of the subscription or resource group. */
static void azure_list_all(struct azure_source *s, const char *what)
{
    struct buf url = {0};
    buf_printf(&url, "%.*s/subscriptions/", STR_ARG(s->api));
    url_encode(&url, s->subscription);
    if (s->group.n > 0) {
        buf_add_z(&url, "/resourceGroups/");
        url_encode(&url, s->group);
    }
    buf_printf(&url, "/providers/Microsoft.Compute/%s" COMPUTE_VERSION, what);
    azure_list(s, buf_str(&url));
    buf_free(&url);
}

/* After the last page of a list. */
static void azure_next_list(struct azure_source *s)
{
    struct buf url = {0};
    if (!s->lists_sets && s->set == 0) {
        s->lists_sets = true;
        azure_list_all(s, "virtualMachineScaleSets");
        return;
    }
    s->lists_sets = false;
    if (s->set == s->n_sets) {
        azure_read_interfaces(s);
        return;
    }
    const struct azure_set *set = &s->sets[s->set++];
    buf_printf(&url, "%.*s%.*s/virtualMachines" COMPUTE_VERSION, STR_ARG(s->api), STR_ARG(set->id));
    azure_list(s, buf_str(&url));
    buf_free(&url);
}

static struct str azure_port(const struct url *u)
{
    return u->port.n > 0 ? u->port : str_ieq(u->scheme, STR("https")) ? STR("443") : STR("80");
}

/* A link leads to another page of the same server, to which the token may be sent. */
static bool azure_check_link(struct azure_source *s, struct str link, struct err *err)
{
    struct url url, api;
    if (!url_parse(link, &url, err) || !url_parse(s->api, &api, err))
        return false;
    if (!str_ieq(url.host, api.host) || !str_ieq(url.scheme, api.scheme) || !str_eq(azure_port(&url), azure_port(&api)))
        return err_set(err, ERR_BAD_GATEWAY, "%s: nextLink of a list leads to another server", s->poll.shown);
    if (!sd_pages_next(&s->pages, link, s->poll.shown, err))
        return false;
    return !arena_over(&s->read, SD_TREE_MAX) || err_set(err, ERR_TOO_LARGE, "%s: the list of machines is too large", s->poll.shown);
}

static void azure_on_list(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct azure_source *s = CONTAINER(r, struct azure_source, request);
    const struct json_value *list = json_value_get(doc, "value");
    struct str link = azure_text(doc, "nextLink");
    struct err why;
    if (doc && (list == NULL || list->kind != JSON_ARRAY))
        err_set(err, ERR_BAD_GATEWAY, "%s: the response is not a list", s->poll.shown);
    if (list == NULL || list->kind != JSON_ARRAY) {
        azure_fail(s, err);
        return;
    }
    for (const struct json_value *v = json_value_items(list); v; v = v->next)
        if (s->lists_sets)
            azure_add_set(s, v);
        else
            azure_add_machine(s, v);
    if (link.n == 0)
        azure_next_list(s);
    else if (azure_check_link(s, link, &why))
        azure_list(s, link);
    else
        azure_fail(s, &why);
}

static void azure_source_begin(struct sd_poll *p)
{
    struct azure_source *s = azure_of_poll(p);
    s->lists_sets = false;
    s->set = 0;
    azure_list_all(s, "virtualMachines");
}

static const struct sd_poll_ops azure_source_ops = {azure_source_begin, azure_source_free};

/* ---- creation ---- */

struct sd_source *azure_source_new(const struct sd_source_env *env, const void *azure_sd, struct err *err)
{
    const struct azure_sd *conf = azure_sd;
    struct azure_tokens tokens;
    struct http_conf http = azure_http(conf, &tokens);
    struct client_profile *profile = http_conf_profile(&http, err);
    struct buf shown = {0}, key = {0};
    if (profile == NULL)
        return NULL;
    struct azure_source *s = mem_zalloc(sizeof *s);
    arena_init(&s->arena, 0);
    arena_init(&s->read, 0);
    s->api = arena_str(&s->arena, conf->api);
    s->subscription = arena_str(&s->arena, conf->subscription);
    s->tenant = arena_str(&s->arena, conf->tenant);
    s->group = arena_str(&s->arena, conf->group);
    s->port = (unsigned)conf->port;
    s->profile = profile;
    s->request.done = azure_on_list;
    for (size_t i = 0; i < INTERFACES_AT_ONCE; i++)
        s->slots[i] = (struct azure_slot){.request.done = azure_on_interface, .source = s};
    buf_printf(&shown, "Azure subscription %.*s", STR_ARG(s->subscription));
    buf_printf(&key, "azure %.*s %.*s %.*s %.*s %u %016llx %lld", STR_ARG(s->api), STR_ARG(s->subscription), STR_ARG(s->tenant),
               STR_ARG(s->group), s->port, (unsigned long long)client_profile_hash(profile), (long long)conf->server.refresh_interval);
    sd_poll_init(&s->poll, &azure_source_ops, env, conf->server.refresh_interval, SD_AZURE_FAILURES,
                 &(struct sd_found){.mechanism = "azure", .source = buf_str(&shown)}, buf_z(&shown), buf_str(&key));
    buf_free(&shown);
    buf_free(&key);
    return &s->poll.source;
}
