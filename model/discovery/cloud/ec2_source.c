// SPDX-License-Identifier: Apache-2.0
/* Instances of EC2 (ec2_sd_configs of Prometheus). Requests are signed with the keys that base/http/aws_credentials.h finds,
 * which also has the region, if none is configured. Every refresh_interval:
 *
 *   DescribeAvailabilityZones   once, for the ids of zones; without permission targets lack them
 *   DescribeInstances           pages of INSTANCES_PER_PAGE, one after the other
 *
 * An instance without a private address has the address of its first primary IPv6 address, or the first one.
 * Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/
 */
#include "model/discovery/groups/sd_build.h"
#include "model/discovery/groups/sd_pages.h"
#include "model/discovery/source/sd_poll.h"
#include "model/discovery/source/sd_request.h"

#include "base/http/aws_credentials.h"
#include "base/telemetry/log.h"
#include "base/text/num.h"
#include "base/text/url.h"

#define META "__meta_ec2_"
#define EC2_VERSION "2016-11-15"

enum { EC2_TIMEOUT_MS = 60000, INSTANCES_PER_PAGE = 1000, EC2_INTERFACES = 64 };

#define EC2(field) offsetof(struct ec2_sd, field)
static const struct conf_row ec2_rows[] = {
    {CONF_STRING, "region", EC2(region), .help = "Region. Default: of the environment, the profile or the machine"},
    {CONF_URL, "endpoint", EC2(endpoint), .help = "URL of the API. Default: that of the region"},
    {CONF_URL, "sts_endpoint", EC2(sts_endpoint), .help = "URL of STS, for `role_arn`. Default: that of the region"},
    {CONF_STRING, "access_key", EC2(access_key), .help = "Access key. Default: of the environment, the profile or the machine"},
    {CONF_SECRET, "secret_key", EC2(secret_key), .help = "Secret of the access key"},
    {CONF_STRING, "profile", EC2(profile), .help = "Profile of `~/.aws/credentials` and `~/.aws/config`"},
    {CONF_STRING, "role_arn", EC2(role_arn), .help = "Role to assume"},
    {CONF_STRING, "external_id", EC2(external_id), .help = "External ID for assuming the role"},
    {CONF_INT, "port", EC2(port), .preset = "80", .min = 0, .max = 65535, .help = "Port of the targets"},
    {CONF_SECTIONS, "filters", EC2(filters), .section = &sd_filter_section, .help = "Filters of the list of instances"},
    {CONF_SECTIONS, "az_filters", EC2(az_filters), .section = &sd_filter_section, .help = "Filters of the list of availability zones"},
    {CONF_DURATION, "refresh_interval", EC2(server.refresh_interval), .help = "Time between reads. Default: 1m"},
    HTTP_CONF_ROWS(struct ec2_sd, server.http),
    {0}};

/* The options of the HTTP client, with the keys; `keys` must live as long. */
static struct http_conf ec2_http(const struct ec2_sd *sd, struct sigv4_conf *keys)
{
    struct http_conf http = sd->server.http;
    *keys = (struct sigv4_conf){.region = sd->region, .access_key = sd->access_key, .secret_key = sd->secret_key,
                                .profile = sd->profile, .role_arn = sd->role_arn, .external_id = sd->external_id,
                                .service_name = STR("ec2"), .sts_endpoint = sd->sts_endpoint};
    http.sigv4 = keys;
    return http;
}

static struct client_sigv4 ec2_keys(const struct sigv4_conf *k)
{
    return (struct client_sigv4){k->region.p, k->access_key.p, k->secret_key.p, k->profile.p, k->role_arn.p, k->external_id.p,
                                 k->service_name.p, k->sts_endpoint.p, false};
}

