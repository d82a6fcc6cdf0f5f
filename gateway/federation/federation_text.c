// SPDX-License-Identifier: Apache-2.0
/* The text exposition format 0.0.4, with timestamps. It has no form for native histograms, which are skipped. */
#include "gateway/federation/federation.h"

#include "base/text/num.h"

/* The text format escapes only these three. */
static void federation_text_quote(struct buf *out, struct str value)
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

static void federation_text_name(struct buf *out, struct str name, bool plain, enum federation_escaping escaping)
{
    if (plain)
        federation_escape(out, name, escaping);
    else
        federation_text_quote(out, name);
}

/* plain: the name of the metric is in front of the braces. */
static void federation_text_labels(struct buf *out, struct labels l, bool plain, enum federation_escaping escaping)
{
    struct labels_iter it = labels_iter(l);
    struct label label;
    const char *comma = "";
    buf_add_char(out, '{');
    if (!plain) {
        federation_text_quote(out, labels_name(l));
        comma = ",";
    }
    while (labels_next(&it, &label)) {
        if (str_is(label.name, METRIC_NAME))
            continue;
        buf_add_z(out, comma);
        federation_text_name(out, label.name, escaping != ESCAPE_NOTHING || metric_name_legacy(label.name), escaping);
        buf_add_char(out, '=');
        federation_text_quote(out, label.value);
        comma = ",";
    }
    if (labels_get(l, STR("instance")).p == NULL)
        buf_printf(out, "%sinstance=\"\"", comma);
    buf_add_char(out, '}');
}

static void federation_text_type(struct buf *out, struct str name, bool plain, enum federation_escaping escaping)
{
    buf_add_z(out, "# TYPE ");
    federation_text_name(out, name, plain, escaping);
    buf_add_z(out, " untyped\n");
}

bool federation_write_text(struct buf *out, const struct federated *items, size_t n, enum federation_escaping escaping,
                           struct query_work *work, struct err *err)
{
    const struct federated *last = NULL;
    for (const struct federated *s = items; s < items + n; s++) {
        struct str name = labels_name(s->labels);
        bool plain = escaping != ESCAPE_NOTHING || metric_name_legacy(name);
        if (!query_charge(work, QUERY_CHARGE_WRITE, err))
            return false;
        if (s->h || name.n == 0 || (last && labels_equal(s->labels, last->labels)))
            continue;
        if (last == NULL || !str_eq(name, labels_name(last->labels)))
            federation_text_type(out, name, plain, escaping);
        if (plain)
            federation_escape(out, name, escaping);
        federation_text_labels(out, s->labels, plain, escaping);
        buf_add_char(out, ' ');
        char value[NUM_MAX];
        buf_add(out, value, num_format_go(value, s->v)); /* as the text format is written by Go: 1e+06 */
        buf_add_char(out, ' ');
        buf_add_i64(out, s->t);
        buf_add_char(out, '\n');
        last = s;
    }
    return true;
}
