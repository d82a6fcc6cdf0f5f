// SPDX-License-Identifier: Apache-2.0
/* Chooses servers for the steps of what is cut out.
 *
 * Each step reads a window of time for each selector of the node. A server can take the step when none of its gaps
 * touches any of these windows; of several the first, so that the choice changes with gaps only. Where there is none, it
 * can be taken by a server that has the newest scrape, as far as that is all that matters (plan_newest.c). For a part whose
 * targets may have different servers, each target has its choice (a cell for each target and step). Steps with the same
 * choice in all groups are one run. For a run without a server in some group that group is divided by targets
 * (plan_divide.c); what has no server then, either, is evaluated here.
 */
#include "gateway/query/plan_internal.h"

struct step_run {
    uint32_t first, n;
    int *servers;          /* one a group; PLAN_NO_SERVER in a routed one's place: evaluated here */
    struct plan_choice *choices; /* the same, with what else is known of them */
    struct expr *divided;  /* over parts of groups instead; NULL: it is not */
};

struct step_choice {
    struct planner *p;
    const struct plan_value *v;
    const struct grid *steps;
    struct plan_gaps *gaps;      /* need × group × target × server; a group without targets counts as one */
    bool *scraped;               /* need × group */
    size_t *first_server;        /* of a group, in the row of a need; the length of a row at the end */
    int *common;                 /* of a group with targets: the server that has all of them at all steps, or none */
    bool *here;                  /* of a group: it is evaluated here at all steps, since that makes less ranges */
    const char *why;             /* of gaps */
    bool newest;                 /* some steps are taken by servers that have the newest scrape */
    struct step_run runs[PLAN_MAX_RUNS]; size_t n_runs;
    bool too_many;
};

/* The gaps of a need in a group, or in one of its targets (value). */
static void plan_ask_need(struct step_choice *c, const struct plan_need *need, size_t g, const struct matcher *m, size_t n,
                          struct plan_gaps *out, bool *scraped)
{
    struct planner *p = c->p;
    struct plan_known known = {.why = c->why};
    int64_t begin = need->fixed ? 0 : c->steps->start, end = need->fixed ? 0 : grid_end(c->steps);
    p->env->gaps(p->env->arg, p->numbers[g], m, n, need->from + begin, need->to + end, out, &known);
    c->why = known.why;
    *scraped = known.scraped && p->groups[g].n_target_labels > 0;
}

/* Also of a target that cannot be selected: all servers lack it. */
static void plan_ask_targets(struct step_choice *c, const struct plan_need *need, size_t g, const struct matcher *m, size_t n,
                             struct plan_gaps *out, bool *scraped)
{
    static const struct plan_span always = {INT64_MIN, INT64_MAX};
    struct planner *p = c->p;
    const struct plan_part *part = &p->parts[g];
    struct matcher *all = ARENA_ARRAY(p->arena, struct matcher, n + 1);
    for (size_t i = 0; i < n; i++)
        all[i] = m[i];
    for (size_t k = 0; k < part->n; k++, out += p->groups[g].n_servers) {
        if (p->env->match(p->env->arg, part->label, &part->values[k], 1, false, &all[n]))
            plan_ask_need(c, need, g, all, n + 1, out, scraped);
        else
            for (size_t s = 0; s < p->groups[g].n_servers; s++)
                out[s] = (struct plan_gaps){&always, 1, &always, 1, &always, 1};
    }
}

static void plan_ask_gaps(struct step_choice *c)
{
    struct planner *p = c->p;
    size_t n_servers = c->first_server[p->n_groups];
    for (size_t i = 0; i < c->v->n_needs; i++) {
        const struct plan_need *need = &c->v->needs[i];
        const struct expr *s = need->selector;
        for (size_t g = 0; g < p->n_groups; g++) {
            const struct matcher *m;
            size_t n;
            if (!c->v->routed[g] ||
                !view_route(p->views[g], p->arena, s->u.selector.matchers, s->u.selector.n_matchers, &m, &n))
                continue;
            struct plan_gaps *out = &c->gaps[i * n_servers + c->first_server[g]];
            bool *scraped = &c->scraped[i * p->n_groups + g];
            if (plan_part_values(p, g) > 0)
                plan_ask_targets(c, need, g, m, n, out, scraped);
            else
                plan_ask_need(c, need, g, m, n, out, scraped);
        }
    }
}

