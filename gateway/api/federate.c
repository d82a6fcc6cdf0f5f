// SPDX-License-Identifier: Apache-2.0
/* /federate: the newest sample of each selected series within the lookback, in the text exposition format, sorted by
 * metric, with timestamps and external labels. Series without instance get an empty one, so that a scraper with
 * honor_labels does not add its own. Native histograms cannot be represented and are skipped. Names beyond the legacy
 * character set are quoted for scrapers that accept it (escaping=allow-utf-8); for others each such character becomes
 * an underscore, as in Prometheus.
 */
#include "base/text/num.h"
#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/query/params.h"
#include "gateway/api/query.h"
#include "gateway/services/services.h"

struct latest { struct labels labels; int64_t t; double v; };
struct federation {
    int64_t now, lookback;
    struct series_set *sets; size_t n_sets;
    struct latest *items; size_t n, cap; /* not of the arena: nothing jumps while they are gathered from a set */
};

static void federate_end(void *arg)
{
    struct federation *f = arg;
    for (size_t i = 0; i < f->n_sets; i++)
        series_set_release(&f->sets[i]);
    mem_free(f->items);
}

/* ---- gathering ---- */

static bool federate_select(struct api_call *c, struct federation *f, const struct selector_params *selectors)
{
    struct select *wanted = ARENA_ARRAY(c->q->arena, struct select, selectors->n);
    for (size_t i = 0; i < selectors->n; i++)
        wanted[i] = (struct select){.kind = SELECT_INSTANT,
                                    .matchers = selectors->sets[i], .n_matchers = selectors->sizes[i],
                                    .t_min = f->now - f->lookback + 1, .t_max = f->now,
                                    .start = f->now, .end = f->now, .step = 1,
                                    .window = f->lookback, .wants_origin = true, .func = ""};
    f->sets = ARENA_ARRAY(c->q->arena, struct series_set, selectors->n);
    f->n_sets = selectors->n;
    return c->source->ops->select(c->source, c->q, wanted, selectors->n, f->sets, &c->err);
}

static void add_latest(struct federation *f, const struct series_set *set, const struct series *s)
{
    if (s->n_samples == 0)
        return;
    uint32_t last = s->n_samples - 1;
    struct sample newest = s->samples[last];
    if (is_stale(newest.v) || (s->n_hists > 0 && s->hists[s->n_hists - 1].t > newest.t))
        return;
    if (set->exact && s->origins)
        newest.t = s->origins[last];
    mem_grow(&f->items, &f->cap, f->n + 1, sizeof *f->items);
    f->items[f->n++] = (struct latest){s->labels, newest.t, newest.v};
}

static bool federate_gather(struct api_call *c, struct federation *f, struct series_set *set)
{
    struct series s;
    for (size_t i = 0; i < set->n; i++) {
        if (!series_set_get(set, i, &s, &c->err) || !api_charge(c, QUERY_CHARGE_LABELS + s.n_samples))
            return false;
        add_latest(f, set, &s);
    }
    return true;
}

static bool add_external_labels(struct api_call *c, struct federation *f)
{
    const struct str_map *external = &c->r->config->global.external_labels;
    for (size_t k = 0; k < external->n; k++)
        for (size_t i = 0; i < f->n; i++) {
            if (!api_charge(c, QUERY_CHARGE_LABELS))
                return false;
            if (labels_get(f->items[i].labels, external->keys[k]).p == NULL)
                f->items[i].labels = labels_with(c->q->arena, f->items[i].labels, external->keys[k],
                                                 external->values[k]);
        }
    return true;
}

/* ---- writing ---- */

static int federate_compare_names(const void *a, const void *b)
{
    const struct latest *x = a, *y = b;
    int order = str_cmp(labels_name(x->labels), labels_name(y->labels));
    return order ? order : labels_cmp(x->labels, y->labels);
}

/* As a legacy name: every other character is one '_'. */
static void write_escaped(struct buf *out, struct str name, bool metric)
{
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool digit = c >= '0' && c <= '9', letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if ((c & 0xC0) == 0x80) /* the rest of a character */
            continue;
        bool fits = letter || c == '_' || (digit && i > 0) || (metric && c == ':');
        buf_add_char(out, fits ? (char)c : '_');
    }
}

