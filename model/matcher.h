// SPDX-License-Identifier: Apache-2.0
/* Label matchers: name, =, !=, =~ or !~, value. An absent label has the value "". Immutable once made; any thread. */
#ifndef MODEL_MATCHER_H
#define MODEL_MATCHER_H

#include "base/regex/regex.h"
#include "model/labels.h"

enum match_type { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE };
struct matcher {
    enum match_type type;
    struct str name, value;
    struct regex *re; /* RE and NRE; the matcher owns one reference */
};

/* name and value are copied into the arena; the regex is freed by matchers_free. */
bool matcher_init(struct matcher *m, struct arena *a, enum match_type type, struct str name, struct str value,
                  struct err *err) MUST_USE;
void matchers_free(struct matcher *m, size_t n); /* the regexes; not the array */
bool matcher_value(const struct matcher *m, struct str value); /* whether the matcher accepts this value */
bool matcher_matches_empty(const struct matcher *m);
bool matchers_match(const struct matcher *m, size_t n, struct labels l);
void matcher_print(struct buf *out, const struct matcher *m);              /* a="b" */
void matchers_print(struct buf *out, const struct matcher *m, size_t n);   /* {a="b",c=~"d"}: a selector */
const char *match_type_text(enum match_type type);

#endif