static bool plan_span_touches(const struct plan_span *spans, size_t n, int64_t from, int64_t to)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (spans[middle].to < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && spans[low].from <= to;
}

enum steps_known { STEPS_INCOMPLETE, STEPS_NEWEST, STEPS_COMPLETE };

/* What a server (of a group, or of one of its targets: `server` + target * n_servers) is known to have of what the
 * need's steps from `first` to `last` read. */
static enum steps_known plan_need_known(const struct step_choice *c, size_t i, size_t group, size_t server, int64_t first,
                                        int64_t last)
{
    const struct plan_need *need = &c->v->needs[i];
    const struct plan_group *g = &c->p->groups[group];
    bool old = plan_server_old(g, server % g->n_servers);
    const struct plan_gaps *gaps = &c->gaps[i * c->first_server[c->p->n_groups] + c->first_server[group] + server];
    int64_t from = need->from + (need->fixed ? 0 : first), to = need->to + (need->fixed ? 0 : last);
    int64_t newest_from = need->newest_from + (need->fixed ? 0 : first);
    if (old && (!c->v->old || (need->instant && g->shortsighted >> server % g->n_servers & 1)))
        return STEPS_INCOMPLETE;
    if (!plan_span_touches(gaps->spans, gaps->n, from, to))
        return STEPS_COMPLETE;
    bool newest = need->newest && !(old && need->fixed) && c->scraped[i * c->p->n_groups + group] &&
                  !plan_span_touches(gaps->outdated, gaps->n_outdated, newest_from, to) &&
                  !plan_span_touches(gaps->lasting, gaps->n_lasting, from, to);
    return newest ? STEPS_NEWEST : STEPS_INCOMPLETE;
}

static enum steps_known plan_steps_known(const struct step_choice *c, size_t group, size_t server, int64_t first,
                                         int64_t last)
{
    enum steps_known known = STEPS_COMPLETE;
    for (size_t i = 0; i < c->v->n_needs && known != STEPS_INCOMPLETE; i++) {
        enum steps_known of_need = plan_need_known(c, i, group, server, first, last);
        known = of_need < known ? of_need : known;
    }
    return known;
}

/* The first server that has everything, or else the newest scrapes, of the target (0: of a group without) at the step
 * at t. */
static int plan_step_server(const struct step_choice *c, size_t group, size_t target, int64_t t)
{
    int newest = PLAN_NO_SERVER;
    size_t n = c->p->groups[group].n_servers;
    for (size_t i = 0; i < n; i++) {
        size_t s = plan_turn_at(c->p->groups[group].turn, i);
        enum steps_known known = plan_steps_known(c, group, target * n + s, t, t);
        if (known == STEPS_COMPLETE)
            return (int)s;
        if (known == STEPS_NEWEST && newest == PLAN_NO_SERVER)
            newest = (int)s;
    }
    return newest;
}

/* Has the server everything, or the newest scrapes, of the target at all steps? */
static bool plan_has_all_steps(const struct step_choice *c, size_t group, size_t target, size_t server)
{
    for (uint32_t k = 0; k < c->steps->n; k++) {
        int64_t t = grid_time(c->steps, k);
        if (plan_steps_known(c, group, target * c->p->groups[group].n_servers + server, t, t) == STEPS_INCOMPLETE)
            return false;
    }
    return true;
}

static int plan_common_server(const struct step_choice *c, size_t group)
{
    for (size_t i = 0; i < c->p->groups[group].n_servers; i++) {
        size_t target = 0, s = plan_turn_at(c->p->groups[group].turn, i);
        while (target < plan_part_values(c->p, group) && plan_has_all_steps(c, group, target, s))
            target++;
        if (target == plan_part_values(c->p, group))
            return (int)s;
    }
    return PLAN_NO_SERVER;
}

