// SPDX-License-Identifier: Apache-2.0
/* What relabel rules do to a label set, one rule after the other: for people who look for a mistake. Any thread. */
#ifndef GATEWAY_PAGES_RELABEL_STEPS_H
#define GATEWAY_PAGES_RELABEL_STEPS_H

#include "model/relabel.h"

enum {
    RELABEL_STEP_MAX = 4 << 20,   /* bytes that a rule may compose; its result: LABELS_MAX_BYTES, LABELS_MAX_COUNT */
    RELABEL_STEPS_MAX = 32 << 20, /* of the results of all rules */
};
struct relabel_step {
    struct str rule;          /* as YAML, without keys that have their defaults */
    struct labels in, out;    /* out: empty if the rule drops them */
    bool kept;
};
struct relabel_steps {
    struct relabel_step *items; size_t n; /* up to the rule that drops the labels */
    struct labels result;     /* of the last one; those given if there are no rules */
    bool kept;
    bool too_large;           /* the last rule exceeds a limit: rules may multiply a text */
};
struct relabel_steps relabel_steps(struct arena *a, struct relabel_rules rules, struct labels from);

#endif
