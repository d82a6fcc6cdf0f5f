// SPDX-License-Identifier: Apache-2.0
/* Relabel rules: every action of Prometheus (replace keep drop keepequal dropequal hashmod labelmap labeldrop
 * labelkeep lowercase uppercase), vmagent's actions, its `if`, and its {{name}} in `replacement`. Rules are immutable
 * and shared by threads; the builder holds the state.
 *
 * Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config
 *         https://docs.victoriametrics.com/victoriametrics/relabeling/
 */
#ifndef MODEL_RELABEL_H
#define MODEL_RELABEL_H

#include "base/conf/conf.h"
#include "model/label_filter.h"
#include "model/labels.h"
#include "base/regex/regex.h"

enum relabel_action {
    RELABEL_REPLACE, RELABEL_KEEP, RELABEL_DROP, RELABEL_KEEPEQUAL, RELABEL_DROPEQUAL, RELABEL_HASHMOD,
    RELABEL_LABELMAP, RELABEL_LABELDROP, RELABEL_LABELKEEP, RELABEL_LOWERCASE, RELABEL_UPPERCASE,
    /* vmagent's */
    RELABEL_REPLACE_ALL, RELABEL_LABELMAP_ALL, RELABEL_KEEP_IF_EQUAL, RELABEL_DROP_IF_EQUAL, RELABEL_KEEP_IF_CONTAINS,
    RELABEL_DROP_IF_CONTAINS, RELABEL_KEEP_METRICS, RELABEL_DROP_METRICS, RELABEL_GRAPHITE
};
struct relabel_rule {
    int action; /* enum relabel_action */
    struct str_list source_labels;
    struct str separator, target_label, regex_text, replacement;
    int64_t modulus;
    bool xxhash;       /* hashmod by XXH64 as in vmagent; else by MD5 as in Prometheus */
    bool refers;       /* vmagent, replace: the replacement refers to labels as {{name}} */
    bool ends_chain;   /* vmagent, last rule of a destination: then drops labels that begin with __, except the name */
    struct str match; struct str_map labels; /* graphite (graphite_rule.h) */
    struct regex *regex; /* replace_all, labelmap_all: not anchored */
    /* The rule applies to series that one of them accepts; keep drops series that none accepts. NULL: to every
     * series. */
    struct label_filters *only_if;
    struct str_list if_texts; /* its selectors as written */
};
struct relabel_rules { const struct relabel_rule *rules; size_t n; };

/* One rule: struct relabel_rule, checked per action as in Prometheus, with its regex compiled. The regex lives as
 * long as the configuration's arena. As in vmagent `regex` may be a list; any of them may match. */
extern const struct conf_section relabel_section;
/* For a CONF_SECTIONS field filled through relabel_section. */
static inline struct relabel_rules relabel_rules(struct conf_items items)
{
    return (struct relabel_rules){items.items, items.n};
}

const char *relabel_action_name(int action); /* enum relabel_action */
/* Changes the builder's labels (its scratch arena must be set). False: the series or target is dropped. */
bool relabel_apply(struct relabel_rules r, struct labels_builder *b);
/* Drops labels that begin with __, except the metric name. */
void relabel_drop_reserved(struct labels_builder *b);
/* Whether the rules can change or drop a series. False for an empty list. */
static inline bool relabel_any(struct relabel_rules r) { return r.n > 0; }
uint64_t relabel_hash(struct relabel_rules r); /* of the configuration: equal for rules that do the same */
/* The names whose values the rules read; all = true when they read all names (labelmap, labelkeep, labeldrop). */
void relabel_reads(struct relabel_rules r, struct arena *a, struct str_list *names, bool *all);

#endif