/* Of a group with targets: the server that has all, or several if each target has one. */
static int plan_step_servers(const struct step_choice *c, size_t group, int64_t t)
{
    for (size_t k = 0; c->common[group] == PLAN_NO_SERVER && k < plan_part_values(c->p, group); k++)
        if (plan_step_server(c, group, k, t) == PLAN_NO_SERVER)
            return PLAN_NO_SERVER;
    return c->common[group] == PLAN_NO_SERVER ? PLAN_EACH_SERVER : c->common[group];
}

/* A server that aligns ranges would evaluate other steps. */
static bool plan_misaligned(const struct step_choice *c, size_t group)
{
    const struct grid *g = c->steps;
    return c->p->groups[group].aligned && g->n > 1 && g->start % g->step != 0;
}

/* Of groups that only their times distinguish: has this one no samples for the step at t? */
static bool plan_step_outside(const struct step_choice *c, size_t group, int64_t t)
{
    const struct plan_span *w = &c->p->groups[group].window;
    for (size_t i = 0; i < c->v->n_needs; i++) {
        const struct plan_need *need = &c->v->needs[i];
        int64_t by = need->fixed ? 0 : t;
        if (need->from + by <= w->to && need->to + by >= w->from)
            return false;
    }
    return c->v->exclusive;
}

/* The step is evaluated here unless one of groups that only their times distinguish has all of its samples. */
static void plan_choose_one_group(const struct step_choice *c, int *servers)
{
    size_t n = 0;
    for (size_t g = 0; g < c->p->n_groups; g++)
        n += c->v->routed[g] && servers[g] != PLAN_NO_SAMPLES;
    for (size_t g = 0; n != 1 && g < c->p->n_groups; g++)
        servers[g] = PLAN_NO_SERVER;
}

/* Can this group without a server be evaluated here, and others by servers? Of a part, the rest of its group must have a
 * server: it is most of it. */
static bool plan_can_be_here(const struct step_choice *c, const int *servers, size_t group)
{
    const struct planner *p = c->p;
    bool rest = false;
    for (size_t g = 0; g < p->n_groups; g++)
        rest = rest || (c->v->routed[g] && p->numbers[g] == p->numbers[group] && servers[g] != PLAN_NO_SERVER);
    if (!plan_has_other_groups(p, c->v, group))
        return rest && plan_part_values(p, group) > 0;
    return plan_label_of_group(p, c->v, group) != NULL;
}

/* Have all groups but a few a server? */
static bool plan_mostly_chosen(const struct step_choice *c, const int *servers)
{
    size_t none = 0, chosen = 0;
    for (size_t g = 0; c->p->parts && g < c->p->n_groups; g++) {
        if (!c->v->routed[g])
            continue;
        none += servers[g] == PLAN_NO_SERVER;
        chosen += plan_is_chosen(servers[g]);
        if (servers[g] == PLAN_NO_SERVER && !plan_can_be_here(c, servers, g))
            return false;
    }
    return chosen > 0 && none <= PLAN_MAX_PARTS_HERE;
}

static void plan_choose_servers(const struct step_choice *c, int64_t t, int *servers)
{
    const struct planner *p = c->p;
    bool missing = false;
    for (size_t g = 0; g < p->n_groups; g++) {
        servers[g] = PLAN_NO_SERVER;
        if (c->v->routed[g] && plan_step_outside(c, g, t)) {
            servers[g] = PLAN_NO_SAMPLES;
            continue;
        }
        if (c->v->routed[g] && !c->here[g] && !plan_misaligned(c, g))
            servers[g] = plan_part_values(p, g) > 0 ? plan_step_servers(c, g, t) : plan_step_server(c, g, 0, t);
        missing = missing || (c->v->routed[g] && servers[g] == PLAN_NO_SERVER);
    }
    missing = missing && !plan_mostly_chosen(c, servers);
    for (size_t g = 0; missing && g < p->n_groups; g++)
        servers[g] = PLAN_NO_SERVER;
    if (c->v->exclusive)
        plan_choose_one_group(c, servers);
}

