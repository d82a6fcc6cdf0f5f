// SPDX-License-Identifier: Apache-2.0
/* The differences between Go's regexp/syntax and RE2, and Go's error messages. Internal to base/regex. Of 201 cases
 * compared with Prometheus, RE2 differs in two: Go rejects `\C` and accepts `(?<name>`. */
#ifndef BASE_REGEX_REGEX_DIALECT_H
#define BASE_REGEX_REGEX_DIALECT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/regex/re2.h"

/* Compiles a pattern written for Go. NULL and err. */
struct re2_pattern *dialect_compile(struct str pattern, struct err *err) MUST_USE;

#endif
