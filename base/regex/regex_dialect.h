// SPDX-License-Identifier: Apache-2.0
/* Where Go's regexp/syntax and RE2 differ, and Go's words for what is wrong with a pattern. A part of
 * base/regex/regex.c. Of 201 cases tried against Prometheus, RE2 differs in these: `\C` is refused by Go, `(?<name>`
 * accepted.
 */
#ifndef BASE_REGEX_REGEX_DIALECT_H
#define BASE_REGEX_REGEX_DIALECT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/regex/re2.h"

/* Compiles a pattern written for Go. NULL and err. */
struct re2_pattern *dialect_compile(struct str pattern, struct err *err) MUST_USE;

#endif
