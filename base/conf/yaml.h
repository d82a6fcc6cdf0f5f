// SPDX-License-Identifier: Apache-2.0
/* YAML as a tree with line numbers. Only yaml.c includes libyaml. The tree is in the caller's arena and immutable.
 * Limits: 32 MiB, nesting 64, 1,000,000 nodes; aliases and merge keys (<<) are expanded, and an expansion over the
 * limit is an error. One document per file. Texts are NUL-terminated.
 */
#ifndef BASE_CONF_YAML_H
#define BASE_CONF_YAML_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };
struct yaml {
    enum yaml_kind kind;
    unsigned line;          /* 1-based; for a mapping's value the line of its key */
    const char *file;       /* name given to yaml_parse */
    bool quoted;            /* a quoted or block scalar: a string even when it looks like a number, null or bool */
    struct str text;        /* SCALAR */
    const char *reference;  /* SCALAR: NULL, or the text before references such as %{NAME} were replaced: what is written */
    struct yaml *keys;      /* MAP: n keys (scalars); a duplicate key is an error */
    struct yaml *items;     /* LIST: n items; MAP: n values */
    size_t n;
};

/* An empty document is YAML_NULL. Errors: "FILE:LINE: what". */
struct yaml *yaml_parse(struct arena *a, struct str text, const char *file, struct err *err) MUST_USE;
const struct yaml *yaml_get(const struct yaml *map, const char *key); /* NULL when absent or not a map */

/* Appends a key to a mapping (or YAML_NULL), with the mapping's position in its file. The arena has no limit. */
void yaml_put(struct arena *a, struct yaml *map, const char *key, const struct yaml *value);

/* Writes a tree as block YAML, keys in their order; nothing is masked. A scalar with a reference is written as that if
 * quotes can be chosen that are right before and after the replacement, otherwise as its text. */
void yaml_write(struct buf *out, const struct yaml *y);
/* Writes one scalar, quoted when it has to be. */
void yaml_write_scalar(struct buf *out, struct str s);

#endif
