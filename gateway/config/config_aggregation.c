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
    struct aggregate_conf *a = arg;
    return config_read_rules(l, a) || err_wrap(l->err, "%s", l->flags->aggregation.config.n > 0 ? "-streamAggr.config"
                                                                                                : "pipeline.stream_aggregation");
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

static bool aggregation_flag(struct loader *l, enum conf_type type, const char *flag, const struct str_list *list, size_t i,
                             void *to)
{
    const struct conf_row row = {.type = type, .name = flag, .max = type == CONF_INT ? 1000000 : 0};
    struct conf_context loose = l->conf;
    struct str text = flags_item(list, i);
    loose.loose_durations = true;
    return text.n == 0 || conf_scalar(&loose, &row, text, to, l->err) || err_wrap(l->err, "-%s", flag);
}

/* "a^^b": labels of one URL. */
static bool aggregation_drop_labels(struct loader *l, struct str text, struct aggregate_conf *a)
{
    struct str_list labels = {0};
    size_t most = 1;
    for (size_t at = 0; at + 1 < text.n; at++)
        most += text.p[at] == '^' && text.p[at + 1] == '^';
    labels.items = ARENA_ARRAY(l->conf.arena, struct str, most);
    while (labels.items && text.n > 0) {
        size_t end = str_find_str(text, STR("^^"));
        labels.items[labels.n++] = arena_str(l->conf.arena, str_first(text, end));
        text = str_skip(text, end + 2);
    }
    return config_drop_labels(l, a, labels);
}

bool config_set_flag_aggregation(struct loader *l, size_t i, struct destination_conf *d)
{
    const struct url_aggregation_flags *f = &l->flags->url_aggregation;
    struct aggregate_conf *a = config_new_aggregation(l);
    if (a == NULL)
        return false;
    a->rules_file = flags_item(&f->config, i);
    bool ok = aggregation_drop_labels(l, flags_item(&f->drop_input_labels, i), a)
              && aggregation_flag(l, CONF_BOOL, "remoteWrite.streamAggr.keepInput", &f->keep_input, i, &a->keep_input)
              && aggregation_flag(l, CONF_BOOL, "remoteWrite.streamAggr.dropInput", &f->drop_input, i, &a->drop_input)
              && aggregation_flag(l, CONF_DURATION, "remoteWrite.streamAggr.dedupInterval", &f->dedup_interval, i,
                                  &a->dedup_interval)
              && aggregation_flag(l, CONF_BOOL, "remoteWrite.streamAggr.ignoreOldSamples", &f->ignore_old_samples, i,
                                  &a->ignore_old_samples)
              && aggregation_flag(l, CONF_INT, "remoteWrite.streamAggr.ignoreFirstIntervals", &f->ignore_first_intervals, i,
                                  &a->ignore_first_intervals)
              && aggregation_flag(l, CONF_BOOL, "remoteWrite.streamAggr.enableWindows", &f->enable_windows, i,
                                  &a->enable_windows);
    if (!ok || (a->rules_file.n == 0 && a->dedup_interval == 0))
        return ok;
    d->aggregate = a;
    return a->rules_file.n == 0 || config_read_rules(l, a) || err_wrap(l->err, "-remoteWrite.streamAggr.config");
}
