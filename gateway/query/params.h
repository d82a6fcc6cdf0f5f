// SPDX-License-Identifier: Apache-2.0
/* Parses parameters of the query API, with the errors of Prometheus (ERR_BAD_DATA). An empty parameter counts as
 * absent. Times and durations are in milliseconds. Pure; any thread.
 */
#ifndef GATEWAY_QUERY_PARAMS_H
#define GATEWAY_QUERY_PARAMS_H

#include "base/text/url.h"
#include "model/source.h"

enum { PARAM_MAX_STEPS = 11000 };

bool param_time(const struct form *f, const char *name, int64_t fallback, int64_t *ms, struct err *err) MUST_USE;
/* start and end of requests for labels: INT64_MIN and INT64_MAX if absent. */
bool param_window(const struct form *f, int64_t *start, int64_t *end, struct err *err) MUST_USE;
struct grid_params { int64_t start, end, step; };
bool param_grid(const struct form *f, struct grid_params *g, struct err *err) MUST_USE; /* start, end, step: required */
/* `timeout`, at most `cap`. */
bool param_timeout(const struct form *f, int64_t cap, int64_t *ms, struct err *err) MUST_USE;
bool param_duration(const struct form *f, const char *name, int64_t fallback, int64_t *ms, struct err *err) MUST_USE; /* positive */
bool param_lookback(const struct form *f, int64_t fallback, int64_t *ms, struct err *err) MUST_USE;
/* 1 or true, 0 or false; absent: false */
bool param_flag(const struct form *f, const char *name, bool *on, struct err *err) MUST_USE;
/* partial_response, or deny_partial_response (VictoriaMetrics) */
bool param_partial(const struct form *f, enum partial_response *partial, struct err *err) MUST_USE;
bool param_limit(const struct form *f, size_t *limit, struct err *err) MUST_USE; /* 0 = none */
/* Limits of /metadata: any integer, -1 if absent. */
bool param_number(const struct form *f, const char *name, int64_t *n, struct err *err) MUST_USE;

/* A selector, in the arena (which has no budget, or leaves by longjmp); its regexes are freed with the arena. */
bool param_selector(struct arena *a, struct str text, const struct matcher **set, size_t *size,
                    struct err *err) MUST_USE;
/* All match[], likewise. */
struct selector_params { const struct matcher **sets; size_t *sizes, n; };
bool param_selectors(struct arena *a, const struct form *f, struct selector_params *out, struct err *err) MUST_USE;
/* Each must have a matcher that does not match the empty string. */
bool param_selectors_narrow(const struct selector_params *s, struct err *err) MUST_USE;

/* The name in /label/NAME/values, with U__ escapes decoded. */
bool param_label_name(struct arena *a, struct str text, struct str *name, struct err *err) MUST_USE;

#endif
