// SPDX-License-Identifier: Apache-2.0
/* Routes: what the rules make of a series that arrives, decided once.
 *
 * A route is found by the keyed hash of the series' labels and has a link for each rule that matches: to the record of
 * the series or of its group on this lane, or to the lane that owns the group. With a single rule, it leads to the
 * record itself. Records that expire are marked dead first. The sweep, in slices over all routes, removes routes to
 * them and routes that were not used during two sweeps; when it has seen all routes, records that were dead before it
 * began are released. */
#include "writer/aggregate/aggregate_internal.h"

#include "base/hash.h"
#include "base/text/duration.h"

enum { ROUTES_SCRATCH_RESET = 256 << 10, SWEEP_DEAD_MS = 10000, SWEEP_UNUSED_MS = 300000, SWEEP_STEP = 256 };

/* --- records ------------------------------------------------------------------------------------------------------ */

uint32_t aggregate_group_find(struct aggregate_part *p, struct labels labels, uint64_t id)
{
    uint32_t at = table_find(&p->groups, id);
    if (at != TABLE_NONE || (at = table_add(&p->groups, id)) == TABLE_NONE)
        return at;
    struct aggregate_output_group *g = table_at(&p->groups, at);
    g->labels = mem_dup(labels.p, labels.n);
    g->n = labels.n;
    g->count = labels.count;
    p->label_bytes += labels.n;
    return at;
}

void aggregate_group_free(struct aggregate_part *p, uint32_t at)
{
    struct aggregate_output_group *g = table_at(&p->groups, at);
    aggregate_group_clear(p, g);
    p->label_bytes -= g->n;
    mem_free(g->labels);
    g->labels = NULL;
}

/* The record that a series' samples go to; TABLE_NONE: there are too many. */
static uint32_t aggregate_record_find(struct aggregate_part *p, uint64_t id, struct labels group, uint64_t group_id)
{
    uint32_t g = aggregate_group_find(p, group, group_id);
    if (!p->layout.inputs || g == TABLE_NONE)
        return g;
    uint32_t at = table_find(&p->inputs, id);
    if (at != TABLE_NONE || (at = table_add(&p->inputs, id)) == TABLE_NONE)
        return at;
    struct aggregate_input *in = table_at(&p->inputs, at);
    in->group = g;
    ((struct aggregate_output_group *)table_at(&p->groups, g))->inputs++;
    return at;
}

