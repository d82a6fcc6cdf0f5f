// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gateway/responses.h"

#include "base/text/num.h"

void responses_begin(struct responses *t)
{
    memset(t, 0, sizeof *t);
    arena_init(&t->arena, 0);
    t->notes.arena = &t->arena;
    t->response = (struct response){.arena = &t->arena, .notes = &t->notes, .t_min = INT64_MIN, .t_max = INT64_MAX};
}

void responses_end(struct responses *t) { arena_free(&t->arena); }

bool responses_feed(struct decoder *d, struct str text, size_t piece, struct err *err)
{
    bool ok = true;
    for (size_t at = 0; ok && at < text.n; at += piece) {
        struct str part = str_first(str_skip(text, at), piece);
        char *copy = mem_dup(part.p, part.n); /* at its own place, so that a look beyond its end is found */
        ok = d->feed(d, str_n(copy, part.n), err);
        mem_free(copy);
    }
    ok = ok && d->finish(d, err);
    d->free(d);
    return ok;
}

static void add_sample(struct buf *out, const struct sample *s)
{
    buf_add_char(out, ' ');
    if (is_stale(s->v))
        buf_add_z(out, "stale");
    else
        buf_add_num(out, s->v);
    buf_printf(out, "@%lld", (long long)s->t);
}

const char *series_text(struct arena *a, const struct series *s, size_t n)
{
    struct buf out = {0};
    for (size_t i = 0; i < n; i++) {
        buf_add_z(&out, i ? "; " : "");
        labels_print(&out, s[i].labels);
        for (uint32_t k = 0; k < s[i].n_samples; k++)
            add_sample(&out, &s[i].samples[k]);
        for (uint32_t k = 0; k < s[i].n_hists; k++)
            buf_printf(&out, " h(%g)@%lld", s[i].hists[k].h->count, (long long)s[i].hists[k].t);
    }
    const char *text = arena_z(a, buf_str(&out));
    buf_free(&out);
    return text;
}

const char *responses_text(struct responses *t)
{
    struct series *all = ARENA_ARRAY(&t->arena, struct series, t->response.n);
    for (size_t i = 0; i < t->response.n; i++)
        all[i] = response_series(&t->response, i, &t->arena);
    return series_text(&t->arena, all, t->response.n);
}

struct series series_of(struct arena *a, const char *text)
{
    struct str rest = str_of(text), word;
    struct sample *samples = ARENA_ARRAY(a, struct sample, rest.n);
    struct series s = {.samples = samples};
    str_cut(&rest, ' ', &word);
    struct label name = {STR(METRIC_NAME), word};
    s.labels = labels_from(a, &name, 1);
    while (str_cut(&rest, ' ', &word)) {
        struct str value;
        str_cut(&word, '@', &value);
        struct sample *to = &samples[s.n_samples++];
        to->v = stale_nan();
        if (!str_is(value, "stale") && !num_parse(value, &to->v))
            to->v = -1;
        if (!num_parse_i64(word, &to->t))
            to->t = -1;
    }
    return s;
}
