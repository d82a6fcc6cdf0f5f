// SPDX-License-Identifier: Apache-2.0
/* Between the files of the planner.
 *
 *   plan.c          what each node's value is made of: which nodes can be pushed, and where the tree is cut
 *   plan_calls.c    which calls of functions can be pushed
 *   plan_labels.c   label names of groups; matchers; whether labels distinguish groups
 *   plan_steps.c    which server for which steps
 *   plan_pieces.c   the requests to them, and what replaces the node
 *   plan_divide.c   parts of groups, for steps that no server has complete
 *   plan_newest.c   instant selectors over the newest scrape
 *   plan_old.c      what Prometheus 2 evaluates as we do, and how it is written for it
 *   plan_text.c     a node as text for the servers of one group
 *   plan_histograms.c  what may make a response useless: metrics with native histograms, experimental functions
 */
#ifndef GATEWAY_QUERY_PLAN_INTERNAL_H
#define GATEWAY_QUERY_PLAN_INTERNAL_H

#include "gateway/query/plan.h"

/* A set of the label names that the views of groups touch, a bit each. */
typedef uint64_t plan_names;
enum { PLAN_NAMES_MAX = 64 };

/* The samples that a selector needs for the step at t: those in [t + from, t + to], or, when the time is fixed by @,
 * those in [from, to]. */
struct plan_need {
    const struct expr *selector;
    bool fixed;
    int64_t from, to;
    bool instant;           /* an instant selector */
    bool newest;            /* of scraped series only the newest scrape matters, at times in [newest_from, to] */
    int64_t newest_from;
};

/* What is known of a node's value. */
struct plan_value {
    enum plan_kind {
        PLAN_CONSTANT,  /* no selector in it, a scalar or string: servers compute it as part of anything */
        PLAN_UNION,     /* can be pushed: the union of the groups' values (of one group: its value) */
        PLAN_PARTS,     /* can be pushed: the groups' values are aggregated again */
        PLAN_HERE       /* evaluated here; what can be pushed below it is cut out already */
    } kind;
    const uint8_t *routed;            /* UNION, PARTS: a byte for each group, 1 where series may match */
    size_t n_routed;
    bool exclusive;                   /* of several routed groups, one has all samples of a step: it takes the step */
    bool unproven;                    /* routed groups may share series, which only the labels of the results show: nothing
                                       * is pushed that drops labels or series */
    bool old;                         /* Prometheus 2 can evaluate it, too (plan_old.c) */
    bool fewer;                       /* it may have fewer series than are selected */
    plan_names present;               /* labels of groups that the results have */
    struct plan_need *needs; size_t n_needs;
};

/* Of a divided group: the label that tells it from the other parts of its number (empty: it is no part), and its values
 * of targets whose servers may differ (none: it has one server for all). */
struct plan_part { struct str label; const struct str *values; size_t n; };

struct planner {
    struct arena *arena;
    const struct plan_env *env;
    const struct plan_group *groups; size_t n_groups;
    const size_t *numbers;           /* of each group, the number that env has for it */
    const struct plan_part *parts;   /* of each group; NULL: no group is divided */
    struct plan *plan;
    const struct plan_question *question;
    const struct label_view **views; /* of each group */
    struct str *names; size_t n_names; /* that the groups' views touch: bit i of plan_names is names[i] */
    bool too_many_names;
    bool older;                      /* nothing is pushed that Prometheus 2 cannot evaluate */
};

/* --- plan.c --- */
/* Puts what is fetched for the parts of *slot, evaluated at these steps, in their place. */
void plan_cut(struct planner *p, struct expr **slot, const struct grid *steps);
struct str plan_metric_of(const struct expr *selector); /* that it names; empty: none */
const char *plan_why(struct planner *p, const char *format, ...) PRINTF(2, 3); /* in the arena */
void plan_decide(struct planner *p, const struct expr *e, enum plan_where where, const char *why);

/* Is each step the value of one group, and one server's? */
bool plan_is_one_group(const struct planner *p, const struct plan_value *v);

static inline bool plan_selects_series(enum aggregate_op op) { return op == AGG_TOPK || op == AGG_BOTTOMK; }

/* --- plan_calls.c --- */
/* NULL: the call can be pushed with its argument v. */
const char *plan_call_refused(struct planner *p, const struct expr *e, const struct plan_value *v);
/* The value of a call of its argument v. */
struct plan_value plan_called(struct planner *p, const struct expr *e, struct plan_value v);