/* The number of routed groups without a server; those with one are counted in *chosen. */
static size_t plan_run_lacks(const struct step_choice *c, const struct step_run *run, size_t *chosen)
{
    size_t none = 0;
    *chosen = 0;
    for (size_t g = 0; g < c->p->n_groups; g++) {
        none += c->v->routed[g] && run->servers[g] == PLAN_NO_SERVER;
        *chosen += c->v->routed[g] && plan_is_chosen(run->servers[g]);
    }
    return none;
}

static bool plan_run_here(const struct step_choice *c, const struct step_run *run)
{
    size_t chosen;
    return plan_run_lacks(c, run, &chosen) > 0 && chosen == 0;
}

/* Are some parts evaluated here, and the others by servers? */
static bool plan_run_partly(const struct step_choice *c, const struct step_run *run)
{
    size_t chosen;
    return plan_run_lacks(c, run, &chosen) > 0 && chosen > 0;
}

static void plan_make_runs(struct step_choice *c)
{
    size_t n = c->p->n_groups;
    int *servers = ARENA_ARRAY(c->p->arena, int, n);
    c->n_runs = 0;
    for (uint32_t i = 0; i < c->steps->n; i++) {
        struct step_run *last = c->n_runs ? &c->runs[c->n_runs - 1] : NULL;
        plan_choose_servers(c, grid_time(c->steps, i), servers);
        if (last && memcmp(last->servers, servers, n * sizeof *servers) == 0) {
            last->n++;
            continue;
        }
        c->too_many = c->n_runs == PLAN_MAX_RUNS;
        if (c->too_many)
            return;
        c->runs[c->n_runs++] = (struct step_run){.first = i, .n = 1, .servers = servers};
        servers = ARENA_ARRAY(c->p->arena, int, n);
    }
}

/* Parts that lack some steps are evaluated here at all of them, if that makes few enough ranges. */
static void plan_make_fewer_runs(struct step_choice *c)
{
    for (size_t g = 0; g < c->p->n_groups; g++)
        for (uint32_t k = 0; c->v->routed[g] && plan_part_values(c->p, g) > 0 && k < c->steps->n && !c->here[g]; k++)
            c->here[g] = plan_step_servers(c, g, grid_time(c->steps, k)) == PLAN_NO_SERVER;
    plan_make_runs(c);
}

/* The metrics of which the group's server needs only the newest scrape at some of the steps. */
static void plan_find_newest(const struct step_choice *c, size_t group, const struct grid *steps, struct plan_choice *choice)
{
    size_t n = plan_part_values(c->p, group), targets = n > 0 ? n : 1, n_servers = c->p->groups[group].n_servers;
    struct str *names = ARENA_ARRAY(c->p->arena, struct str, c->v->n_needs);
    for (size_t i = 0; i < c->v->n_needs; i++) {
        bool newest = false;
        if (choice->cells == NULL && n == 0 &&
            plan_need_known(c, i, group, (size_t)choice->server, steps->start, grid_end(steps)) == STEPS_COMPLETE)
            continue;
        for (size_t cell = 0; cell < targets * steps->n && !newest; cell++) {
            int64_t t = grid_time(steps, (uint32_t)(cell % steps->n));
            size_t server = choice->cells ? choice->cells->servers[cell] : (size_t)choice->server;
            newest = plan_need_known(c, i, group, cell / steps->n * n_servers + server, t, t) == STEPS_NEWEST;
        }
        if (newest)
            names[choice->n_newest++] = plan_metric_of(c->v->needs[i].selector);
    }
    choice->newest = names;
}

/* The servers of each target and step; one for all, if it is the same. */
static void plan_find_cells(const struct step_choice *c, size_t group, const struct grid *steps, struct plan_choice *choice)
{
    const struct plan_part *part = &c->p->parts[group];
    struct plan_cells *cells = ARENA_NEW(c->p->arena, struct plan_cells);
    uint8_t *servers = ARENA_ARRAY(c->p->arena, uint8_t, part->n * steps->n);
    for (size_t i = 0; i < part->n; i++)
        for (uint32_t k = 0; k < steps->n; k++)
            servers[i * steps->n + k] = (uint8_t)plan_step_server(c, group, i, grid_time(steps, k));
    *cells = (struct plan_cells){part->label, part->values, part->n, servers};
    bool same = true;
    for (size_t i = 1; i < part->n * steps->n && same; i++)
        same = servers[i] == servers[0];
    choice->cells = same ? NULL : cells;
    choice->server = same ? servers[0] : PLAN_EACH_SERVER;
}

