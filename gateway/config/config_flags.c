// SPDX-License-Identifier: Apache-2.0
/* Builds destinations from -remoteWrite.*: item i of a list applies to the i-th URL, a single item to all URLs, an
 * empty item means the default.
 */
#include "gateway/config/config_file.h"
#include "gateway/config/dialect.h"

#include "base/json/json_tree.h"
#include "base/text/url.h"

bool config_flags_parse(struct loader *l, enum conf_type type, const char *flag, struct str text, int64_t min,
                        int64_t max, void *to)
{
    const struct conf_row row = {.type = type, .name = flag, .min = min, .max = max};
    struct conf_context loose = l->conf;
    loose.loose_durations = true;
    return text.n == 0 || conf_scalar(&loose, &row, text, to, l->err) || err_wrap(l->err, "-%s", flag);
}

struct str_list config_flags_split(struct loader *l, struct str text)
{
    struct str_list list = {0};
    size_t most = 1;
    for (size_t i = 0; i + 1 < text.n; i++)
        most += text.p[i] == '^' && text.p[i + 1] == '^';
    list.items = ARENA_ARRAY(l->conf.arena, struct str, most);
    while (list.items && text.n > 0) {
        size_t end = str_find_str(text, STR("^^"));
        list.items[list.n++] = str_first(text, end);
        text = str_skip(text, end + 2);
    }
    return list;
}

static bool destination_set_auth(struct loader *l, const struct remote_write_flags *f, size_t i, struct http_conf *http)
{
    struct basic_auth_conf basic = {.username = flags_item(&f->basic_auth_username, i),
                                    .username_file = flags_item(&f->basic_auth_username_file, i),
                                    .password = flags_item(&f->basic_auth_password, i),
                                    .password_file = flags_item(&f->basic_auth_password_file, i)};
    if (basic.username.n > 0 || basic.username_file.n > 0) {
        http->basic_auth = ARENA_NEW(l->conf.arena, struct basic_auth_conf);
        *http->basic_auth = basic;
    }
    const struct { const char *flag; const struct str_list *files; } files[] = {
        {"-remoteWrite.basicAuth.usernameFile", &f->basic_auth_username_file},
        {"-remoteWrite.basicAuth.passwordFile", &f->basic_auth_password_file},
        {"-remoteWrite.bearerTokenFile", &f->bearer_token_file},
        {"-remoteWrite.oauth2.clientSecretFile", &f->oauth2_client_secret_file}, {"-remoteWrite.tlsCAFile", &f->tls_ca_file},
        {"-remoteWrite.tlsCertFile", &f->tls_cert_file}, {"-remoteWrite.tlsKeyFile", &f->tls_key_file}};
    for (size_t k = 0; k < LEN(files); k++)
        conf_check_readable(&l->conf, NULL, files[k].flag, flags_item(files[k].files, i));
    http->bearer_token = flags_item(&f->bearer_token, i);
    http->bearer_token_file = flags_item(&f->bearer_token_file, i);
    http->proxy_url = flags_item(&f->proxy_url, i);
    http->tls.ca_file = flags_item(&f->tls_ca_file, i);
    http->tls.cert_file = flags_item(&f->tls_cert_file, i);
    http->tls.key_file = flags_item(&f->tls_key_file, i);
    http->tls.server_name = flags_item(&f->tls_server_name, i);
    bool *insecure = &http->tls.insecure_skip_verify;
    return config_flags_parse(l, CONF_BOOL, "remoteWrite.tlsInsecureSkipVerify", flags_item(&f->tls_insecure, i), 0, 0,
                              insecure);
}

/* {"name": "value", ...} */
static bool destination_set_params(struct loader *l, struct str text, struct str_map *params)
{
    struct err why;
    struct json_tree *root = json_tree_parse(text, &why);
    struct json_tree_member m = {0};
    bool ok = json_tree_kind(root) == JSON_TREE_OBJECT;
    size_t most = json_tree_count(root);
    params->keys = ARENA_ARRAY(l->conf.arena, struct str, most + 1);
    params->values = ARENA_ARRAY(l->conf.arena, struct str, most + 1);
    while (ok && json_tree_next(root, &m)) {
        ok = json_tree_kind(m.value) == JSON_TREE_STRING;
        params->keys[params->n] = str_of(arena_z(l->conf.arena, m.key));
        params->values[params->n++] = str_of(arena_z(l->conf.arena, json_tree_str(m.value)));
    }
    json_tree_free(root);
    return ok || err_set(l->err, ERR_BAD_DATA, "-remoteWrite.oauth2.endpointParams: not a JSON object of strings");
}

