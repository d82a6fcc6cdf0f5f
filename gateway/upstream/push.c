// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/push.h"

#include "base/map.h"
#include "base/text/duration.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/push_query.h"
#include "gateway/upstream/stats.h"
#include "gateway/upstream/union.h"

#include <float.h>
#include <stdlib.h>

/* --- execution ---------------------------------------------------------------------------------------------------- */

struct push_call {
    struct upstream *u;
    struct request_batch *batch;
    struct plan *plan;
    struct push_query **queries; /* of each request; equal requests have the same */
    const char *doubt;
};

static size_t push_first_equal(const struct plan *plan, size_t i)
{
    const struct plan_request *wanted = &plan->requests[i];
    const struct grid *steps = &plan->pieces[wanted->piece].steps;
    size_t k = 0;
    for (;; k++) {
        const struct plan_request *r = &plan->requests[k];
        const struct grid *g = &plan->pieces[r->piece].steps;
        if (k == i || (r->group == wanted->group && r->server == wanted->server && str_eq(r->text, wanted->text) &&
                       view_equal(&r->view, &wanted->view) && g->start == steps->start && g->step == steps->step &&
                       g->n == steps->n))
            return k;
    }
}

struct push_call *push_start(struct upstream *u, struct request_batch *batch, const struct source_plan *of)
{
    struct push_call *c = ARENA_NEW(batch->q->arena, struct push_call);
    struct plan *plan = of->impl;
    *c = (struct push_call){.u = u, .batch = batch, .plan = plan};
    c->queries = ARENA_ARRAY(batch->q->arena, struct push_query *, plan->n_requests);
    for (size_t i = 0; i < plan->n_requests; i++) {
        const struct plan_request *r = &plan->requests[i];
        size_t first = push_first_equal(plan, i);
        if (first < i) {
            c->queries[i] = c->queries[first];
            continue;
        }
        struct push_query *query = c->queries[i] = ARENA_NEW(batch->q->arena, struct push_query);
        *query = (struct push_query){.text = r->text, .steps = plan->pieces[r->piece].steps,
                                     .lookback = plan->lookback, .server = r->server, .others = r->others};
        push_query_start(query, batch, &u->groups.items[r->group], &r->view);
    }
    return c;
}