static bool check_ec2_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct ec2_sd *sd = value;
    struct sigv4_conf keys;
    struct err why;
    struct url url;
    struct http_conf http = ec2_http(sd, &keys);
    const struct client_sigv4 all = ec2_keys(&keys);
    if (sd->server.http.sigv4)
        return conf_err(yaml_get(node, "sigv4"), err, "ec2_sd_config.sigv4: set access_key, secret_key, profile and role_arn beside it");
    if (!aws_credentials_check(&all, &why))
        return conf_err(node, err, "ec2_sd_config: %s", why.text);
    if (url_is_http(sd->endpoint) && !url_parse(sd->endpoint, &url, &why))
        return conf_err(yaml_get(node, "endpoint"), err, "ec2_sd_config.endpoint: %s", why.text);
    return http_conf_check(node, &http, err);
}
const struct conf_section ec2_sd_section = {"ec2_sd_config", sizeof(struct ec2_sd), ec2_rows, check_ec2_sd, "Instances of EC2"};

/* ---- the source ---- */

struct ec2_source {
    struct sd_poll poll;
    char *endpoint;              /* configured, or NULL */
    char *zone_form, *form;      /* of the two requests */
    unsigned port;
    struct client_profile *profile;
    struct token_source *keys;
    struct token_request keys_request;
    struct sd_request request;
    struct buf body;             /* of the request in progress */
    char *region;
    struct arena zones_arena;
    struct map zones;            /* name to id, a struct str in the arena */
    bool has_zones;
    /* The read in progress: */
    struct sd_build build;
    struct sd_pages pages;
    char *page;                  /* the token of the next page, or NULL */
};

static struct ec2_source *ec2_of_poll(struct sd_poll *p) { return (struct ec2_source *)(void *)p; }

static void ec2_source_free(struct sd_poll *p)
{
    struct ec2_source *s = ec2_of_poll(p);
    token_cancel(&s->keys_request);
    sd_request_free(&s->request);
    sd_build_drop(&s->build);
    sd_pages_clear(&s->pages);
    client_profile_unref(s->profile);
    token_source_unref(s->keys);
    map_free(&s->zones);
    arena_free(&s->zones_arena);
    buf_free(&s->body);
    char *texts[] = {s->endpoint, s->zone_form, s->form, s->region, s->page};
    for (size_t i = 0; i < LEN(texts); i++)
        mem_free(texts[i]);
    mem_free(s);
}

static void ec2_fail(struct ec2_source *s, const char *why)
{
    sd_request_free(&s->request);
    sd_build_drop(&s->build);
    mem_free(s->page);
    s->page = NULL;
    sd_poll_failed(&s->poll, why);
}

static void ec2_post(struct ec2_source *s, const char *form, void (*done)(struct sd_request *, const struct json_value *, struct err *))
{
    struct buf url = {0};
    if (s->endpoint)
        buf_add_z(&url, s->endpoint);
    else
        buf_printf(&url, "https://ec2.%s.amazonaws.com%s/", s->region, str_starts(str_of(s->region), STR("cn-")) ? ".cn" : "");
    buf_clear(&s->body);
    buf_add_z(&s->body, form);
    if (s->page)
        form_add(&s->body, "NextToken", str_of(s->page));
    s->request.done = done;
    sd_request_start(&s->request, &(struct sd_ask){
        .client = s->poll.env.client(s->poll.env.arg), .profile = s->profile, .url = buf_str(&url), .body = buf_str(&s->body),
        .is_xml = true, .timeout_ms = EC2_TIMEOUT_MS});
    buf_free(&url);
}

/* ---- instances ---- */

static struct str ec2_text(const struct json_value *object, const char *key) { return json_value_text(json_value_get(object, key)); }

struct ec2_addresses {
    struct str primary[EC2_INTERFACES]; size_t n_primary; /* by the index of their device */
    struct buf primaries, all, subnets;  /* ",A,B," */
    struct map has_subnet;
    struct str first;                    /* of all */
};

static void ec2_add_item(struct buf *list, struct str item)
{
    if (list->n == 0)
        buf_add_char(list, ',');
    buf_add_str(list, item);
    buf_add_char(list, ',');
}

