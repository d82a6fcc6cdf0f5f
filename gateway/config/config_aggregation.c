// SPDX-License-Identifier: Apache-2.0
/* Stream aggregation: files of rules, and vmagent's flags as sections of the file. */
#include "gateway/config/config_file.h"

/* Its rules are shown instead of its path. */
static bool config_read_rules(struct loader *l, struct aggregate_conf *a)
{
    const struct conf_context before = l->conf;
    struct buf text = {0};
    a->path = str_of(config_shown_path(l, a->rules_file.p));
    const struct yaml *document = config_read_file(l, a->rules_file.p, &text)
                                      ? config_parse_yaml(l, a->rules_file.p, buf_str(&text)) : NULL;
    bool ok = document && aggregate_load_file(&l->conf, document, a, l->err);
    buf_free(&text);
    l->conf = before;
    a->rules_file = STR_NONE;
    return ok;
}

static struct aggregate_conf *config_new_aggregation(struct loader *l)
{
    struct aggregate_conf *a = ARENA_NEW(l->conf.arena, struct aggregate_conf);
    return a && conf_defaults(&l->conf, &aggregate_section, a, l->err) ? a : NULL;
}

static bool config_drop_labels(struct loader *l, struct aggregate_conf *a, struct str_list names)
{
    return aggregate_set_drop_labels(l->conf.arena, a, names) ||
           err_set(l->err, ERR_BAD_DATA, "the configuration exceeds its memory limit");
}

/* ---- all series -------------------------------------------------------------------------------------------------- */

static bool config_set_global_aggregation(struct loader *l)
{
    const struct aggregation_flags *f = &l->flags->aggregation;
    if (f->config.n == 0 && f->dedup_interval == 0)
        return true;
    if (l->file.pipeline.aggregate)
        return err_set(l->err, ERR_BAD_DATA, "-streamAggr.config or -streamAggr.dedupInterval and the key "
                       "`pipeline.stream_aggregation` exclude each other; remove one");
    struct aggregate_conf *a = config_new_aggregation(l);
    if (a == NULL)
        return false;
    a->rules_file = f->config;
    a->keep_input = f->keep_input;
    a->drop_input = f->drop_input;
    a->dedup_interval = f->dedup_interval;
    a->ignore_old_samples = f->ignore_old_samples;
    a->ignore_first_intervals = f->ignore_first_intervals;
    a->enable_windows = f->enable_windows;
    l->file.pipeline.aggregate = a;
    return config_drop_labels(l, a, f->drop_input_labels);
}

static bool config_read_global_rules(struct loader *l, void *arg)
{
    bool of_flag = l->flags->aggregation.config.n > 0;
    return config_read_rules(l, arg) ||
           err_wrap(l->err, "%s", of_flag ? "-streamAggr.config" : "pipeline.stream_aggregation");
}

static bool config_read_own_rules(struct loader *l, void *arg)
{
    return config_read_rules(l, arg) || err_wrap(l->err, "remote_write.stream_aggregation");
}

static bool config_needs_rules(const struct aggregate_conf *a) { return a && a->rules_file.n > 0; }

bool config_load_aggregation(struct loader *l)
{
    const struct destination_conf *all = l->file.remote_write.items;
    if (!config_set_global_aggregation(l))
        return false;
    struct aggregate_conf *a = l->file.pipeline.aggregate;
    bool ok = !config_needs_rules(a) || config_step(l, config_read_global_rules, a);
    for (size_t i = 0; i < l->file.remote_write.n; i++)
        if (config_needs_rules(all[i].aggregate))
            ok = config_step(l, config_read_own_rules, all[i].aggregate) && ok;
    return ok;
}

/* ---- a URL ------------------------------------------------------------------------------------------------------- */

bool config_set_flag_aggregation(struct loader *l, size_t i, struct destination_conf *d)
{
    const struct url_aggregation_flags *f = &l->flags->url_aggregation;
    struct aggregate_conf *a = config_new_aggregation(l);
    if (a == NULL)
        return false;
    a->rules_file = flags_item(&f->config, i);
    bool ok = config_drop_labels(l, a, config_flags_split(l, flags_item(&f->drop_input_labels, i)))
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.streamAggr.keepInput", flags_item(&f->keep_input, i), 0,
                                    0, &a->keep_input)
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.streamAggr.dropInput", flags_item(&f->drop_input, i), 0,
                                    0, &a->drop_input)
              && config_flags_parse(l, CONF_DURATION, "remoteWrite.streamAggr.dedupInterval",
                                    flags_item(&f->dedup_interval, i), 0, 0, &a->dedup_interval)
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.streamAggr.ignoreOldSamples",
                                    flags_item(&f->ignore_old_samples, i), 0, 0, &a->ignore_old_samples)
              && config_flags_parse(l, CONF_INT, "remoteWrite.streamAggr.ignoreFirstIntervals",
                                    flags_item(&f->ignore_first_intervals, i), 0, 1000000, &a->ignore_first_intervals)
              && config_flags_parse(l, CONF_BOOL, "remoteWrite.streamAggr.enableWindows",
                                    flags_item(&f->enable_windows, i), 0, 0, &a->enable_windows);
    if (!ok || (a->rules_file.n == 0 && a->dedup_interval == 0))
        return ok;
    d->aggregate = a;
    return a->rules_file.n == 0 || config_read_rules(l, a) || err_wrap(l->err, "-remoteWrite.streamAggr.config");
}
