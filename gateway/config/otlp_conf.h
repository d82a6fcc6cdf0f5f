// SPDX-License-Identifier: Apache-2.0
/* Prometheus' section `otlp`: how `/api/v1/otlp/v1/metrics` converts OpenTelemetry metrics to series. */
#ifndef GATEWAY_CONFIG_OTLP_CONF_H
#define GATEWAY_CONFIG_OTLP_CONF_H

#include "base/conf/conf.h"

/* In the order of strategy_names. */
enum otlp_strategy { OTLP_ESCAPED_WITH_SUFFIXES, OTLP_ESCAPED, OTLP_UTF8_WITH_SUFFIXES, OTLP_UNTRANSLATED };
struct otlp_conf {
    bool promote_all;
    struct str_list promoted, ignored; /* attributes of resources; ignored: with promote_all */
    int strategy;                      /* enum otlp_strategy */
    bool keep_identifying, histograms_to_nhcb, promote_scope, label_underscore;
};
extern const struct conf_section otlp_section;
static inline bool otlp_conf_escapes(const struct otlp_conf *c) { return c->strategy <= OTLP_ESCAPED; }

#endif