static void ec2_read_interface(struct ec2_addresses *a, const struct json_value *interface)
{
    struct str device = ec2_text(json_value_get(interface, "attachment"), "deviceIndex"), subnet = ec2_text(interface, "subnetId");
    uint64_t index = 0;
    bool added;
    if (subnet.n == 0)
        return;
    map_add(&a->has_subnet, subnet, &added);
    if (added)
        ec2_add_item(&a->subnets, subnet);
    for (const struct json_value *i = json_value_items(json_value_get(interface, "ipv6AddressesSet")); i; i = i->next) {
        struct str address = ec2_text(i, "ipv6Address");
        if (address.n == 0)
            continue;
        if (a->first.n == 0)
            a->first = address;
        ec2_add_item(&a->all, address);
        if (!str_is(ec2_text(i, "isPrimaryIpv6"), "true") || !num_parse_u64(device, &index) || index >= EC2_INTERFACES)
            continue;
        a->primary[index] = address;
        a->n_primary = index + 1 > a->n_primary ? index + 1 : a->n_primary;
    }
}

/* Returns the address that is used by default. */
static struct str ec2_read_interfaces(struct ec2_addresses *a, const struct json_value *instance)
{
    struct str chosen = STR_NONE;
    if (ec2_text(instance, "vpcId").n == 0)
        return STR_NONE;
    for (const struct json_value *i = json_value_items(json_value_get(instance, "networkInterfaceSet")); i; i = i->next)
        ec2_read_interface(a, i);
    for (size_t i = 0; i < a->n_primary; i++) {
        ec2_add_item(&a->primaries, a->primary[i]);
        if (chosen.n == 0)
            chosen = a->primary[i];
    }
    return chosen.n > 0 ? chosen : a->first;
}

static struct str ec2_zone_id(const struct ec2_source *s, struct str zone)
{
    const struct str *id = map_get(&s->zones, zone);
    return id ? *id : STR_NONE;
}

static void ec2_add_labels(struct ec2_source *s, struct str owner, const struct json_value *i, const struct ec2_addresses *a)
{
    static const struct { const char *label, *key; } texts[] = {
        {META "instance_id", "instanceId"}, {META "private_ip", "privateIpAddress"}, {META "private_dns_name", "privateDnsName"},
        {META "platform", "platform"}, {META "public_ip", "ipAddress"}, {META "ami", "imageId"}, {META "instance_type", "instanceType"},
        {META "instance_lifecycle", "instanceLifecycle"}, {META "architecture", "architecture"}, {META "vpc_id", "vpcId"}};
    struct str zone = ec2_text(json_value_get(i, "placement"), "availabilityZone");
    struct sd_build *b = &s->build;
    for (size_t k = 0; k < LEN(texts); k++)
        sd_build_label(b, texts[k].label, ec2_text(i, texts[k].key));
    sd_build_label(b, META "region", str_of(s->region));
    sd_build_label(b, META "owner_id", owner);
    if (ec2_text(i, "ipAddress").n > 0)
        sd_build_label(b, META "public_dns_name", ec2_text(i, "dnsName"));
    sd_build_label(b, META "availability_zone", zone);
    sd_build_label(b, META "availability_zone_id", ec2_zone_id(s, zone));
    sd_build_label(b, META "instance_state", ec2_text(json_value_get(i, "instanceState"), "name"));
    if (ec2_text(i, "vpcId").n > 0) {
        sd_build_label(b, META "primary_subnet_id", ec2_text(i, "subnetId"));
        sd_build_label(b, META "subnet_id", a->subnets.n > 0 ? buf_str(&a->subnets) : STR(",,"));
    }
    sd_build_label(b, META "ipv6_addresses", buf_str(&a->all));
    sd_build_label(b, META "primary_ipv6_addresses", buf_str(&a->primaries));
    for (const struct json_value *t = json_value_items(json_value_get(i, "tagSet")); t; t = t->next)
        sd_build_label_of(b, META "tag_", ec2_text(t, "key"), ec2_text(t, "value"));
}

