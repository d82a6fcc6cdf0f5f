// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/backups.h"

static const char *const backup_taken_keys[] = {"write_relabel_configs", "extra_labels", "limits", "stream_aggregation",
                                                "significant_figures", "round_digits", "send_metadata",
                                                "send_exemplars", "send_native_histograms", "metadata_config",
                                                "protobuf_message"};
static const char *const backup_taken_queue_keys[] = {"shards", "max_samples_per_send", "max_block_bytes"};

/* A key that the primary decides. NULL: there is none. */
static const char *backup_own_key(const struct yaml *node)
{
    for (size_t i = 0; i < LEN(backup_taken_keys); i++)
        if (yaml_get(node, backup_taken_keys[i]))
            return backup_taken_keys[i];
    for (size_t i = 0; i < LEN(backup_taken_queue_keys); i++)
        if (yaml_get(yaml_get(node, "queue_config"), backup_taken_queue_keys[i]))
            return backup_taken_queue_keys[i];
    return NULL;
}

static const struct destination_conf *backup_primary(const struct destination_conf *all, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i].name, name))
            return &all[i];
    return NULL;
}

/* Whether no destination is reached that is not a backup. */
static bool backup_is_circle(const struct destination_conf *all, size_t n, const struct destination_conf *d)
{
    for (size_t steps = 0; steps <= n && d && d->backup_of.n > 0; steps++)
        d = backup_primary(all, n, d->backup_of);
    return d && d->backup_of.n > 0;
}

static bool backup_is_second(const struct destination_conf *all, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(all[k].backup_of, all[i].backup_of))
            return true;
    return false;
}

static bool backup_check(const struct destination_conf *all, size_t n, size_t i, const struct yaml *node,
                         const struct destination_conf **primary, struct err *err)
{
    struct str of = all[i].backup_of;
    const struct yaml *at = yaml_get(node, "backup_of");
    const char *key = backup_own_key(node);
    *primary = backup_primary(all, n, of);
    if (*primary == NULL)
        return conf_err(at, err, "remote_write.backup_of: there is no remote_write entry named \"%.*s\"", STR_ARG(of));
    if (backup_is_circle(all, n, *primary))
        return conf_err(at, err, "remote_write.backup_of: \"%.*s\" is, over others, a backup of itself", STR_ARG(of));
    if (all[i].name.n == 0)
        return conf_err(at, err, "remote_write.backup_of: a backup needs a name");
    if (backup_is_second(all, i))
        return conf_err(at, err, "remote_write.backup_of: \"%.*s\" has another backup already", STR_ARG(of));
    if (key)
        return conf_err(at, err, "remote_write.%s: a backup takes it from its primary, \"%.*s\"; remove it here", key,
                        STR_ARG(of));
    return true;
}

static void backup_take_settings(struct destination_conf *d, const struct destination_conf *from)
{
    d->write_relabel_configs = from->write_relabel_configs;
    d->extra_labels = from->extra_labels;
    d->limits = from->limits;
    d->aggregate = from->aggregate;
    d->significant_figures = from->significant_figures;
    d->round_digits = from->round_digits;
    d->unread_rules = from->unread_rules;
    d->send_metadata = from->send_metadata;
    d->send_exemplars = from->send_exemplars;
    d->send_native_histograms = from->send_native_histograms;
    d->metadata_config = from->metadata_config;
    d->protobuf_message = from->protobuf_message;
    d->queue.shards = from->queue.shards;
    d->queue.max_samples = from->queue.max_samples;
    d->queue.max_block_bytes = from->queue.max_block_bytes;
}

bool backups_complete(struct destination_conf *all, size_t n, const struct yaml *nodes, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct destination_conf *primary;
        const struct yaml *node = nodes && i < nodes->n ? &nodes->items[i] : NULL;
        if (all[i].backup_of.n == 0)
            continue;
        if (!backup_check(all, n, i, node, &primary, err))
            return false;
        while (primary->backup_of.n > 0 && backup_primary(all, n, primary->backup_of))
            primary = backup_primary(all, n, primary->backup_of);
        backup_take_settings(&all[i], primary);
    }
    return true;
}
