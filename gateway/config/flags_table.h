// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/config/: the tables of flags. */
#ifndef GATEWAY_CONFIG_FLAGS_TABLE_H
#define GATEWAY_CONFIG_FLAGS_TABLE_H

#include "gateway/config/flags.h"

struct flag_row {
    struct conf_row row;   /* name: the canonical one, Prometheus' if it has the flag; offset: in struct flags */
    const char *also[3];   /* aliases: of vmagent and promxy, and old names */
    bool secret;           /* the value is not shown */
    bool switches;         /* list of booleans: without "=" the flag appends true */
};
extern const struct flag_row flag_rows[];
extern const size_t n_flag_rows;

/* Flags of the three programs that sluice does not implement. */
enum inert_class {
    INERT_TUNES,  /* tunes an implementation: a debug line */
    INERT_LOSES,  /* a feature is missing: a warning, an error with --strict */
    INERT_GUARDS, /* ignoring it would disable protection, lose or duplicate data: an error without --accept-inert */
};
struct inert_flag {
    const char *name;
    enum inert_class class;
    bool is_switch;       /* boolean: a value only after "=" */
    const char *why;      /* effect of ignoring it, or why it has none */
    const char *noop;     /* value that requests nothing, besides empty, 0 and false */
};
extern const struct inert_flag inert_flags[];
extern const size_t n_inert_flags;
const struct inert_flag *inert_find(struct str name);

struct inert_use { const struct inert_flag *flag; struct str value; };
/* Appends warnings and names of ignored flags to f. False: f->errors has the flags that must not be ignored. */
bool flags_judge(struct flags *f, const struct inert_use *uses, size_t n, struct err *err) MUST_USE;

#endif