static bool destination_set_oauth2(struct loader *l, const struct remote_write_flags *f, size_t i, struct http_conf *http)
{
    struct str params = flags_item(&f->oauth2_endpoint_params, i), scopes = flags_item(&f->oauth2_scopes, i), scope;
    struct str id = flags_item(&f->oauth2_client_id, i), token_url = flags_item(&f->oauth2_token_url, i);
    struct url url;
    if (id.n == 0)
        return true;
    struct oauth2_conf *o = http->oauth2 = ARENA_NEW(l->conf.arena, struct oauth2_conf);
    *o = (struct oauth2_conf){.client_id = id, .client_secret = flags_item(&f->oauth2_client_secret, i),
                              .client_secret_file = flags_item(&f->oauth2_client_secret_file, i), .token_url = token_url};
    o->scopes.items = ARENA_ARRAY(l->conf.arena, struct str, str_count(scopes, ';') + 1);
    while (scopes.n > 0 && str_cut(&scopes, ';', &scope))
        o->scopes.items[o->scopes.n++] = str_of(arena_z(l->conf.arena, str_trim(scope)));
    if (!url_parse(token_url, &url, l->err))
        return err_wrap(l->err, "-remoteWrite.oauth2.tokenUrl");
    return params.n == 0 || destination_set_params(l, params, &o->endpoint_params);
}

static bool destination_set_sigv4(struct loader *l, const struct remote_write_flags *f, size_t i, struct http_conf *http)
{
    bool use = false;
    if (!config_flags_parse(l, CONF_BOOL, "remoteWrite.aws.useSigv4", flags_item(&f->aws_use_sigv4, i), 0, 0, &use))
        return false;
    if (!use)
        return true;
    struct str service = flags_item(&f->aws_service, i);
    http->sigv4 = ARENA_NEW(l->conf.arena, struct sigv4_conf);
    *http->sigv4 = (struct sigv4_conf){
        .region = flags_item(&f->aws_region, i), .access_key = flags_item(&f->aws_access_key, i),
        .secret_key = flags_item(&f->aws_secret_key, i), .role_arn = flags_item(&f->aws_role_arn, i),
        .service_name = service.n > 0 ? service : STR("aps"), .sts_endpoint = flags_item(&f->aws_sts_endpoint, i)};
    return true;
}

/* "Name: value^^Name2: value2" */
static void destination_set_headers(struct loader *l, struct str text, struct str_list *headers)
{
    *headers = config_flags_split(l, text);
    for (size_t i = 0; i < headers->n; i++)
        headers->items[i] = str_of(arena_z(l->conf.arena, str_trim(headers->items[i])));
}

static bool destination_set_queue(struct loader *l, const struct remote_write_flags *f, size_t i,
                                  struct destination_conf *d)
{
    bool no_metadata = false, no_disk = false, snappy = false, zstd = false;
    const int64_t hour = 3600000;
    struct queue_conf *q = &d->queue;
    q->max_samples = f->max_rows_per_block;
    q->max_block_bytes = f->max_block_size;
    bool ok = config_flags_parse(l, CONF_INT, "remoteWrite.queues", flags_item(&f->queues, i), 1, 256, &q->shards)
              && config_flags_parse(l, CONF_DURATION, "remoteWrite.sendTimeout", flags_item(&f->send_timeout, i), 1,
                                    hour, &d->remote_timeout)
              && config_flags_parse(l, CONF_DURATION, "remoteWrite.retryMinInterval", flags_item(&f->retry_min, i), 1,
                                    hour, &q->min_backoff)
              && config_flags_parse(l, CONF_DURATION, "remoteWrite.retryMaxInterval", flags_item(&f->retry_max, i), 1,
                                    hour, &q->max_backoff)
              && config_flags_parse(l, CONF_SIZE, "remoteWrite.maxDiskUsagePerURL", flags_item(&f->max_disk, i), 0, 0,
                                    &d->max_disk_bytes)
              && config_flags_parse(l, CONF_SIZE, "remoteWrite.rateLimit", flags_item(&f->rate_limit, i), 0, 0,
                                    &d->rate_limit)
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.disableMetadata", flags_item(&f->disable_metadata, i), 0,
                                    0, &no_metadata)
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.disableOnDiskQueue",
                                    flags_item(&f->disable_disk_queue, i), 0, 0, &no_disk)
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.forcePromProto", flags_item(&f->force_prom_proto, i), 0,
                                    0, &snappy)
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.forceVMProto", flags_item(&f->force_vm_proto, i), 0, 0,
                                    &zstd);
    if (q->max_backoff < q->min_backoff)
        q->max_backoff = q->min_backoff;
    d->protocol = zstd ? PROTOCOL_ZSTD : snappy ? PROTOCOL_SNAPPY : PROTOCOL_AUTO;
    d->send_metadata = !no_metadata;
    if (no_disk) {
        d->durability = DURABILITY_MEMORY;
        d->on_full = f->drop_on_overload ? FULL_DROP_OLDEST : FULL_PUSH_BACK;
    }
    return ok;
}