/* --- plan_labels.c --- */
void plan_names_init(struct planner *p);
plan_names plan_names_of(const struct planner *p, const struct str *items, size_t n); /* those among the items */
plan_names plan_names_of_groups(const struct planner *p, const struct plan_value *v);  /* labels of the routed groups */
plan_names plan_names_of_group(const struct planner *p, size_t group);
bool plan_is_part(const struct planner *p, size_t group); /* of a divided group */
/* Of a part whose targets may have different servers, the number of them; otherwise 0. */
size_t plan_part_values(const struct planner *p, size_t group);
/* Whether any two routed groups differ in one of these labels, or are parts that one of them divides. */
bool plan_apart(const struct planner *p, const struct plan_value *v, plan_names names);
/* A label that distinguishes this group from all other routed groups except its own parts; NULL if there is none. */
const struct view_label *plan_label_of_group(const struct planner *p, const struct plan_value *v, size_t group);
/* Are there routed groups that are no parts of this one? */
bool plan_has_other_groups(const struct planner *p, const struct plan_value *v, size_t group);
/* How the results show the servers' labels if only these labels of the view are present. */
struct label_view plan_view_of(const struct planner *p, size_t group, plan_names present);
/* Whether some routed group shows a label of its servers under another name. */
bool plan_renames_labels(const struct planner *p, const struct plan_value *v);
/* Whether some routed group shows one label of its servers under several names. */
bool plan_copies_labels(const struct planner *p, const struct plan_value *v);

/* --- plan_steps.c --- */
/* Puts what is fetched for *slot in its place, for the steps that have servers. */
void plan_cut_out(struct planner *p, struct expr **slot, const struct plan_value *v, const struct grid *steps);
/* Sorts the targets of a group: *each has those of which some server has each step, and *lacking those of which none has
 * some step; the others are in neither: one server has all of their steps. */
struct plan_value_list { struct str *items; size_t n; };
void plan_sort_values(struct planner *p, const struct plan_value *v, const struct grid *steps, size_t group,
                      const struct plan_division *d, struct plan_value_list *each, struct plan_value_list *lacking);

/* --- plan_pieces.c --- */
enum { PLAN_MAX_PARTS_HERE = 4 }; /* beside those that servers evaluate; of a divided group one */
/* In place of a group's server. */
enum {
    PLAN_NO_SERVER = -1,
    PLAN_NO_SAMPLES = -2,  /* the group has none for the steps */
    PLAN_EACH_SERVER = -3, /* several, by its values and steps */
};
/* Who evaluates a node for a group. */
struct plan_choice {
    int server;
    uint64_t others;             /* bits: servers that could evaluate it, too */
    const struct str *newest; size_t n_newest; /* metrics whose instant selectors read the newest scrape only */
    const struct plan_cells *cells; /* PLAN_EACH_SERVER */
};
static inline bool plan_is_chosen(int server) { return server >= 0 || server == PLAN_EACH_SERVER; }
/* The value of e at these steps, which the servers (a choice for each group) evaluate. Parts of a group may have none;
 * they are evaluated here. */
struct expr *plan_pushed(struct planner *p, const struct expr *e, const struct plan_value *v,
                         const struct plan_choice *choices, const struct grid *steps);

/* --- plan_divide.c --- */
/* The node e, which no servers have complete at these steps because of `why`, planned over parts of its groups. NULL:
 * nothing of it can be pushed that way. */
struct expr *plan_divided(struct planner *p, const struct expr *e, const struct plan_value *v, const struct grid *steps,
                          const char *why);

/* --- plan_old.c --- */
/* Whether Prometheus 2 evaluates the node as we do if it evaluates those below it so. */
bool plan_old_evaluates(const struct expr *e);
bool plan_server_old(const struct plan_group *g, size_t server);
/* Is there a routed group whose Prometheus 2 evaluates no instant selectors? */
bool plan_all_shortsighted(const struct planner *p, const struct plan_value *v);
/* NULL: v can be pushed as far as the versions of the servers matter. */
const char *plan_old_refused(const struct planner *p, const struct plan_value *v);
/* The node e, which no server has complete at these steps that can evaluate it, planned so that Prometheus 2 evaluates
 * what it can of it. NULL: nothing of it can be pushed that way; whole: or samples are needed besides. */
struct expr *plan_old_parts(struct planner *p, const struct expr *e, const struct plan_value *v, const struct grid *steps,
                            bool whole);
void plan_old_text(struct arena *a, struct expr *e); /* changes the node for it */
/* The instant selector. newest: what plan_newest made of it; NULL: it is read as it is. */
struct expr *plan_old_instant(struct arena *a, const struct expr *selector, struct expr *newest, int64_t lookback);

/* --- plan_text.c --- */
struct str plan_text_of(struct arena *a, const struct expr *e); /* as the user would write it */
/* As a server of the group gets it. average: sum and count of the aggregation's argument. Of cells, an aggregation keeps
 * their label. */
struct str plan_text_for(struct planner *p, const struct expr *e, size_t group, size_t server, const struct plan_choice *choice,
                         bool average);

/* --- plan_newest.c --- */
/* Whether something else than the values of selectors below e matters to it. */
bool plan_reads_selectors(const struct expr *e);
bool plan_newest_possible(const struct expr *selector);
/* The selector, as its servers get it, without the series that its targets no longer have. by: labels of targets. */
struct expr *plan_newest(struct arena *a, struct expr *selector, const struct str *by, size_t n_by);

/* --- plan_histograms.c --- */
/* The experimental functions of e, n of them, each once. */
const struct function **plan_experimental(struct arena *a, const struct expr *e, size_t *n);
/* The metrics, n of them, of which the value may have native histograms; those of selectors without a name are not
 * known. */
struct str *plan_histogram_metrics(struct arena *a, const struct expr *e, size_t *n);

#endif