static bool aggregate_record_dead(const struct aggregate_part *p, uint32_t at)
{
    if (p->layout.inputs)
        return ((const struct aggregate_input *)table_at(&p->inputs, at))->flags & INPUT_DEAD;
    return ((const struct aggregate_output_group *)table_at(&p->groups, at))->flags & GROUP_DEAD;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

/* Where a route leads: a number, above its kind and the sweep in which it was last used. A list of links that has no
 * record of one series only is shared by all series that have an equal one: by those of a group, or all that another
 * lane owns. */
enum route_kind {
    ROUTE_NOWHERE, /* 1: a rule matches; 0: none */
    ROUTE_INPUT,   /* a record of inputs of the only rule */
    ROUTE_OWN,     /* the first link */
    ROUTE_SHARED   /* shared links */
};
enum { ROUTE_KIND_BITS = 2, ROUTE_NUMBER_SHIFT = 4, ROUTE_MASK = 3 };

static enum route_kind route_kind(const struct aggregate_route *r) { return (enum route_kind)(r->to & ROUTE_MASK); }
static uint32_t route_number(const struct aggregate_route *r) { return r->to >> ROUTE_NUMBER_SHIFT; }
static uint32_t route_sweep(const struct aggregate_route *r) { return r->to >> ROUTE_KIND_BITS & ROUTE_MASK; }

static void aggregate_route_lead(struct aggregate *a, struct aggregate_route *r, enum route_kind kind, uint32_t number)
{
    r->to = number << ROUTE_NUMBER_SHIFT | (a->sweep & ROUTE_MASK) << ROUTE_KIND_BITS | kind;
}

static uint32_t aggregate_route_links(const struct aggregate *a, const struct aggregate_route *r)
{
    if (route_kind(r) == ROUTE_SHARED)
        return ((const struct aggregate_shared_links *)table_at(&a->shared, route_number(r)))->first;
    return route_kind(r) == ROUTE_OWN ? route_number(r) : TABLE_NONE;
}

static uint32_t aggregate_link_new(struct aggregate *a)
{
    uint32_t at = a->free_link;
    if (at != TABLE_NONE) {
        a->free_link = a->links[at].next;
        return at;
    }
    if (a->n_links >= TABLE_MOST)
        return TABLE_NONE;
    mem_grow(&a->links, &a->_cap_links, a->n_links + 1, sizeof *a->links);
    return (uint32_t)a->n_links++;
}

static void aggregate_links_free(struct aggregate *a, uint32_t first)
{
    while (first != TABLE_NONE) {
        uint32_t at = first;
        first = a->links[at].next;
        a->links[at].next = a->free_link;
        a->free_link = at;
    }
}

/* The route leads nowhere afterwards. */
static void aggregate_route_unlink(struct aggregate *a, struct aggregate_route *route)
{
    uint32_t first = aggregate_route_links(a, route), number = route_number(route);
    if (route_kind(route) == ROUTE_SHARED) {
        struct aggregate_shared_links *s = table_at(&a->shared, number);
        if (--s->uses > 0)
            first = TABLE_NONE;
        else {
            table_forget(&a->shared, number);
            table_release(&a->shared, number);
        }
    }
    aggregate_links_free(a, first);
    aggregate_route_lead(a, route, ROUTE_NOWHERE, 0);
}

static uint64_t aggregate_links_hash(const struct aggregate *a, uint32_t first)
{
    uint64_t hash = 0;
    for (uint32_t at = first; at != TABLE_NONE; at = a->links[at].next) {
        const struct aggregate_link *l = &a->links[at];
        const uint64_t all[] = {hash, l->at, l->rule, l->owner};
        hash = hash_keyed(all, sizeof all);
    }
    return hash + (hash == 0);
}

/* The route takes the links. */
static void aggregate_route_share(struct aggregate *a, struct aggregate_route *route, uint32_t first)
{
    uint64_t id = aggregate_links_hash(a, first);
    uint32_t number = table_find(&a->shared, id);
    if (number != TABLE_NONE) {
        aggregate_links_free(a, first);
    } else if ((number = table_add(&a->shared, id)) != TABLE_NONE) {
        ((struct aggregate_shared_links *)table_at(&a->shared, number))->first = first;
    } else {
        aggregate_route_lead(a, route, ROUTE_OWN, first);
        return;
    }
    ((struct aggregate_shared_links *)table_at(&a->shared, number))->uses++;
    aggregate_route_lead(a, route, ROUTE_SHARED, number);
}

/* The route takes the links. */
static void aggregate_route_link(struct aggregate *a, struct aggregate_route *route, uint32_t first)
{
    bool inputs = false; /* it leads to records of this series */
    for (uint32_t at = first; at != TABLE_NONE; at = a->links[at].next)
        inputs = inputs || (a->links[at].owner == a->lane && a->parts[a->links[at].rule].layout.inputs);
    if (inputs && a->n_parts == 1) {
        aggregate_route_lead(a, route, ROUTE_INPUT, a->links[first].at);
        aggregate_links_free(a, first);
    } else if (inputs) {
        aggregate_route_lead(a, route, ROUTE_OWN, first);
    } else {
        aggregate_route_share(a, route, first);
    }
}

/* --- routes ------------------------------------------------------------------------------------------------------- */

/* The series' labels as the rule sees them; false: its relabeling drops the series. */
static bool aggregate_input_labels(struct aggregate *a, const struct aggregate_rule *r, struct labels *l)
{
    if (r->drop_input_labels.n > 0)
        *l = labels_drop(&a->scratch, *l, r->drop_input_labels.items, r->drop_input_labels.n);
    if (r->input_relabel.n > 0) {
        builder_start(&a->builder, *l);
        if (!relabel_apply(relabel_rules(r->input_relabel), &a->builder))
            return false;
        *l = builder_labels(&a->builder, &a->scratch);
    }
    return l->count > 0;
}

/* Adds a link before `first`, unless the rule drops the series. False: there are too many records. */
static bool aggregate_route_add(struct aggregate *a, uint32_t *first, size_t rule, struct labels labels)
{
    struct aggregate_part *p = &a->parts[rule];
    const struct aggregate_rule *r = p->rule;
    struct labels group;
    if (!aggregate_input_labels(a, r, &labels))
        return true;
    group = labels;
    if (r->by.n > 0)
        group = labels_keep(&a->scratch, labels, r->by.items, r->by.n);
    else if (r->without.n > 0)
        group = labels_drop(&a->scratch, labels, r->without.items, r->without.n);
    uint64_t id = labels_hash(group);
    unsigned owner = aggregate_owner(a, id);
    uint32_t at = 0;
    if (owner == a->lane && (at = aggregate_record_find(p, labels_hash(labels), group, id)) == TABLE_NONE)
        return false;
    uint32_t link = aggregate_link_new(a);
    if (link == TABLE_NONE)
        return false;
    a->links[link] = (struct aggregate_link){*first, at, (uint16_t)rule, (uint16_t)owner};
    *first = link;
    return true;
}

static void aggregate_route_make(struct aggregate *a, struct aggregate_route *route, struct labels labels)
{
    if (a->scratch.used > ROUTES_SCRATCH_RESET)
        arena_free(&a->scratch);
    struct arena_mark mark = arena_mark(&a->scratch);
    uint32_t first = TABLE_NONE;
    bool matched = false;
    for (size_t i = a->n_parts; i-- > 0;) { /* links are in front of each other: the first rule's is the first */
        const struct aggregate_rule *r = a->parts[i].rule;
        if (r->match) {
            builder_start(&a->builder, labels);
            if (!label_filters_match(r->match, &a->builder))
                continue;
        }
        matched = true;
        if (!aggregate_route_add(a, &first, i, labels))
            aggregate_count(&a->parts[i].counts->ignored_old, 1);
    }
    arena_release(&a->scratch, mark);
    if (first == TABLE_NONE)
        aggregate_route_lead(a, route, ROUTE_NOWHERE, matched);
    else
        aggregate_route_link(a, route, first);
}

static bool aggregate_route_dead(const struct aggregate *a, const struct aggregate_route *route)
{
    if (route_kind(route) == ROUTE_INPUT)
        return aggregate_record_dead(&a->parts[0], route_number(route));
    for (uint32_t at = aggregate_route_links(a, route); at != TABLE_NONE; at = a->links[at].next)
        if (a->links[at].owner == a->lane && aggregate_record_dead(&a->parts[a->links[at].rule], a->links[at].at))
            return true;
    return false;
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

/* In a route's number: it is that of a record of inputs of the only rule. */
static const uint32_t route_direct = UINT32_C(1) << 31;

static struct aggregate_match aggregate_match_input(uint32_t input, struct aggregate_near *near)
{
    near->input = input + 1;
    return (struct aggregate_match){.route = route_direct | input, .matched = true, .own = true};
}

static bool aggregate_input_expected(const struct aggregate *a, uint32_t input, uint64_t id)
{
    return table_is_at(&a->parts[0].inputs, input, id) && !aggregate_record_dead(&a->parts[0], input);
}

static struct aggregate_match aggregate_find_new(struct aggregate *a, struct labels labels, uint64_t hash,
                                                 struct aggregate_near *near)
{
    struct aggregate_route new = {.to = ROUTE_NOWHERE};
    aggregate_route_make(a, &new, labels);
    if (a->direct && route_kind(&new) == ROUTE_INPUT)
        return aggregate_match_input(route_number(&new), near);
    struct aggregate_match m = {.route = table_add(&a->routes, hash)};
    if (m.route == TABLE_NONE)
        aggregate_route_unlink(a, &new);
    else
        ((struct aggregate_route *)table_at(&a->routes, m.route))->to = new.to;
    return m;
}

/* The series' route is known: what it leads to. */
static struct aggregate_match aggregate_match_route(struct aggregate *a, struct labels labels, uint32_t number)
{
    struct aggregate_match m = {.route = number};
    struct aggregate_route *route = table_at(&a->routes, number);
    if (a->dead && aggregate_route_dead(a, route)) {
        aggregate_route_unlink(a, route);
        aggregate_route_make(a, route, labels);
    } else if (route_sweep(route) != (a->sweep & ROUTE_MASK)) {
        aggregate_route_lead(a, route, route_kind(route), route_number(route));
    }
    m.own = route_kind(route) == ROUTE_INPUT;
    m.matched = route_kind(route) != ROUTE_NOWHERE || route_number(route) == 1;
    for (uint32_t at = aggregate_route_links(a, route); at != TABLE_NONE; at = a->links[at].next) {
        m.own |= a->links[at].owner == a->lane;
        m.others |= a->links[at].owner == a->lane ? 0 : UINT64_C(1) << a->links[at].owner;
    }
    return m;
}

struct aggregate_match aggregate_find_near(struct aggregate *a, struct labels labels, uint64_t *hash,
                                           struct aggregate_near *near)
{
    uint64_t id = a->direct ? labels_hash(labels) : 0;
    if (a->direct && aggregate_input_expected(a, near->input, id))
        return aggregate_match_input(near->input, near);
    if (*hash == 0)
        *hash = hash_keyed(labels.p, labels.n);
    *hash += *hash == 0;
    uint32_t at = near->route;
    if (!table_is_at(&a->routes, at, *hash)) {
        if (a->direct && (at = table_find(&a->parts[0].inputs, id)) != TABLE_NONE)
            return aggregate_match_input(at, near);
        at = table_find(&a->routes, *hash);
    }
    if (at == TABLE_NONE) {
        struct aggregate_match m = aggregate_find_new(a, labels, *hash, near);
        if (m.own || m.route == AGGREGATE_NO_ROUTE)
            return m;
        at = m.route;
    }
    near->route = at + 1;
    return aggregate_match_route(a, labels, at);
}

void aggregate_receive_route(struct aggregate *a, uint32_t route, const struct sample *samples, size_t n, int64_t now,
                             bool adopted)
{
    if (route & route_direct) {
        if (!adopted || a->parts[0].adopted)
            aggregate_receive(&a->parts[0], route & ~route_direct, samples, n, now);
        return;
    }
    const struct aggregate_route *r = table_at(&a->routes, route);
    if (route_kind(r) == ROUTE_INPUT && (!adopted || a->parts[0].adopted))
        aggregate_receive(&a->parts[0], route_number(r), samples, n, now);
    for (uint32_t at = aggregate_route_links(a, r); at != TABLE_NONE; at = a->links[at].next) {
        const struct aggregate_link *link = &a->links[at];
        if (link->owner == a->lane && (!adopted || a->parts[link->rule].adopted))
            aggregate_receive(&a->parts[link->rule], link->at, samples, n, now);
    }
}

/* --- all routes --------------------------------------------------------------------------------------------------- */

void aggregate_routes_init(struct aggregate *a)
{
    table_init(&a->routes, sizeof(struct aggregate_route));
    table_init(&a->shared, sizeof(struct aggregate_shared_links));
    a->links = NULL;
    a->n_links = a->_cap_links = 0;
    a->free_link = TABLE_NONE;
    a->sweeping = a->dead = false;
}

void aggregate_routes_free(struct aggregate *a)
{
    table_free(&a->routes);
    table_free(&a->shared);
    mem_free(a->links);
}

void aggregate_routes_adopt(struct aggregate *a, struct aggregate *old)
{
    a->routes = old->routes;
    a->shared = old->shared;
    a->links = old->links;
    a->n_links = old->n_links;
    a->_cap_links = old->_cap_links;
    a->free_link = old->free_link;
    a->sweep = old->sweep;
    a->sweep_at = old->sweep_at;
    a->sweeping = old->sweeping;
    a->swept = old->swept;
    a->sweep_counted = old->sweep_counted;
    aggregate_routes_init(old);
}

/* --- sweep -------------------------------------------------------------------------------------------------------- */

static void aggregate_release_inputs(struct aggregate_part *p)
{
    for (uint32_t at = p->swept_inputs, next; at != TABLE_NONE; at = next) {
        next = ((struct aggregate_input *)table_at(&p->inputs, at))->group;
        table_release(&p->inputs, at);
    }
    p->swept_inputs = TABLE_NONE;
}

static void aggregate_release_groups(struct aggregate_part *p)
{
    for (uint32_t at = p->swept_groups, next; at != TABLE_NONE; at = next) {
        next = ((struct aggregate_output_group *)table_at(&p->groups, at))->inputs;
        table_release(&p->groups, at);
    }
    p->swept_groups = TABLE_NONE;
}

void aggregate_routes_forget(struct aggregate *a)
{
    aggregate_routes_free(a);
    aggregate_routes_init(a);
    for (size_t i = 0; i < a->n_parts; i++) {
        struct aggregate_part *p = &a->parts[i];
        for (int twice = 0; twice < 2; twice++) { /* those of a sweep that has begun, then those that died since */
            aggregate_release_inputs(p);
            aggregate_release_groups(p);
            p->swept_inputs = p->dead_inputs;
            p->swept_groups = p->dead_groups;
            p->dead_inputs = p->dead_groups = TABLE_NONE;
        }
    }
}

static bool aggregate_has_dead(const struct aggregate *a)
{
    bool dead = false;
    for (size_t i = 0; i < a->n_parts; i++)
        dead = dead || a->parts[i].dead_inputs != TABLE_NONE || a->parts[i].dead_groups != TABLE_NONE;
    return dead;
}

/* While the sweep has not seen all routes, the flag stays. */
void aggregate_note_dead(struct aggregate *a) { a->dead = a->dead || a->sweeping || aggregate_has_dead(a); }

static bool aggregate_sweep_begin(struct aggregate *a, int64_t now)
{
    bool dead = aggregate_has_dead(a);
    bool unused = now - a->sweep_counted >= SWEEP_UNUSED_MS;
    if (now - a->swept < SWEEP_DEAD_MS || !(dead || unused))
        return false;
    for (size_t i = 0; i < a->n_parts; i++) {
        struct aggregate_part *p = &a->parts[i];
        p->swept_inputs = p->dead_inputs;
        p->swept_groups = p->dead_groups;
        p->dead_inputs = p->dead_groups = TABLE_NONE;
    }
    if (unused) {
        a->sweep++;
        a->sweep_counted = now;
    }
    a->sweep_at = 0;
    a->sweeping = true;
    return true;
}

bool aggregate_sweep_some(struct aggregate *a, int64_t now, int64_t end)
{
    if (!a->sweeping && !aggregate_sweep_begin(a, now))
        return false;
    while (a->sweep_at < a->routes.used) {
        uint32_t at = a->sweep_at++;
        struct aggregate_route *route = table_at(&a->routes, at);
        if (table_id(&a->routes, at) != 0 &&
            (((a->sweep - route_sweep(route)) & ROUTE_MASK) >= 2 || aggregate_route_dead(a, route))) {
            aggregate_route_unlink(a, route);
            table_forget(&a->routes, at);
            table_release(&a->routes, at);
        }
        if (at % SWEEP_STEP == 0 && clock_mono_ns() >= end)
            return true;
    }
    for (size_t i = 0; i < a->n_parts; i++) {
        aggregate_release_inputs(&a->parts[i]);
        aggregate_release_groups(&a->parts[i]);
    }
    a->sweeping = false;
    a->dead = aggregate_has_dead(a);
    a->swept = now;
    return false;
}