static bool destination_set_rounding(struct loader *l, const struct remote_write_flags *f, size_t i,
                                     struct destination_conf *d)
{
    return config_flags_parse(l, CONF_INT, "remoteWrite.significantFigures", flags_item(&f->significant_figures, i), 0, 1000,
                              &d->significant_figures)
           && config_flags_parse(l, CONF_INT, "remoteWrite.roundDigits", flags_item(&f->round_digits, i), -1000, 1000,
                                 &d->round_digits);
}

static bool destination_set_labels(struct loader *l, const struct str_list *given, struct str_map *labels)
{
    labels->keys = ARENA_ARRAY(l->conf.arena, struct str, given->n + 1);
    labels->values = ARENA_ARRAY(l->conf.arena, struct str, given->n + 1);
    for (size_t i = 0; i < given->n; i++) {
        struct str value = given->items[i], name;
        str_cut(&value, '=', &name);
        if (value.p == NULL || !label_name_valid(name))
            return err_set(l->err, ERR_BAD_DATA, "-remoteWrite.label: \"%.*s\" does not have the form name=value",
                           STR_ARG(given->items[i]));
        labels->keys[labels->n] = name;
        labels->values[labels->n++] = value;
    }
    return true;
}

static void mark_chain_end(struct loader *l, struct conf_items rules)
{
    if (rules.n > 0)
        ((struct relabel_rule *)rules.items)[rules.n - 1].ends_chain = dialects[l->flags->dialect].page.drops_reserved;
}

struct relabel_file { struct str path; struct conf_items rules; bool hangs; const struct yaml *node; }; /* path empty: none */
struct flag_destination {
    size_t i;
    struct relabel_file common;
    struct str hung; /* the last file that did not respond, which other URLs may have, too; empty: none */
    struct destination_conf *d;
};

/* -remoteWrite.relabelConfig; loaded, and thus checked, even if no URL is set */
static bool load_common_relabeling(struct loader *l, void *arg)
{
    struct relabel_file *f = arg;
    f->path = l->flags->remote_write.relabel_config;
    if (f->path.n > 0 && !config_load_list(l, f->path.p, &relabel_section, &f->rules, &f->hangs, &f->node))
        return err_wrap(l->err, "-remoteWrite.relabelConfig");
    mark_chain_end(l, f->rules);
    l->config->common_rules = f->node;
    struct conf_items *all = &l->file.pipeline.relabel_configs;
    return config_join(l, *all, f->rules, sizeof(struct relabel_rule), all);
}

static bool destination_set_relabeling(struct loader *l, void *arg)
{
    struct flag_destination *new = arg;
    struct relabel_file own = {.path = flags_item(&l->flags->remote_write.url_relabel_config, new->i)};
    own.hangs = own.path.n > 0 && str_eq(own.path, new->hung);
    if (own.path.n > 0 && !own.hangs
        && !config_load_list(l, own.path.p, &relabel_section, &own.rules, &own.hangs, &own.node))
        return err_wrap(l->err, "-remoteWrite.urlRelabelConfig");
    if (own.hangs)
        new->hung = own.path;
    mark_chain_end(l, own.rules);
    l->config->url_rules[l->config->n_flag_destinations - 1] = own.node;
    new->d->unread_rules = own.hangs ? own.path : new->common.hangs ? new->common.path : STR_NONE;
    new->d->write_relabel_configs = own.rules;
    return true;
}

