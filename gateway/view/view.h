// SPDX-License-Identifier: Apache-2.0
/* How a server group shows the series of its servers: with labels that it adds (`labels`, target labels), and changed
 * by metrics_relabel_configs. All rules copy, drop or change the case of one label, so that each label that is shown is
 * a constant, the value of one label of the server's series, or absent. That is a list of names, which is read in both
 * directions:
 *
 *   series     view_show     the labels of a server's series become those that are shown
 *   queries    view_route    matchers on shown labels become matchers on the server's labels
 *   planner    plan_text.c   the names in by, without, on and ignoring
 *
 * The server's labels that no rule names are shown as they are. Where the view changes the case of a label, a regular
 * expression on it has no exact counterpart: the servers get a weaker one, and the caller filters what they return by
 * the original matchers (view_routes_exactly).
 *
 * Series of one server may become equal. If a label that tells them apart was dropped, they are replicas that the
 * server stores, and their samples are merged (`unites`). If it was replaced by another value, it is an error, as with
 * the labels of a group. A dropped label tells nothing apart if another label shows its value, or if inject_matchers
 * requires one value.
 *
 * Pure; results in the arena. A view is immutable once made; any thread.
 */
#ifndef GATEWAY_VIEW_VIEW_H
#define GATEWAY_VIEW_VIEW_H

#include "base/conf/conf.h"
#include "model/labels.h"
#include "model/matcher.h"

/* metrics_relabel_configs of a group, with promxy's names. */
enum view_action { VIEW_REPLACE, VIEW_LABELDROP, VIEW_LOWERCASE, VIEW_UPPERCASE };
struct view_rule { int action; struct str source_label, target_label; };
extern const struct conf_section view_rule_section;

enum view_source { VIEW_NOTHING, VIEW_CONSTANT, VIEW_LABEL };
enum view_case { VIEW_AS_IS, VIEW_LOWER, VIEW_UPPER };
struct view_label {
    struct str name;              /* that is shown */
    enum view_source from;
    struct str of;                /* CONSTANT: the value; LABEL: the name that the server's series have */
    enum view_case shown;         /* LABEL; only ASCII letters change */
};
struct label_view {
    const struct view_label *items; size_t n;          /* a label that is not in it is shown as it is */
    const struct matcher *injected; size_t n_injected; /* on the servers' labels; added to every selector */
    bool unites;                  /* series of a server may become equal and are merged then */
    bool changes_case;
    const char *refusal;          /* why servers must not evaluate expressions for it; NULL: they may */
};

/* Adds the labels, which are borrowed, then applies the rules in order. `inject`: texts of single matchers, as
 * cluster="a". Their regular expressions are freed with the arena. */
bool view_make(struct label_view *v, struct arena *a, struct labels added, const struct view_rule *rules, size_t n_rules,
               const struct str_list *inject, struct err *err) MUST_USE;
/* The same without rules and matchers. */
struct label_view view_of_labels(struct arena *a, struct labels added);

const struct view_label *view_find(const struct label_view *v, struct str name); /* NULL: shown as it is */
/* Whether the view reads or shows a label of this name differently than the server. */
bool view_touches(const struct label_view *v, struct str name);
bool view_equal(const struct label_view *a, const struct label_view *b); /* the labels */

/* A server's labels, which may be scratch memory, as they are shown; v NULL: as they are. */
struct labels view_show(const struct label_view *v, struct arena *a, struct labels from);
/* The value of a label of the server's series, as it is shown by this item. */
struct str view_show_value(const struct view_label *item, struct arena *a, struct str value);

/* Matchers on the servers' labels for those on shown labels; none if all are answered here. False: no series can
 * match. */
bool view_translate(const struct label_view *v, struct arena *a, const struct matcher *m, size_t n,
                    const struct matcher **out, size_t *n_out);
/* Matchers for the servers, for the shown labels in m, followed by the injected ones. False: no series can match. */
bool view_route(const struct label_view *v, struct arena *a, const struct matcher *m, size_t n,
                const struct matcher **out, size_t *n_out);
/* Whether view_route's matchers select nothing else than m. */
bool view_routes_exactly(const struct label_view *v, const struct matcher *m, size_t n);

#endif
