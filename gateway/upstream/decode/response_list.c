// SPDX-License-Identifier: Apache-2.0
/* Short responses, buffered until they are complete and then decoded as a tree: metadata, exemplars, status of a
 * server. Long lists: response_names.c. */
#include "gateway/upstream/decode/response.h"

#include "base/protobuf.h"
#include "base/json/json_tree.h"
#include "base/text/duration.h"
#include "base/text/num.h"
#include "base/conf/yaml.h"
#include "model/json_labels.h"

#include <math.h>

struct list_response;
typedef bool take_tree(struct list_response *t, const struct json_tree *data, struct err *err);
struct list_response {
    struct decoder decoder;
    struct label_list *list;
    struct server_build *build;
    struct server_flags *flags;
    struct arena *arena; struct labels *external;
    take_tree *take;
    size_t max;                  /* bytes of the body */
    struct buf body;
};

/* Limit of status responses, which are short. */
enum { KIND_MAX = 64 << 10, EXTERNAL_MAX = 8 << 20 };

static bool odd(struct err *err) { return err_set(err, ERR_BAD_GATEWAY, "cannot parse the response: unexpected JSON"); }

static bool take_label_set(struct label_list *l, struct json_labels *names, const struct json_tree *object,
                           struct labels *out, struct err *err)
{
    struct json_tree_member m = {0};
    struct labels labels;
    json_labels_start(names);
    if (json_tree_kind(object) != JSON_TREE_OBJECT)
        return odd(err);
    while (json_tree_next(object, &m)) {
        struct str value = json_tree_str(m.value);
        if (value.p == NULL)
            return odd(err);
        json_labels_name(names, m.key);
        json_labels_value(names, value);
    }
    if (!json_labels_end(names, &labels, err))
        return false;
    *out = view_show(l->view, l->arena, labels);
    return true;
}

static void take_family(struct label_list *l, struct str family, const struct json_tree *entry)
{
    arena_grow(l->arena, &l->metadata, &l->cap_metadata, l->n_metadata + 1, sizeof *l->metadata);
    l->metadata[l->n_metadata++] = (struct metadata){
        .family = arena_str(l->arena, family), .help = arena_str(l->arena, json_tree_str(json_tree_get(entry, "help"))),
        .unit = arena_str(l->arena, json_tree_str(json_tree_get(entry, "unit"))),
        .type = metric_type_parse(json_tree_str(json_tree_get(entry, "type")))};
}

static bool list_response_metadata(struct list_response *t, const struct json_tree *data, struct err *err)
{
    struct json_tree_member m = {0};
    if (json_tree_kind(data) != JSON_TREE_OBJECT && json_tree_kind(data) != JSON_TREE_NULL)
        return odd(err);
    while (json_tree_next(data, &m))
        for (size_t i = 0; i < json_tree_count(m.value); i++)
            take_family(t->list, m.key, json_tree_at(m.value, i));
    return true;
}

/* {"labels":{..},"value":"0.5","timestamp":1.5} as a prometheus.Exemplar message. */
static bool take_exemplar(struct label_list *l, const struct json_tree *entry, struct str *out, struct err *err)
{
    struct json_tree_member m = {0};
    struct buf message = {0}, pair = {0};
    double value, t;
    bool ok = num_parse(json_tree_str(json_tree_get(entry, "value")), &value) &&
              json_tree_number(json_tree_get(entry, "timestamp"), &t) && fabs(t) < 9e12;
    while (ok && json_tree_next(json_tree_get(entry, "labels"), &m)) {
        buf_clear(&pair);
        pb_add_bytes(&pair, 1, m.key);
        pb_add_bytes(&pair, 2, json_tree_str(m.value));
        pb_add_bytes(&message, 1, buf_str(&pair));
    }
    if (ok) {
        pb_add_double(&message, 2, value);
        pb_add_int(&message, 3, (int64_t)round(t * 1000));
        *out = arena_str(l->arena, buf_str(&message));
    }
    buf_free(&message);
    buf_free(&pair);
    return ok || odd(err);
}