static bool destination_set_fields(struct loader *l, void *arg)
{
    const struct flag_destination *new = arg;
    const struct remote_write_flags *f = &l->flags->remote_write;
    struct destination_conf *d = new->d;
    size_t i = new->i;
    struct url url;
    if (!conf_defaults(&l->conf, &remote_write_section, d, l->err))
        return false;
    d->url = f->url.items[i];
    if (!url_parse(d->url, &url, l->err))
        return err_wrap(l->err, "-remoteWrite.url");
    destination_set_headers(l, flags_item(&f->headers, i), &d->http.headers);
    return destination_set_auth(l, f, i, &d->http) && destination_set_oauth2(l, f, i, &d->http)
           && destination_set_sigv4(l, f, i, &d->http) && destination_set_queue(l, f, i, d) && destination_set_rounding(l, f, i, d)
           && destination_set_labels(l, &f->label, &d->extra_labels) && http_conf_check(NULL, &d->http, l->err)
           && config_set_flag_aggregation(l, i, d);
}

/* Lists of the file end as those of flags do. */
static void end_chains_of_file(struct loader *l)
{
    mark_chain_end(l, l->file.pipeline.relabel_configs);
    for (size_t i = 0; i < l->file.remote_write.n; i++)
        mark_chain_end(l, ((const struct destination_conf *)l->file.remote_write.items)[i].write_relabel_configs);
}

/* -remoteWrite.shardByURL */
static bool set_sharding(struct loader *l)
{
    const struct remote_write_flags *f = &l->flags->remote_write;
    if (f->shard_by_url && l->file.sharding)
        return err_set(l->err, ERR_BAD_DATA, "-remoteWrite.shardByURL and the key `shard` exclude each other; remove one");
    if (f->shard_labels.n > 0 && f->shard_ignore_labels.n > 0)
        return err_set(l->err, ERR_BAD_DATA, "-remoteWrite.shardByURL.labels and -remoteWrite.shardByURL.ignoreLabels "
                       "exclude each other; remove one");
    if (f->shard_by_url) {
        l->file.sharding = ARENA_NEW(l->conf.arena, struct sharding_conf);
        *l->file.sharding = (struct sharding_conf){.labels = f->shard_labels, .ignore_labels = f->shard_ignore_labels,
                                                   .replicas = f->shard_replicas};
    }
    return true;
}

/* Without the rules of all destinations none of them gets samples. */
static void mark_common_unread(struct loader *l, const struct relabel_file *common)
{
    for (size_t i = 0; common->hangs && i < l->file.remote_write.n; i++)
        ((struct destination_conf *)l->file.remote_write.items)[i].unread_rules = common->path;
}

/* Flags that are set win over the file's. */
static void set_limits(struct loader *l)
{
    const struct remote_write_flags *f = &l->flags->remote_write;
    struct limits_conf *to = &l->file.pipeline.limits;
    const struct { int64_t from, *to; } limits[] = {
        {f->max_labels, &to->max_labels}, {f->max_label_name_length, &to->max_label_name_length},
        {f->max_label_value_length, &to->max_label_value_length}, {f->max_hourly_series, &to->max_hourly_series},
        {f->max_daily_series, &to->max_daily_series}};
    for (size_t i = 0; i < LEN(limits); i++)
        if (limits[i].from != 0)
            *limits[i].to = limits[i].from < INT32_MAX ? limits[i].from : INT32_MAX;
}

bool config_add_destinations(struct loader *l)
{
    end_chains_of_file(l);
    set_limits(l);
    const struct str_list *urls = &l->flags->remote_write.url;
    struct conf_items made = {ARENA_ARRAY(l->conf.arena, struct destination_conf, urls->n + 1), 0};
    struct flag_destination new = {0};
    struct str failed_file = STR_NONE; /* a file that several URLs use is reported once */
    l->config->url_rules = ARENA_ARRAY(l->conf.arena, const struct yaml *, urls->n + 1);
    bool ok = config_step(l, load_common_relabeling, &new.common) && config_load_aggregation(l);
    mark_common_unread(l, &new.common);
    for (new.i = 0; new.i < urls->n; new.i++) {
        if (urls->items[new.i].n == 0)
            continue;
        new.d = (struct destination_conf *)made.items + made.n++;
        l->config->n_flag_destinations = made.n;
        ok = config_step(l, destination_set_fields, &new) && ok; /* first, since it sets all defaults */
        struct str rules = flags_item(&l->flags->remote_write.url_relabel_config, new.i);
        if (rules.n > 0 && str_eq(rules, failed_file))
            continue;
        if (!config_step(l, destination_set_relabeling, &new)) {
            ok = false;
            failed_file = rules;
        }
    }
    return ok && set_sharding(l) && config_join(l, l->file.remote_write, made, sizeof(struct destination_conf), &l->file.remote_write);
}
