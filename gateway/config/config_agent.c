// SPDX-License-Identifier: Apache-2.0
/* Converts the file of a Grafana Agent in static mode: `metrics` (formerly `prometheus`) has `global` with a default of
 * remote_write, and `configs`, each a set of jobs with its destinations. Here all jobs send to all destinations; if the
 * configs have different ones, a comment says so.
 */
#include "gateway/config/config_convert.h"

#include "base/os/file_read.h"

struct agent {
    struct arena arena;
    const struct yaml *metrics;
    struct yaml jobs, destinations;
    bool differ;          /* configs have different destinations */
    struct buf *out;
};

static struct str agent_text(const struct yaml *map, const char *key)
{
    const struct yaml *value = yaml_get(map, key);
    return value && value->kind == YAML_SCALAR ? value->text : STR_NONE;
}

static bool agent_has(const struct yaml *list, const char *key, struct str text)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(agent_text(&list->items[i], key), text))
            return true;
    return false;
}

/* Sets the key of a mapping to a text. Another value stays: a start refuses it. */
static void agent_set(struct agent *g, struct yaml *map, const char *key, struct str text)
{
    struct yaml value = {.kind = YAML_SCALAR, .quoted = true, .text = text};
    struct yaml changed = {.kind = YAML_MAP};
    if (map->kind != YAML_MAP)
        return;
    for (size_t i = 0; i < map->n; i++)
        if (!str_is(map->keys[i].text, key))
            yaml_put(&g->arena, &changed, map->keys[i].text.p, &map->items[i]);
    yaml_put(&g->arena, &changed, key, &value);
    *map = changed;
}

/* Names that two configs have are those of the second with its name before them. */
static void agent_add_jobs(struct agent *g, const struct yaml *config, struct str name)
{
    const struct yaml *list = yaml_get(config, "scrape_configs");
    if (list == NULL || list->kind != YAML_LIST)
        return;
    struct yaml jobs = tree_with_paths(&g->arena, &scrape_job_section, list);
    for (size_t i = 0; i < jobs.n; i++) {
        struct str job = agent_text(&jobs.items[i], "job_name");
        if (agent_has(&g->jobs, "job_name", job))
            agent_set(g, &jobs.items[i], "job_name", arena_printf(&g->arena, "%.*s/%.*s", STR_ARG(name), STR_ARG(job)));
    }
    tree_append(&g->arena, &g->jobs, &jobs);
}

static bool trees_equal(const struct yaml *a, const struct yaml *b)
{
    struct buf x = {0}, y = {0};
    yaml_write(&x, a);
    yaml_write(&y, b);
    bool equal = str_eq(buf_str(&x), buf_str(&y));
    buf_free(&x);
    buf_free(&y);
    return equal;
}

static void agent_add_destinations(struct agent *g, const struct yaml *config, struct str name, const struct yaml **last)
{
    const struct yaml *list = yaml_get(config, "remote_write");
    list = list && list->n > 0 ? list : yaml_get(yaml_get(g->metrics, "global"), "remote_write");
    if (list == NULL || list->kind != YAML_LIST)
        return;
    bool known = *last && trees_equal(*last, list);
    g->differ = g->differ || (*last && !known);
    *last = list;
    if (known)
        return;
    struct yaml destinations = tree_with_paths(&g->arena, &remote_write_section, list);
    for (size_t i = 0; i < destinations.n; i++) {
        struct str own = agent_text(&destinations.items[i], "name");
        if (own.n == 0 || agent_has(&g->destinations, "name", own))
            agent_set(g, &destinations.items[i], "name",
                      own.n > 0 ? arena_printf(&g->arena, "%.*s-%.*s", STR_ARG(name), STR_ARG(own))
                                : arena_printf(&g->arena, "%.*s-%zu", STR_ARG(name), i + 1));
    }
    tree_append(&g->arena, &g->destinations, &destinations);
}