static bool take_exemplar_series(struct label_list *l, struct json_labels *names, const struct json_tree *entry,
                                 struct err *err)
{
    const struct json_tree *list = json_tree_get(entry, "exemplars");
    struct exemplar_series s = {.n = json_tree_count(list)};
    if (!take_label_set(l, names, json_tree_get(entry, "seriesLabels"), &s.labels, err))
        return false;
    s.exemplars = ARENA_ARRAY(l->arena, struct str, s.n);
    for (size_t i = 0; i < s.n; i++)
        if (!take_exemplar(l, json_tree_at(list, i), &s.exemplars[i], err))
            return false;
    arena_grow(l->arena, &l->exemplars, &l->cap_exemplars, l->n_exemplars + 1, sizeof *l->exemplars);
    l->exemplars[l->n_exemplars++] = s;
    return true;
}

static bool take_exemplars(struct list_response *t, const struct json_tree *data, struct err *err)
{
    struct json_labels names = {0};
    bool ok = json_tree_kind(data) == JSON_TREE_ARRAY || json_tree_kind(data) == JSON_TREE_NULL || odd(err);
    for (size_t i = 0; ok && i < json_tree_count(data); i++)
        ok = take_exemplar_series(t->list, &names, json_tree_at(data, i), err);
    json_labels_free(&names);
    return ok;
}

/* "3.5.1", "3.5.0+ds1" as Debian says; not "v3.0.0-rc.1", which is before 3.0.0. */
static unsigned version_number(struct str text)
{
    unsigned part[3] = {0};
    size_t at = text.n > 0 && text.p[0] == 'v', n = 0;
    for (; n < LEN(part) && at < text.n && text.p[at] >= '0' && text.p[at] <= '9'; n++) {
        for (; at < text.n && text.p[at] >= '0' && text.p[at] <= '9' && part[n] < 1000; at++)
            part[n] = 10 * part[n] + (unsigned)(text.p[at] - '0');
        at += at < text.n && text.p[at] == '.';
    }
    bool ends = at == text.n || text.p[at] == '+';
    bool release = n == LEN(part) && ends && part[0] > 0 && part[0] < 1000 && part[1] < 1000 && part[2] < 1000;
    return release ? SERVER_VERSION(part[0], part[1], part[2]) : SERVER_VERSION_NONE;
}

/* Every Prometheus reports the revision that it was built from; VictoriaMetrics reports at most the version of the
 * Prometheus that it emulates. */
static bool take_kind(struct list_response *t, const struct json_tree *data, struct err *err UNUSED)
{
    bool bare = json_tree_get(data, "revision") == NULL && json_tree_get(data, "goVersion") == NULL;
    t->build->kind = bare ? SERVER_VICTORIAMETRICS : SERVER_PROMETHEUS;
    t->build->version = SERVER_VERSION_NONE;
    if (!bare && json_tree_get(data, "application") == NULL) /* others report their name, and have their own versions */
        t->build->version = version_number(json_tree_str(json_tree_get(data, "version")));
    return true;
}

static bool take_lookback(struct list_response *t, const struct json_tree *data, struct err *err UNUSED)
{
    struct str features = json_tree_str(json_tree_get(data, "enable-feature"));
    if (!duration_parse(json_tree_str(json_tree_get(data, "query.lookback-delta")), &t->flags->lookback))
        t->flags->lookback = 0;
    t->flags->histograms = str_find_str(features, STR("native-histograms")) < features.n;
    return true;
}