static void ec2_add_instance(struct ec2_source *s, struct str owner, const struct json_value *instance)
{
    struct ec2_addresses a = {.n_primary = 0};
    struct str v4 = ec2_text(instance, "privateIpAddress"), v6 = ec2_read_interfaces(&a, instance);
    if (v4.n > 0 || v6.n > 0) {
        sd_build_target(&s->build, sd_build_address(&s->build, v4.n > 0 ? v4 : v6, s->port));
        if (v6.n > 0)
            sd_build_label(&s->build, META "default_ipv6_address", v6);
        ec2_add_labels(s, owner, instance, &a);
    }
    buf_free(&a.primaries);
    buf_free(&a.all);
    buf_free(&a.subnets);
    map_free(&a.has_subnet);
}

static void ec2_end(struct ec2_source *s)
{
    struct sd_groups *groups = s->build.groups;
    s->build.groups = NULL;
    sd_request_free(&s->request);
    sd_poll_succeeded(&s->poll, groups);
}

/* The token of the next page; false: the list cannot be continued. */
static bool ec2_take_page(struct ec2_source *s, struct str token, struct err *err)
{
    if (token.n > 0 && !sd_pages_next(&s->pages, token, s->poll.shown, err))
        return false;
    mem_free(s->page);
    s->page = token.n > 0 ? str_dup(token) : NULL;
    return !arena_over(sd_build_arena(&s->build), SD_TREE_MAX)
           || err_set(err, ERR_TOO_LARGE, "%s: the list of instances is too large", s->poll.shown);
}

static void ec2_on_instances(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct ec2_source *s = CONTAINER(r, struct ec2_source, request);
    const struct json_value *all = json_value_get(doc, "DescribeInstancesResponse");
    if (doc && all == NULL)
        err_set(err, ERR_BAD_GATEWAY, "%s: the response has no DescribeInstancesResponse", s->poll.shown);
    if (all == NULL) {
        ec2_fail(s, err->text);
        return;
    }
    for (const struct json_value *g = json_value_items(json_value_get(all, "reservationSet")); g; g = g->next)
        for (const struct json_value *i = json_value_items(json_value_get(g, "instancesSet")); i; i = i->next)
            ec2_add_instance(s, ec2_text(g, "ownerId"), i);
    struct err why;
    if (!ec2_take_page(s, ec2_text(all, "nextToken"), &why))
        ec2_fail(s, why.text);
    else if (s->page)
        ec2_post(s, s->form, ec2_on_instances);
    else
        ec2_end(s);
}

static void ec2_read_instances(struct ec2_source *s)
{
    sd_pages_clear(&s->pages);
    sd_build_start(&s->build);
    ec2_post(s, s->form, ec2_on_instances);
}

/* ---- availability zones ---- */

static void ec2_on_zones(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct ec2_source *s = CONTAINER(r, struct ec2_source, request);
    const struct json_value *list = json_value_get(json_value_get(doc, "DescribeAvailabilityZonesResponse"), "availabilityZoneInfo");
    if (doc == NULL)
        log_debug("sd", "cannot list availability zones; targets have no __meta_ec2_availability_zone_id", s->poll.env.owner.kind,
                  s->poll.env.owner.name.p, "err", err->text);
    s->has_zones = list != NULL;
    for (const struct json_value *z = json_value_items(list); z; z = z->next) {
        struct str *id = ARENA_NEW(&s->zones_arena, struct str);
        *id = arena_str(&s->zones_arena, ec2_text(z, "zoneId"));
        map_set(&s->zones, arena_str(&s->zones_arena, ec2_text(z, "zoneName")), id);
    }
    ec2_read_instances(s);
}

/* ---- keys ---- */

static void ec2_on_keys(struct token_request *r)
{
    struct ec2_source *s = CONTAINER(r, struct ec2_source, keys_request);
    struct sigv4_key key;
    struct buf held = {0};
    struct err err;
    if (!aws_credentials_read(s->keys, &key, &held, &err)) {
        buf_free(&held);
        ec2_fail(s, err.text);
        return;
    }
    mem_free(s->region);
    s->region = str_dup(key.region);
    buf_free(&held);
    if (s->has_zones)
        ec2_read_instances(s);
    else
        ec2_post(s, s->zone_form, ec2_on_zones);
}