/* The text format escapes only these three. */
static void federate_write_value(struct buf *out, struct str value)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < value.n; i++)
        switch (value.p[i]) {
        case '\\': buf_add_z(out, "\\\\"); break;
        case '"': buf_add_z(out, "\\\""); break;
        case '\n': buf_add_z(out, "\\n"); break;
        default: buf_add_char(out, value.p[i]);
        }
    buf_add_char(out, '"');
}

static void write_label_name(struct buf *out, struct str name, bool utf8)
{
    if (label_name_legacy(name))
        buf_add_str(out, name);
    else if (utf8)
        federate_write_value(out, name);
    else
        write_escaped(out, name, false);
}

static void federate_write_labels(struct buf *out, struct labels l, bool plain, bool utf8)
{
    struct labels_iter it = labels_iter(l);
    struct label label;
    const char *comma = "";
    buf_add_char(out, '{');
    if (!plain) {
        federate_write_value(out, labels_name(l));
        comma = ",";
    }
    while (labels_next(&it, &label)) {
        if (str_is(label.name, METRIC_NAME))
            continue;
        buf_add_z(out, comma);
        write_label_name(out, label.name, utf8);
        buf_add_char(out, '=');
        federate_write_value(out, label.value);
        comma = ",";
    }
    if (labels_get(l, STR("instance")).p == NULL)
        buf_printf(out, "%sinstance=\"\"", comma);
    buf_add_char(out, '}');
}

static void write_type(struct buf *out, struct str name, bool plain)
{
    buf_add_z(out, "# TYPE ");
    if (plain)
        write_escaped(out, name, true);
    else
        federate_write_value(out, name);
    buf_add_z(out, " untyped\n");
}

static bool write_all(struct api_call *c, const struct federation *f, bool utf8)
{
    struct buf *out = &c->r->out;
    for (size_t i = 0; i < f->n; i++) {
        const struct latest *s = &f->items[i];
        if (!api_charge(c, QUERY_CHARGE_WRITE))
            return false;
        struct str name = labels_name(s->labels);
        bool plain = !utf8 || metric_name_legacy(name);
        if (name.n == 0 || (i > 0 && labels_equal(s->labels, s[-1].labels)))
            continue;
        if (i == 0 || !str_eq(name, labels_name(s[-1].labels)))
            write_type(out, name, plain);
        if (plain)
            write_escaped(out, name, true);
        federate_write_labels(out, s->labels, plain, utf8);
        buf_add_char(out, ' ');
        char value[NUM_MAX];
        buf_add(out, value, num_format_go(value, s->v)); /* as the text format is written by Go: 1e+06 */
        buf_add_char(out, ' ');
        buf_add_i64(out, s->t);
        buf_add_char(out, '\n');
    }
    return true;
}

static bool federate(struct api_call *c)
{
    struct selector_params selectors;
    struct federation *f = ARENA_NEW(c->q->arena, struct federation);
    *f = (struct federation){.now = clock_wall_ms(), .lookback = c->session->service.lookback};
    c->session->end = federate_end;
    c->session->end_arg = f;
    if (!param_selectors(c->q->arena, &c->r->form, &selectors, &c->err) || !federate_select(c, f, &selectors))
        return false;
    for (size_t i = 0; i < f->n_sets; i++)
        if (!federate_gather(c, f, &f->sets[i]))
            return false;
    if (!add_external_labels(c, f) || !api_sort(c, f->items, f->n, sizeof *f->items, federate_compare_names))
        return false;
    bool utf8 = str_find_str(http_header(c->r, "Accept"), STR("escaping=allow-utf-8")) < http_header(c->r, "Accept").n;
    c->r->content_type = utf8 ? "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
                              : "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    api_reply_begin(c);
    bool whole = write_all(c, f, utf8);
    return api_reply_end(c) && whole;
}

static void federate_fail(struct http_request *r, const struct err *err)
{
    http_text(r, err_http_status(err->kind), err->text);
    buf_add_char(&r->out, '\n');
}

void api_federate(struct http_request *r) { api_respond_plain(r, federate, federate_fail); }
