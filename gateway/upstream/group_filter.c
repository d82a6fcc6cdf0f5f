// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group_filter.h"

#include "base/map.h"
#include "base/os/thread.h"
#include "base/refs.h"

/* --- keys --------------------------------------------------------------------------------------------------------- */

#define FILTER(field) offsetof(struct label_filter_conf, field)
static const struct conf_row filter_rows[] = {
    {CONF_STRINGS, "dynamic_labels", FILTER(dynamic_labels),
     .help = "Labels whose values are read from the servers, in the background"},
    {CONF_DURATION, "sync_interval", FILTER(sync_interval), .preset = "0s", .max = 366ll * 86400000,
     .help = "Interval for reading them again; 0 = they are read once. A new value is not found until then"},
    {CONF_MULTIMAP, "static_labels_include", FILTER(include), .help = "Values of labels, by name"},
    {CONF_MULTIMAP, "static_labels_exclude", FILTER(exclude),
     .help = "Values to take from the others; a query for them does not read the group"},
    {0}};
static bool filter_check_names(const struct yaml *node, const struct str *names, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!label_name_valid(names[i]))
            return conf_err(node, err, "label_filter: \"%.*s\" is not a valid label name", STR_ARG(names[i]));
    return true;
}

static bool filter_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct label_filter_conf *f = value;
    return filter_check_names(node, f->dynamic_labels.items, f->dynamic_labels.n, err) &&
           filter_check_names(node, f->include.keys, f->include.n, err) &&
           filter_check_names(node, f->exclude.keys, f->exclude.n, err);
}
const struct conf_section label_filter_section = {
    "label_filter", sizeof(struct label_filter_conf), filter_rows, filter_check,
    "Queries that the servers of a group are not sent, since no value of their labels matches"};

/* --- values ------------------------------------------------------------------------------------------------------- */

struct filter_values { struct refs refs; struct arena arena; struct map map; };

static struct filter_values *filter_values_new(void)
{
    struct filter_values *v = mem_zalloc(sizeof *v);
    refs_init(&v->refs);
    arena_init(&v->arena, 0);
    return v;
}

static void filter_values_unref(struct filter_values *v)
{
    if (v == NULL || !refs_drop(&v->refs))
        return;
    map_free(&v->map);
    arena_free(&v->arena);
    mem_free(v);
}

static void filter_values_add(struct filter_values *v, const struct str *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (map_find(&v->map, items[i]) == NULL)
            map_set(&v->map, arena_str(&v->arena, items[i]), NULL);
}

struct filter_label {
    struct str name;
    bool dynamic, listed;
    struct filter_values *included, *excluded;
    struct filter_values *read;   /* NULL: not known */
};

struct group_filter {
    struct mutex mutex;           /* of `read` in labels */
    struct arena arena;           /* names */
    struct filter_label *labels; size_t n, cap;
    int64_t interval, due;        /* ms; INT64_MAX: never again */
};

static struct filter_label *filter_label_add(struct group_filter *f, struct str name)
{
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(f->labels[i].name, name))
            return &f->labels[i];
    mem_grow(&f->labels, &f->cap, f->n + 1, sizeof *f->labels);
    f->labels[f->n] = (struct filter_label){
        .name = arena_str(&f->arena, name), .included = filter_values_new(), .excluded = filter_values_new()};
    return &f->labels[f->n++];
}

struct group_filter *group_filter_new(const struct label_filter_conf *conf)
{
    if (conf->dynamic_labels.n + conf->include.n + conf->exclude.n == 0)
        return NULL;
    struct group_filter *f = mem_zalloc(sizeof *f);
    mutex_init(&f->mutex, RANK_LEAF);
    arena_init(&f->arena, 0);
    f->interval = conf->sync_interval;
    f->due = conf->dynamic_labels.n > 0 ? 0 : INT64_MAX;
    for (size_t i = 0; i < conf->dynamic_labels.n; i++)
        filter_label_add(f, conf->dynamic_labels.items[i])->dynamic = true;
    for (size_t i = 0; i < conf->include.n; i++) {
        struct filter_label *l = filter_label_add(f, conf->include.keys[i]);
        l->listed = true;
        filter_values_add(l->included, conf->include.values[i].items, conf->include.values[i].n);
    }
    for (size_t i = 0; i < conf->exclude.n; i++)
        filter_values_add(filter_label_add(f, conf->exclude.keys[i])->excluded, conf->exclude.values[i].items,
                          conf->exclude.values[i].n);
    return f;
}

void group_filter_free(struct group_filter *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->n; i++) {
        filter_values_unref(f->labels[i].included);
        filter_values_unref(f->labels[i].excluded);
        filter_values_unref(f->labels[i].read);
    }
    mem_free(f->labels);
    arena_free(&f->arena);
    mutex_free(&f->mutex);
    mem_free(f);
}