static void ec2_source_begin(struct sd_poll *p)
{
    struct ec2_source *s = ec2_of_poll(p);
    if (token_ask(s->keys, &s->keys_request))
        ec2_on_keys(&s->keys_request);
}

static const struct sd_poll_ops ec2_source_ops = {ec2_source_begin, ec2_source_free};

/* ---- creation ---- */

static void ec2_add_filters(struct buf *form, const struct conf_items *filters)
{
    const struct sd_filter *f = filters->items;
    struct buf name = {0};
    for (size_t i = 0; i < filters->n; i++) {
        buf_clear(&name);
        buf_printf(&name, "Filter.%zu.Name", i + 1);
        form_add(form, buf_z(&name), f[i].name);
        for (size_t k = 0; k < f[i].values.n; k++) {
            buf_clear(&name);
            buf_printf(&name, "Filter.%zu.Value.%zu", i + 1, k + 1);
            form_add(form, buf_z(&name), f[i].values.items[k]);
        }
    }
    buf_free(&name);
}

static char *ec2_form(const char *action, const struct conf_items *filters)
{
    struct buf form = {0};
    form_add(&form, "Action", str_of(action));
    form_add(&form, "Version", STR(EC2_VERSION));
    ec2_add_filters(&form, filters);
    char *text = mem_strdup(buf_z(&form));
    buf_free(&form);
    return text;
}

static char *ec2_instances_form(const struct conf_items *filters)
{
    struct buf form = {0};
    char *begin = ec2_form("DescribeInstances", filters);
    buf_printf(&form, "%s&MaxResults=%d", begin, INSTANCES_PER_PAGE);
    mem_free(begin);
    char *text = mem_strdup(buf_z(&form));
    buf_free(&form);
    return text;
}

struct sd_source *ec2_source_new(const struct sd_source_env *env, const void *ec2_sd, struct err *err)
{
    const struct ec2_sd *conf = ec2_sd;
    struct sigv4_conf keys;
    struct http_conf http = ec2_http(conf, &keys);
    const struct client_sigv4 all = ec2_keys(&keys);
    struct token_source *source = aws_credentials_get(&all, err);
    struct client_profile *profile = source ? http_conf_profile(&http, err) : NULL;
    struct buf shown = {0}, key = {0}, endpoint = {0};
    if (profile == NULL) {
        token_source_unref(source);
        return NULL;
    }
    struct ec2_source *s = mem_zalloc(sizeof *s);
    arena_init(&s->zones_arena, 0);
    if (conf->endpoint.n > 0)
        buf_printf(&endpoint, "%s%.*s", url_is_http(conf->endpoint) ? "" : "https://", STR_ARG(conf->endpoint));
    s->endpoint = endpoint.n > 0 ? mem_strdup(buf_z(&endpoint)) : NULL;
    s->zone_form = ec2_form("DescribeAvailabilityZones", &conf->az_filters);
    s->form = ec2_instances_form(&conf->filters);
    s->port = (unsigned)conf->port;
    s->profile = profile;
    s->keys = source;
    s->keys_request = (struct token_request){.loop = env->main, .done = ec2_on_keys};
    if (s->endpoint)
        url_redact(&shown, str_of(s->endpoint));
    else
        buf_printf(&shown, "EC2 of %s", conf->region.n > 0 ? conf->region.p : "the default region");
    buf_printf(&key, "ec2 %s %s %s %u %016llx %lld", s->endpoint ? s->endpoint : "", s->zone_form, s->form, s->port,
               (unsigned long long)client_profile_hash(profile), (long long)conf->server.refresh_interval);
    sd_poll_init(&s->poll, &ec2_source_ops, env, conf->server.refresh_interval, SD_EC2_FAILURES,
                 &(struct sd_found){.mechanism = "ec2", .source = buf_str(&shown)}, buf_z(&shown), buf_str(&key));
    buf_free(&shown);
    buf_free(&key);
    buf_free(&endpoint);
    return &s->poll.source;
}