void push_stop(struct push_call *c)
{
    for (size_t i = 0; i < c->plan->n_requests; i++)
        group_request_stop(&c->queries[i]->request);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static bool push_doubt(struct push_call *c, const char *why)
{
    c->doubt = c->doubt ? c->doubt : why;
    return false;
}

/* Points must be at steps. Sums of an average near the limits of doubles would overflow. */
static bool push_points_fit(struct push_call *c, const struct plan_piece *piece, const struct series *s)
{
    int64_t expected = piece->steps.start;
    for (uint32_t i = 0; i < s->n_samples; i++) {
        int64_t t = s->samples[i].t;
        bool on_step = t == expected || (t >= piece->steps.start && (t - piece->steps.start) % piece->steps.step == 0);
        if (!on_step || t > grid_end(&piece->steps))
            return push_doubt(c, "a response has points at other times than requested");
        expected = t + piece->steps.step;
        if (piece->average && !(fabs(s->samples[i].v) < DBL_MAX / 1e6))
            return push_doubt(c, "the sum for an average is not finite");
    }
    return true;
}

/* The series of a piece, while it is made. */
struct push_piece {
    struct plan_piece *piece;
    struct map seen;             /* labels (of an average: with the part) to an index of `places` */
    struct push_place { const struct plan_cells *cells; size_t set, at; } *places; size_t n, cap;
    size_t cap_series[2];        /* of the piece's sets */
};

/* Removes the label that marks the series of an average. False: it has none. */
static bool push_average_set(struct push_call *c, struct series *s, size_t *set)
{
    static const struct str name = {PLAN_PART_LABEL, sizeof PLAN_PART_LABEL - 1};
    struct str part = labels_get(s->labels, name);
    *set = str_is(part, PLAN_PART_COUNT);
    if (*set == 0 && !str_is(part, PLAN_PART_SUM))
        return push_doubt(c, "a response has other labels than requested");
    s->labels = labels_drop(c->batch->q->arena, s->labels, &name, 1);
    return true;
}

/* Values of one target at other steps, which came from another server. */
static void push_unite_cells(struct arena *a, struct series *to, const struct series *s)
{
    struct sample *all = ARENA_ARRAY(a, struct sample, to->n_samples + s->n_samples);
    uint32_t n = 0, i = 0, k = 0;
    while (i < to->n_samples || k < s->n_samples)
        all[n++] = k == s->n_samples || (i < to->n_samples && to->samples[i].t < s->samples[k].t) ? to->samples[i++]
                                                                                                   : s->samples[k++];
    to->samples = all;
    to->n_samples = n;
}

static struct push_place *push_place_of(struct push_call *c, struct push_piece *p, const struct series *s, bool *added)
{
    struct arena *a = c->batch->q->arena;
    struct map_entry *e = map_add(&p->seen, str_n(s->labels.p, s->labels.n), added);
    if (*added) {
        e->value.u = p->n;
        arena_grow(a, &p->places, &p->cap, p->n + 1, sizeof *p->places);
        p->places[p->n++] = (struct push_place){0};
    }
    return &p->places[e->value.u];
}

/* Aggregations of partial results combine equal label sets; otherwise a series of two groups is an error, which
 * evaluation from raw samples reports better. */
static bool push_add_series(struct push_call *c, struct push_piece *p, struct series s, const struct plan_cells *cells)
{
    struct plan_piece *piece = p->piece;
    struct push_place *place = NULL;
    size_t set = 0;
    bool added = true;
    if (cells || (!piece->aggregated && piece->n_requests > 1))
        place = push_place_of(c, p, &s, &added);
    if (!added && (cells == NULL || place->cells != cells))
        return push_doubt(c, "two server groups have the same series");
    if (!added) {
        push_unite_cells(c->batch->q->arena, &piece->sets[place->set].series[place->at], &s);
        return true;
    }
    if (piece->average && !push_average_set(c, &s, &set))
        return false;
    struct series_set *to = &piece->sets[set];
    if (place)
        *place = (struct push_place){cells, set, to->n};
    arena_grow(c->batch->q->arena, &to->series, &p->cap_series[set], to->n + 1, sizeof *to->series);
    to->series[to->n++] = s;
    return true;
}

static int push_compare_values(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Drops the values of steps at which another server was chosen for the series' target. */
static bool push_keep_cells(struct push_call *c, const struct plan_piece *piece, const struct plan_request *r, struct series *s)
{
    const struct plan_cells *cells = r->cells;
    struct str value = labels_get(s->labels, cells->label);
    const struct str *found = bsearch(&value, cells->values, cells->n, sizeof *cells->values, push_compare_values);
    struct sample *kept = ARENA_ARRAY(c->batch->q->arena, struct sample, s->n_samples);
    uint32_t n = 0;
    if (found == NULL)
        return push_doubt(c, "a response has other labels than requested");
    for (uint32_t i = 0; i < s->n_samples; i++) {
        size_t step = piece->steps.n == 1 ? 0 : (size_t)((s->samples[i].t - piece->steps.start) / piece->steps.step);
        if (cells->servers[(size_t)(found - cells->values) * piece->steps.n + step] == r->server)
            kept[n++] = s->samples[i];
    }
    s->samples = kept;
    s->n_samples = n;
    return true;
}

static bool push_add_response(struct push_call *c, struct push_piece *p, const struct plan_request *r,
                              const struct response *response)
{
    for (size_t i = 0; i < response->n; i++) {
        struct series s = response->series[i];
        if (!push_points_fit(c, p->piece, &s) || (r->cells && !push_keep_cells(c, p->piece, r, &s)))
            return false;
        bool dropped = r->cells && s.n_samples == 0;
        if (!dropped && !push_add_series(c, p, s, r->cells))
            return false;
    }
    return true;
}

/* An aggregation of histograms, or of histograms and floats, cannot be combined from partial results. */
static bool push_notes_fit(struct push_call *c, const struct plan_piece *piece, const struct notes *n)
{
    const struct note_list *lists[] = {&n->warnings, &n->infos};
    for (size_t l = 0; piece->aggregated && l < LEN(lists); l++)
        for (size_t i = 0; i < lists[l]->n; i++)
            if (str_find_str(lists[l]->items[i], STR("histogram")) < lists[l]->items[i].n)
                return push_doubt(c, "native histograms are among what is aggregated");
    return true;
}

static void push_saw_histograms(const struct push_query *query, const struct plan_request *r)
{
    struct str what = r->n_metrics == 1 ? r->metrics[0] : query->text;
    for (size_t i = 0; i < query->request.n; i++)
        if (query->request.attempts[i]->state == ATTEMPT_SUCCEEDED)
            server_saw_histograms(query->request.attempts[i]->server, what);
}

/* It may not have one of these functions: only some servers are started with them. */
static void push_saw_rejection(const struct push_query *query, const struct plan_request *r)
{
    for (size_t i = 0; i < query->request.n; i++) {
        const struct attempt *a = query->request.attempts[i];
        bool rejected = a->state == ATTEMPT_FAILED && CONTAINER(a, struct push_attempt, attempt)->rejected;
        for (size_t k = 0; rejected && k < r->n_experimental; k++)
            server_rejected_function(a->server, r->experimental[k]->name);
    }
}

static bool push_collect_piece(struct push_call *c, struct push_piece *p)
{
    struct plan_piece *piece = p->piece;
    for (size_t i = 0; i < piece->n_requests; i++) {
        struct err why = {0};
        const struct plan_request *request = &c->plan->requests[piece->first_request + i];
        struct push_query *query = c->queries[piece->first_request + i];
        const struct response *response = push_query_response(query, &why);
        if (response == NULL) {
            push_saw_rejection(query, request);
            return push_doubt(c, arena_z(c->batch->q->arena, str_of(why.text)));
        }
        if (response->lossy) {
            push_saw_histograms(query, request);
            return push_doubt(c, PUSH_HISTOGRAMS);
        }
        if (!push_notes_fit(c, piece, &query->notes) || !push_add_response(c, p, request, response))
            return false;
    }
    for (size_t i = 0; i < 2; i++) {
        struct err why = {0};
        if (!series_sort(c->batch->q, piece->sets[i].series, piece->sets[i].n, &why))
            return push_doubt(c, arena_z(c->batch->q->arena, str_of(why.text)));
        piece->sets[i].exact = true;
    }
    return true;
}

/* Removes " (1:5)" at the end of notes: a position in the expression that was sent to the server. */
static struct str push_note_text(struct str note)
{
    size_t at = note.n;
    if (!str_starts(note, STR("PromQL ")) || !str_ends(note, STR(")")))
        return note;
    while (at > 0 && note.p[at - 1] != '(')
        at--;
    for (size_t i = at; i + 1 < note.n; i++)
        if ((note.p[i] < '0' || note.p[i] > '9') && note.p[i] != ':')
            return note;
    return at >= 2 ? str_first(note, at - 2) : note;
}

/* One of many is checked later. */
static void push_offer_samples(const struct push_call *c)
{
    for (size_t r = 0; r < c->plan->n_requests; r++) {
        const struct push_query *query = c->queries[r];
        const struct grid *steps = &query->steps;
        for (size_t i = 0; push_first_equal(c->plan, r) == r && i < query->request.n; i++)
            if (query->request.attempts[i]->state == ATTEMPT_SUCCEEDED)
                push_sample_offer(query->request.attempts[i]->server->health, &(struct push_sample){
                    query->text, steps->start, steps->step, steps->n, query->lookback});
    }
}

static void push_pass_notes(const struct push_call *c)
{
    struct notes *to = c->batch->q->notes;
    for (size_t r = 0; r < c->plan->n_requests; r++) {
        if (push_first_equal(c->plan, r) == r)
            group_request_note_missed(&c->queries[r]->request);
        const struct notes *from = &c->queries[r]->notes;
        to->partial = to->partial || from->partial;
        for (size_t i = 0; i < from->warnings.n; i++)
            notes_warn(to, "%.*s", STR_ARG(push_note_text(from->warnings.items[i])));
        for (size_t i = 0; i < from->infos.n; i++)
            notes_info(to, "%.*s", STR_ARG(push_note_text(from->infos.items[i])));
    }
}

enum exec_outcome push_collect(struct push_call *c, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < c->plan->n_pieces; i++) {
        struct push_piece piece = {.piece = &c->plan->pieces[i]};
        ok = push_collect_piece(c, &piece);
        map_free(&piece.seen);
        if (!batch_check(c->batch, err))
            return EXEC_FAILED;
    }
    if (ok) {
        stats_add(&upstream_stats, PUSHED, (double)c->plan->n_pieces);
        push_pass_notes(c);
        push_offer_samples(c);
        return EXEC_DONE;
    }
    stats_add(&upstream_stats, PUSH_ABANDONED, 1);
    trace_abandon(c->batch->q->trace, c->doubt);
    return EXEC_DOUBT;
}
