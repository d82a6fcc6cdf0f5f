// SPDX-License-Identifier: Apache-2.0
/* A pattern, a zero byte, a subject: what the analyser of base/regex/regex.c makes of a pattern matches as RE2 does, a
 * prefix is one, and expanding agrees with matching.
 */
#include "base/regex/re2.h"
#include "base/regex/regex.h"
#include "base/regex/regex_dialect.h"
#include "base/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_literals(const struct regex *re)
{
    size_t n;
    const struct str *literals = regex_literals(re, &n);
    for (size_t i = 0; i < n; i++)
        if (!regex_match(re, literals[i]))
            __builtin_trap();
}

static void check(const struct regex *re, const struct re2_pattern *judge, struct str s)
{
    bool matches = regex_match(re, s);
    struct buf out = {.max = 1 << 16};
    if (matches != re2_match(judge, s.p, s.n))
        __builtin_trap();
    if (matches && !str_starts(s, regex_prefix(re)))
        __builtin_trap();
    if (regex_expand(re, s, STR("<$0>${1}$$"), &out) != matches)
        __builtin_trap();
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str subject = str_n(data, n), pattern;
    struct err err = {0};
    if (n > 4096 || !str_cut(&subject, 0, &pattern) || subject.p == NULL || !utf8_valid(pattern)
        || !utf8_valid(subject))
        return 0;
    struct re2_pattern *judge = dialect_compile(pattern, &err);
    struct regex *re = regex_new(pattern, &err);
    if ((judge == NULL) != (re == NULL) || (re == NULL && err.kind != ERR_BAD_DATA))
        __builtin_trap();
    if (re) {
        check(re, judge, subject);
        check(re, judge, pattern);
        check(re, judge, STR(""));
        check_literals(re);
    }
    regex_free(re);
    re2_free(judge);
    return 0;
}