static bool take_external(struct list_response *t, const struct json_tree *data, struct err *err)
{
    const struct yaml *root = yaml_parse(t->arena, json_tree_str(json_tree_get(data, "yaml")), "status/config", err);
    const struct yaml *map = root ? yaml_get(root, "global") : NULL;
    map = map ? yaml_get(map, "external_labels") : NULL;
    struct labels_builder b = {0};
    builder_start(&b, (struct labels){0});
    for (size_t i = 0; map && map->kind == YAML_MAP && i < map->n; i++)
        builder_set(&b, map->keys[i].text, map->items[i].text);
    *t->external = builder_labels(&b, t->arena);
    builder_free(&b);
    return root != NULL;
}

static bool take_notes(const struct label_list *l, const struct json_tree *root, struct err *err)
{
    const struct json_tree *warnings = json_tree_get(root, "warnings"), *infos = json_tree_get(root, "infos");
    for (size_t i = 0; i < json_tree_count(warnings); i++)
        label_list_warn(l, json_tree_str(json_tree_at(warnings, i)));
    for (size_t i = 0; i < json_tree_count(infos); i++)
        response_info(l->notes, l->secrets, json_tree_str(json_tree_at(infos, i)));
    return !json_tree_true(json_tree_get(root, "isPartial")) || response_partial(l->q, l->notes, l->secrets, err);
}

static bool list_response_feed(struct decoder *d, struct str piece, struct err *err)
{
    struct list_response *t = CONTAINER(d, struct list_response, decoder);
    t->body.max = t->max;
    if (!buf_try_reserve(&t->body, piece.n))
        return err_set(err, ERR_TOO_LARGE, "the response exceeds the limit of %zu bytes", t->max);
    buf_add_str(&t->body, piece);
    return true;
}

static bool list_response_finish(struct decoder *d, struct err *err)
{
    struct list_response *t = CONTAINER(d, struct list_response, decoder);
    struct json_tree *root = json_tree_parse(buf_str(&t->body), err);
    if (root == NULL) {
        err->kind = ERR_BAD_GATEWAY;
        return err_wrap(err, "the response is not JSON");
    }
    struct str error = json_tree_str(json_tree_get(root, "error"));
    bool ok = str_is(json_tree_str(json_tree_get(root, "status")), "success");
    if (!ok)
        err_set(err, ERR_BAD_GATEWAY, "the server returned an error: %.*s", STR_ARG(error));
    ok = ok && t->take(t, json_tree_get(root, "data"), err);
    if (ok && t->list)
        ok = take_notes(t->list, root, err);
    json_tree_free(root);
    return ok;
}

static void list_response_free(struct decoder *d)
{
    struct list_response *t = CONTAINER(d, struct list_response, decoder);
    buf_free(&t->body);
    mem_free(t);
}

static struct list_response *list_response_new(take_tree *take)
{
    struct list_response *t = mem_zalloc(sizeof *t);
    t->decoder = (struct decoder){list_response_feed, list_response_finish, list_response_free, NULL};
    t->take = take;
    t->max = JSON_TREE_MAX;
    return t;
}

static struct decoder *list_decoder(struct label_list *a, take_tree *take)
{
    struct list_response *t = list_response_new(take);
    t->list = a;
    return &t->decoder;
}

struct decoder *metadata_decoder_new(struct label_list *a) { return list_decoder(a, list_response_metadata); }
struct decoder *exemplars_decoder_new(struct label_list *a) { return list_decoder(a, take_exemplars); }

struct decoder *buildinfo_decoder_new(struct server_build *out)
{
    struct list_response *t = list_response_new(take_kind);
    t->build = out;
    t->max = KIND_MAX;
    return &t->decoder;
}

struct decoder *lookback_decoder_new(struct server_flags *out)
{
    struct list_response *t = list_response_new(take_lookback);
    t->flags = out;
    t->max = KIND_MAX;
    return &t->decoder;
}

struct decoder *external_labels_decoder_new(struct arena *a, struct labels *out)
{
    struct list_response *t = list_response_new(take_external);
    t->arena = a;
    t->external = out;
    t->max = EXTERNAL_MAX;
    return &t->decoder;
}
