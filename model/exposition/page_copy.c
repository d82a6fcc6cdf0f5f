// SPDX-License-Identifier: Apache-2.0
#include "model/exposition/page_copy.h"

#include "model/remote_write.h"

void page_copy_init(struct page_copy *c)
{
    *c = (struct page_copy){0};
    arena_init(&c->scratch, 0);
    c->builder.scratch = &c->scratch;
}

void page_copy_free(struct page_copy *c)
{
    buf_free(&c->text);
    buf_free(&c->messages);
    mem_free(c->extras);
    builder_free(&c->builder);
    arena_free(&c->scratch);
}

void page_copy_start(struct page_copy *c, size_t max_bytes)
{
    buf_clear(&c->text);
    buf_clear(&c->messages);
    c->text.max = c->messages.max = max_bytes;
    c->n_extras = 0;
    c->err = (struct err){0};
}

void page_copy_release(struct page_copy *c, struct mem_release *release)
{
    enum { KEEP = 256 << 10, KEEP_EXTRAS = 1 << 10 };
    if (c->text.cap > KEEP)
        mem_release_buf(release, &c->text);
    if (c->messages.cap > KEEP)
        mem_release_buf(release, &c->messages);
    mem_release_items(release, &c->extras, &c->_cap, sizeof *c->extras, KEEP_EXTRAS);
}

struct page_text page_copy_text(const struct page_copy *c, enum exposition_format format)
{
    return (struct page_text){.text = buf_str(&c->text), .format = format, .extras = c->extras,
                              .n_extras = c->n_extras, .messages = c->messages.p};
}

/* ---- extras ---- */

bool page_copy_extra(struct page_copy *c, struct page_extra extra)
{
    if (c->messages.over)
        return err_set(&c->err, ERR_TOO_LARGE, "histograms and exemplars of the response have more than %zu bytes",
                       c->messages.max);
    if (c->n_extras == c->_cap)
        mem_grow(&c->extras, &c->_cap, c->n_extras + 1, sizeof *c->extras);
    extra.n = extra.kind == PAGE_START ? 0 : (uint32_t)(c->messages.n - extra.message);
    c->extras[c->n_extras++] = extra;
    return true;
}

bool page_copy_exemplar(struct page_copy *c, uint32_t at, struct labels labels, double value, int64_t t, uint64_t hash)
{
    struct page_extra extra = {.at = at, .message = (uint32_t)c->messages.n, .kind = PAGE_EXEMPLAR, .hash = hash};
    if (exemplar_labels_too_long(labels))
        return true;
    rw_append_exemplar(&c->messages, labels, value, t);
    return page_copy_extra(c, extra);
}

bool page_copy_start_time(struct page_copy *c, uint32_t at, int64_t start)
{
    return page_copy_extra(c, (struct page_extra){.at = at, .kind = PAGE_START, .start = start});
}

static int64_t extra_time(const struct page_copy *c, const struct page_extra *x)
{
    return rw_exemplar_time(str_n(c->messages.p + x->message, x->n));
}

/* A histogram has few of them, mostly in order. A response may have many out of order: only so many are sorted. */
void page_copy_sort_exemplars(struct page_copy *c, size_t from)
{
    enum { MOST = 100 };
    if (c->n_extras - from > MOST)
        return;
    for (size_t i = from + 1; i < c->n_extras; i++) {
        struct page_extra x = c->extras[i];
        int64_t t = extra_time(c, &x);
        size_t k = i;
        for (; k > from && extra_time(c, &c->extras[k - 1]) > t; k--)
            c->extras[k] = c->extras[k - 1];
        c->extras[k] = x;
    }
}

bool page_copy_fits(struct page_copy *c)
{
    return !c->text.over || err_set(&c->err, ERR_TOO_LARGE, "the response would have more than %zu bytes as text",
                                    c->text.max);
}

/* ---- text ---- */

bool copy_name_plain(struct str name, enum name_kind kind)
{
    return name.n > 0 && exposition_name_end(name.p, name.p + name.n, kind) == name.p + name.n;
}

void copy_add_escaped(struct buf *out, struct str s, bool quotes)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n')
            buf_add_z(out, "\\n");
        else if (s.p[i] == '\\' || (quotes && s.p[i] == '"'))
            buf_add(out, (char[]){'\\', s.p[i]}, 2);
        else
            buf_add_char(out, s.p[i]);
    }
}

void copy_add_quoted(struct buf *out, struct str s)
{
    buf_add_char(out, '"');
    copy_add_escaped(out, s, true);
    buf_add_char(out, '"');
}

void copy_add_label(struct buf *out, struct str name, struct str value, bool *first)
{
    if (!*first)
        buf_add_char(out, ',');
    *first = false;
    if (copy_name_plain(name, NAME_LABEL))
        buf_add_str(out, name);
    else
        copy_add_quoted(out, name);
    buf_add_char(out, '=');
    copy_add_quoted(out, value);
}

/* ---- type and unit ---- */

bool family_labels_replace(const struct family_labels *f, struct str label)
{
    return (f->type != METRIC_UNKNOWN && str_is(label, TYPE_LABEL)) || (f->unit.n > 0 && str_is(label, UNIT_LABEL));
}

void copy_add_family_labels(struct buf *out, const struct family_labels *f, bool *first)
{
    if (f->type != METRIC_UNKNOWN)
        copy_add_label(out, STR(TYPE_LABEL), str_of(metric_type_name(f->type)), first);
    if (f->unit.n > 0)
        copy_add_label(out, STR(UNIT_LABEL), f->unit, first);
}
