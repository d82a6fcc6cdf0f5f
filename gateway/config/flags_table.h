// SPDX-License-Identifier: Apache-2.0
/* Inside gateway/flags*.c only: the rows.
 */
#ifndef GATEWAY_CONFIG_FLAGS_TABLE_H
#define GATEWAY_CONFIG_FLAGS_TABLE_H

#include "gateway/config/flags.h"

struct flag_row {
    struct conf_row row;   /* its name is the one shown: Prometheus' where it has one; offset in struct flags */
    const char *also[3];   /* vmagent's, promxy's and older names */
    bool secret;
    bool switches;         /* a list of booleans: the bare flag is one that is on, and takes no value but after = */
};
extern const struct flag_row flag_rows[];
extern const size_t n_flag_rows;

/* Flags of the three programs that do nothing here. */
enum inert_class {
    INERT_TUNES,  /* it only tunes: a debug line */
    INERT_LOSES,  /* something is missing: a warning, an error with --strict */
    INERT_GUARDS, /* ignoring it would open a door, lose or duplicate data: an error unless --accept-inert names it */
};
struct inert_flag {
    const char *name;
    enum inert_class class;
    bool is_switch;       /* takes no value but after = */
    const char *why;      /* what happens without it; NULL: nothing that matters */
    const char *noop;     /* a value that asks for nothing, besides empty, 0 and false */
};
extern const struct inert_flag inert_flags[];
extern const size_t n_inert_flags;
const struct inert_flag *inert_find(struct str name);

struct inert_use { const struct inert_flag *flag; struct str value; };
/* Warnings and names of what is ignored go into f; false: f->errors has those that may not be. */
bool flags_judge(struct flags *f, const struct inert_use *uses, size_t n, struct err *err) MUST_USE;

#endif
