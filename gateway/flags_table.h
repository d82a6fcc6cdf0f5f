// SPDX-License-Identifier: Apache-2.0
/* Inside gateway/flags*.c only: the rows.
 */
#ifndef GATEWAY_FLAGS_TABLE_H
#define GATEWAY_FLAGS_TABLE_H

#include "gateway/flags.h"

struct flag_row {
    struct conf_row row;   /* its name is the one shown: Prometheus' where it has one; offset in struct flags */
    const char *also[3];   /* vmagent's, promxy's and older names */
    bool secret;
    bool switches;         /* a list of booleans: the bare flag is one that is on, and takes no value but after = */
};
extern const struct flag_row flag_rows[];
extern const size_t n_flag_rows;

/* Flags of the three programs that mean nothing here, or nothing yet. */
enum accepted { ACCEPTED_NOT, ACCEPTED_SWITCH /* takes no value but after = */, ACCEPTED_VALUE };
enum accepted flag_accepted(struct str name);

#endif