/* Others must have everything of all steps: the text of the request depends on what its server lacks, and whether it is
 * old. */
static void plan_find_choices(struct step_choice *c, struct step_run *run)
{
    struct grid steps = grid_part(c->steps, run->first, run->n);
    run->choices = ARENA_ARRAY(c->p->arena, struct plan_choice, c->p->n_groups);
    for (size_t g = 0; g < c->p->n_groups; g++) {
        struct plan_choice *choice = &run->choices[g];
        choice->server = run->servers[g];
        if (!c->v->routed[g] || !plan_is_chosen(choice->server))
            continue;
        if (choice->server == PLAN_EACH_SERVER)
            plan_find_cells(c, g, &steps, choice);
        plan_find_newest(c, g, &steps, choice);
        c->newest = c->newest || choice->n_newest > 0;
        for (size_t s = 0; plan_part_values(c->p, g) == 0 && s < c->p->groups[g].n_servers && s < 64; s++)
            if (s != (size_t)choice->server &&
                plan_server_old(&c->p->groups[g], s) == plan_server_old(&c->p->groups[g], (size_t)choice->server) &&
                plan_steps_known(c, g, s, steps.start, grid_end(&steps)) == STEPS_COMPLETE)
                choice->others |= UINT64_C(1) << s;
    }
}

static void plan_choice_begin(struct planner *p, const struct plan_value *v, const struct grid *steps, struct step_choice *c)
{
    size_t n_servers = 0;
    *c = (struct step_choice){.p = p, .v = v, .steps = steps};
    c->first_server = ARENA_ARRAY(p->arena, size_t, p->n_groups + 1);
    for (size_t g = 0; g < p->n_groups; g++) {
        size_t targets = plan_part_values(p, g);
        c->first_server[g] = n_servers;
        n_servers += p->groups[g].n_servers * (targets ? targets : 1);
    }
    c->first_server[p->n_groups] = n_servers;
    c->gaps = ARENA_ARRAY(p->arena, struct plan_gaps, n_servers * v->n_needs);
    c->scraped = ARENA_ARRAY(p->arena, bool, p->n_groups * v->n_needs);
    c->here = ARENA_ARRAY(p->arena, bool, p->n_groups);
    c->common = ARENA_ARRAY(p->arena, int, p->n_groups);
    plan_ask_gaps(c);
}