static struct yaml agent_global(struct agent *g)
{
    const struct yaml *global = yaml_get(g->metrics, "global");
    struct yaml kept = {.kind = YAML_MAP};
    for (size_t i = 0; global && global->kind == YAML_MAP && i < global->n; i++)
        if (!str_is(global->keys[i].text, "remote_write"))
            yaml_put(&g->arena, &kept, global->keys[i].text.p, &global->items[i]);
    return kept;
}

static void agent_comments(struct agent *g, const struct yaml *doc)
{
    static const char *const others[] = {"integrations", "logs", "loki", "traces", "tempo"};
    struct str wal = agent_text(g->metrics, "wal_directory"), address = agent_text(yaml_get(doc, "server"), "http_listen_address");
    struct str port = agent_text(yaml_get(doc, "server"), "http_listen_port");
    buf_add_z(g->out, "# Converted by sluice " VERSION ". Secrets are in the clear. Save it as sluice.yml, and start:\n"
                      "# sluice --config.file=sluice.yml --dialect=prometheus");
    if (wal.n > 0)
        buf_printf(g->out, " --storage.agent.path=%.*s", STR_ARG(wal));
    if (address.n > 0 || port.n > 0)
        buf_printf(g->out, " --web.listen-address=%.*s:%.*s", STR_ARG(address), STR_ARG(port.n > 0 ? port : STR("80")));
    buf_add_char(g->out, '\n');
    for (size_t i = 0; i < LEN(others); i++)
        if (yaml_get(doc, others[i]))
            buf_printf(g->out, "# Not converted: %s (no exporters, logs or traces here)\n", others[i]);
    if (g->differ)
        buf_add_z(g->out, "# The configs had different destinations; here all jobs send to all of them. Keep them apart with\n"
                          "# write_relabel_configs, or with one sluice for each.\n");
}

static void agent_write(struct agent *g, const struct yaml *doc)
{
    struct yaml file = {.kind = YAML_MAP}, global = agent_global(g);
    agent_comments(g, doc);
    if (global.n > 0)
        yaml_put(&g->arena, &file, "global", &global);
    if (g->jobs.n > 0)
        yaml_put(&g->arena, &file, "scrape_configs", &g->jobs);
    if (g->destinations.n > 0)
        yaml_put(&g->arena, &file, "remote_write", &g->destinations);
    yaml_write(g->out, &file);
}

static bool agent_convert(struct agent *g, const char *path, struct str text, struct err *err)
{
    const struct yaml *doc = yaml_parse(&g->arena, text, arena_z(&g->arena, str_of(path)), err), *last = NULL;
    if (doc == NULL)
        return false;
    g->metrics = yaml_get(doc, "metrics") ? yaml_get(doc, "metrics") : yaml_get(doc, "prometheus");
    const struct yaml *configs = yaml_get(g->metrics, "configs");
    if (g->metrics == NULL)
        return err_set(err, ERR_BAD_DATA, "%s: there is no `metrics`: it is not a file of Grafana Agent in static mode", path);
    for (size_t i = 0; configs && configs->kind == YAML_LIST && i < configs->n; i++) {
        struct str name = agent_text(&configs->items[i], "name");
        name = name.n > 0 ? name : arena_printf(&g->arena, "config%zu", i + 1);
        agent_add_jobs(g, &configs->items[i], name);
        agent_add_destinations(g, &configs->items[i], name, &last);
    }
    agent_write(g, doc);
    return true;
}

bool config_convert_agent(const char *path, struct buf *out, struct err *err)
{
    struct agent g = {.jobs = {.kind = YAML_LIST}, .destinations = {.kind = YAML_LIST}, .out = out};
    struct buf text = {0};
    arena_init(&g.arena, 0);
    bool ok = file_read(path, CONFIG_FILE_MAX, &text, err) && agent_convert(&g, path, buf_str(&text), err);
    buf_free(&text);
    arena_free(&g.arena);
    return ok;
}