/* --- selectors ---------------------------------------------------------------------------------------------------- */

struct filter_asking { const struct filter_label *label; const struct matcher *m; size_t n; };

static bool filter_passes(const struct filter_asking *ask, struct str value)
{
    bool passes = map_find(&ask->label->excluded->map, value) == NULL;
    for (size_t i = 0; passes && i < ask->n; i++)
        passes = !str_eq(ask->m[i].name, ask->label->name) || matcher_value(&ask->m[i], value);
    return passes;
}

static bool filter_any_passes(const struct filter_asking *ask, const struct filter_values *values)
{
    for (struct map_entry *e = values ? map_next(&values->map, NULL) : NULL; e; e = map_next(&values->map, e))
        if (filter_passes(ask, e->key))
            return true;
    return false;
}

/* The values to which the matchers restrict the label, if they are few: of name="value", name=~"a|b". */
static const struct str *filter_wanted(const struct filter_asking *ask, size_t *n)
{
    for (size_t i = 0; i < ask->n; i++) {
        const struct matcher *m = &ask->m[i];
        if (!str_eq(m->name, ask->label->name))
            continue;
        *n = 1;
        const struct str *values = m->type == MATCH_EQ ? &m->value
                                   : m->type == MATCH_RE ? regex_literals(m->re, n) : NULL;
        if (values)
            return values;
    }
    return NULL;
}

static bool filter_known(const struct filter_label *l, const struct filter_values *read, struct str value)
{
    return map_find(&l->included->map, value) || (read && map_find(&read->map, value));
}

/* read: NULL where the label may have any value. */
static bool filter_label_admits(const struct filter_asking *ask, const struct filter_values *read)
{
    size_t n = 0;
    const struct filter_label *l = ask->label;
    const struct str *wanted = filter_wanted(ask, &n);
    bool any_value = l->dynamic ? read == NULL : !l->listed;
    if (wanted == NULL)
        return any_value || filter_any_passes(ask, l->included) || filter_any_passes(ask, read);
    for (size_t i = 0; i < n; i++)
        if ((any_value || filter_known(l, read, wanted[i])) && filter_passes(ask, wanted[i]))
            return true;
    return false;
}

/* A matcher on the label that series without it do not fulfil. */
static bool filter_requires(const struct filter_label *l, const struct matcher *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(m[i].name, l->name) && !matcher_matches_empty(&m[i]))
            return true;
    return false;
}

static struct filter_values *filter_take_read(struct group_filter *f, const struct filter_label *l)
{
    mutex_lock(&f->mutex);
    struct filter_values *read = l->read;
    if (read)
        refs_take(&read->refs);
    mutex_unlock(&f->mutex);
    return read;
}

bool group_filter_admits(struct group_filter *f, const struct matcher *m, size_t n, bool read)
{
    bool admits = true;
    for (size_t i = 0; f && admits && i < f->n; i++) {
        const struct filter_label *l = &f->labels[i];
        if (!filter_requires(l, m, n))
            continue;
        struct filter_values *values = l->dynamic && read ? filter_take_read(f, l) : NULL;
        admits = filter_label_admits(&(struct filter_asking){l, m, n}, values);
        filter_values_unref(values);
    }
    return admits;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct str group_filter_dynamic(const struct group_filter *f, size_t i)
{
    for (size_t k = 0; k < f->n; k++)
        if (f->labels[k].dynamic && i-- == 0)
            return f->labels[k].name;
    return STR_NONE;
}

bool group_filter_due(const struct group_filter *f, int64_t now_mono) { return f && now_mono >= f->due; }

void group_filter_set(struct group_filter *f, struct str name, const struct str *values, size_t n, bool complete)
{
    struct filter_label *l = filter_label_add(f, name);
    struct filter_values *now = NULL;
    if (complete || l->read) {
        now = filter_values_new();
        filter_values_add(now, values, n);
        for (struct map_entry *e = !complete ? map_next(&l->read->map, NULL) : NULL; e; e = map_next(&l->read->map, e))
            filter_values_add(now, &e->key, 1);
    }
    if (now && now->map.n > FILTER_VALUES) {
        filter_values_unref(now);
        now = NULL;
    }
    mutex_lock(&f->mutex);
    struct filter_values *before = l->read;
    l->read = now;
    mutex_unlock(&f->mutex);
    filter_values_unref(before);
}

void group_filter_synced(struct group_filter *f, int64_t now_mono, bool complete)
{
    int64_t wait = complete ? f->interval : FILTER_RETRY_MS;
    if (!complete && f->interval > 0 && f->interval < wait)
        wait = f->interval;
    f->due = complete && f->interval == 0 ? INT64_MAX : now_mono + wait;
}