static void plan_choose(struct planner *p, const struct plan_value *v, const struct grid *steps, struct step_choice *c)
{
    plan_choice_begin(p, v, steps, c);
    for (size_t g = 0; g < p->n_groups; g++)
        if (v->routed[g] && plan_misaligned(c, g))
            c->why = "its servers evaluate ranges at multiples of the step (align_query_range_with_step)";
    for (size_t g = 0; g < p->n_groups; g++)
        c->common[g] = v->routed[g] && plan_part_values(p, g) > 0 ? plan_common_server(c, g) : PLAN_NO_SERVER;
    plan_make_runs(c);
    if (c->too_many && p->parts)
        plan_make_fewer_runs(c);
    for (size_t i = 0; i < c->n_runs; i++)
        plan_find_choices(c, &c->runs[i]);
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

static const char *plan_gap_reason(const struct step_choice *c)
{
    return c->why ? c->why : "no server is known to have all of it";
}

static struct expr *plan_cut_runs(struct step_choice *c, struct expr *e)
{
    struct planner *p = c->p;
    struct expr *cut = ARENA_NEW(p->arena, struct expr);
    struct expr_part *parts = ARENA_ARRAY(p->arena, struct expr_part, c->n_runs);
    *cut = (struct expr){.kind = EXPR_CUT, .type = e->type, .pos = e->pos, .end = e->end};
    for (size_t i = 0; i < c->n_runs; i++) {
        const struct step_run *run = &c->runs[i];
        struct grid steps = grid_part(c->steps, run->first, run->n);
        struct expr *value = run->divided            ? run->divided
                             : plan_run_here(c, run) ? expr_rewrite(&(struct expr_rewriter){.arena = p->arena}, e)
                                                     : plan_pushed(p, e, c->v, run->choices, &steps);
        parts[i] = (struct expr_part){run->first, run->n, value};
    }
    cut->u.cut.parts = parts;
    cut->u.cut.n = c->n_runs;
    cut->u.cut.of = e;
    return cut;
}

static void plan_tell_cut(struct planner *p, const struct expr *e, const struct step_choice *c)
{
    uint32_t here = 0, partly = 0;
    for (size_t i = 0; i < c->n_runs; i++) {
        partly += plan_run_partly(c, &c->runs[i]) ? c->runs[i].n : 0;
        here += plan_run_here(c, &c->runs[i]) && !c->runs[i].divided ? c->runs[i].n : 0;
    }
    if (partly > 0)
        plan_decide(p, e, PLAN_CUT, plan_why(p, "%u of %u steps are evaluated here, %u for some targets: %s", here,
                                             c->steps->n, partly, plan_gap_reason(c)));
    else if (here == 0)
        plan_decide(p, e, PLAN_PUSHED, "different servers have different steps complete");
    else
        plan_decide(p, e, PLAN_CUT, plan_why(p, "%u of %u steps are evaluated here: %s", here, c->steps->n,
                                             plan_gap_reason(c)));
}

/* Tries to divide the groups for all steps. */
static bool plan_divide_all(struct step_choice *c, const struct expr *e)
{
    struct step_run all = {.n = c->steps->n, .servers = ARENA_ARRAY(c->p->arena, int, c->p->n_groups)};
    for (size_t g = 0; g < c->p->n_groups; g++)
        all.servers[g] = PLAN_NO_SERVER;
    all.divided = plan_divided(c->p, e, c->v, c->steps, plan_gap_reason(c));
    if (all.divided == NULL)
        return false;
    c->runs[0] = all;
    c->n_runs = 1;
    return true;
}

/* Tries to divide the groups for the steps that are evaluated here; if these are several ranges, for all steps, which
 * takes fewer requests. */
static void plan_divide_runs(struct step_choice *c, const struct expr *e)
{
    size_t here = 0, old = 0;
    for (size_t i = 0; i < c->n_runs && !c->too_many; i++) {
        struct step_run *run = &c->runs[i];
        struct grid steps = grid_part(c->steps, run->first, run->n);
        if (plan_run_here(c, run))
            run->divided = plan_old_parts(c->p, e, c->v, &steps, true);
        here += plan_run_here(c, run) && run->divided == NULL;
        old += run->divided != NULL;
    }
    if ((c->too_many || (here > 1 && old == 0)) && plan_divide_all(c, e))
        return;
    for (size_t i = 0; i < c->n_runs && !c->too_many; i++) {
        struct step_run *run = &c->runs[i];
        struct grid steps = grid_part(c->steps, run->first, run->n);
        if (plan_run_here(c, run) && run->divided == NULL)
            run->divided = plan_divided(c->p, e, c->v, &steps, plan_gap_reason(c));
        if (plan_run_here(c, run) && run->divided == NULL)
            run->divided = plan_old_parts(c->p, e, c->v, &steps, false);
    }
}

/* A value of 2,000 rates at 241 steps took two servers and the gateway 0.76 ms of CPU time, and 42 ms their 260 samples
 * each, which are 15 s apart: 4 samples a value. A few steps are not worth reading more than one needs. */
enum { FEW_STEPS = 60, SAMPLES_OF_VALUE = 4, USUAL_INTERVAL_MS = 15000 };

/* Of several replicas, one must have everything of all steps and be the first that has, without times that no step reads:
 * what is read here is that of one replica for all steps then, too. */
static bool plan_samples_are_less(const struct step_choice *c)
{
    const struct planner *p = c->p;
    const struct plan_value *v = c->v;
    const struct grid *steps = c->steps;
    int64_t samples = 0;
    bool ranges = false, compact = c->n_runs == 1 && !c->too_many;
    for (size_t g = 0; compact && g < p->n_groups; g++)
        compact = !v->routed[g] || (p->groups[g].compact && c->runs[0].servers[g] >= 0 && c->runs[0].choices[g].n_newest == 0);
    for (size_t i = 0; i < v->n_needs; i++) {
        const struct plan_need *need = &v->needs[i];
        ranges = ranges || !need->instant;
        compact = compact && (need->fixed || need->to - need->from + 1 >= steps->step);
        samples += (need->to - need->from + (need->fixed ? 0 : grid_end(steps) - steps->start)) / USUAL_INTERVAL_MS + 1;
    }
    return ranges && compact && !v->fewer && steps->n > FEW_STEPS && samples < SAMPLES_OF_VALUE * (int64_t)steps->n;
}

void plan_cut_out(struct planner *p, struct expr **slot, const struct plan_value *v, const struct grid *steps)
{
    struct step_choice c;
    struct expr *e = *slot;
    if (p->plan->n_requests > PLAN_MAX_REQUESTS)
        return;
    plan_choose(p, v, steps, &c);
    if (plan_samples_are_less(&c)) {
        plan_decide(p, e, PLAN_RAW, "its values at all steps are more than its samples");
        return;
    }
    plan_divide_runs(&c, e);
    const struct step_run *one = c.n_runs == 1 ? &c.runs[0] : NULL;
    if (one && one->divided) {
        *slot = one->divided;
    } else if (c.too_many) {
        plan_decide(p, e, PLAN_RAW, plan_why(p, "its steps are divided into more than %d ranges: %s", PLAN_MAX_RUNS,
                                             plan_gap_reason(&c)));
    } else if (one && plan_run_here(&c, one)) {
        plan_decide(p, e, PLAN_RAW, plan_gap_reason(&c));
    } else if (one && !plan_run_partly(&c, one)) {
        plan_decide(p, e, PLAN_PUSHED, c.newest                ? "its server has the newest scrapes, but not all before"
                                       : v->kind == PLAN_PARTS ? "values of its parts are aggregated again"
                                                               : "");
        *slot = plan_pushed(p, e, v, one->choices, steps);
    } else {
        plan_tell_cut(p, e, &c);
        *slot = plan_cut_runs(&c, e);
    }
}

/* --- targets ------------------------------------------------------------------------------------------------------ */

/* The server that has all steps of most targets. */
static size_t plan_base_server(const struct step_choice *c, size_t group)
{
    size_t base = 0, most = 0;
    for (size_t i = 0; i < c->p->groups[group].n_servers; i++) {
        size_t n = 0, s = plan_turn_at(c->p->groups[group].turn, i);
        for (size_t target = 0; target < plan_part_values(c->p, group); target++)
            n += plan_has_all_steps(c, group, target, s);
        base = n > most ? s : base;
        most = n > most ? n : most;
    }
    return base;
}

void plan_sort_values(struct planner *p, const struct plan_value *v, const struct grid *steps, size_t group,
                      const struct plan_division *d, struct plan_value_list *each, struct plan_value_list *lacking)
{
    struct step_choice c;
    struct planner targets = *p;
    struct plan_part *parts = ARENA_ARRAY(p->arena, struct plan_part, p->n_groups);
    uint8_t *routed = ARENA_ARRAY(p->arena, uint8_t, p->n_groups);
    struct plan_value only = *v;
    parts[group] = (struct plan_part){d->label, d->values, d->n};
    routed[group] = 1;
    targets.parts = parts;
    only.routed = routed;
    plan_choice_begin(&targets, &only, steps, &c);
    *each = *lacking = (struct plan_value_list){0};
    each->items = ARENA_ARRAY(p->arena, struct str, d->n);
    lacking->items = ARENA_ARRAY(p->arena, struct str, d->n);
    size_t base = plan_base_server(&c, group);
    for (size_t i = 0; i < d->n; i++) {
        bool always = true;
        if (plan_has_all_steps(&c, group, i, base))
            continue;
        for (uint32_t k = 0; k < steps->n && always; k++)
            always = plan_step_server(&c, group, i, grid_time(steps, k)) != PLAN_NO_SERVER;
        struct plan_value_list *to = always ? each : lacking;
        to->items[to->n++] = d->values[i];
    }
}
