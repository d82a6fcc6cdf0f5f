// SPDX-License-Identifier: Apache-2.0
/* The section `audit`: audits in the background (gateway/background/audits.h). */
#ifndef GATEWAY_AUDIT_AUDIT_CONF_H
#define GATEWAY_AUDIT_AUDIT_CONF_H

#include "base/conf/conf.h"

struct audit_conf {
    int64_t interval, since, window, delay; /* ms */
    struct str match;              /* a selector */
};
extern const struct conf_section audit_section;

#endif
