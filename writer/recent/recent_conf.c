// SPDX-License-Identifier: Apache-2.0
/* Configuration rows of `recent:`. */
#include "writer/writer.h"

#define RECENT(field) offsetof(struct recent_conf, field)
static const struct conf_row rows[] = {
    {CONF_STRING, "like", RECENT(like),
     .help = "Name of the remote_write entry whose stream it keeps: same relabeling, same labels. Empty: everything, "
             "with external labels only"},
    {CONF_SIZE, "budget", RECENT(budget), .preset = "64MiB", .min = 1 << 20, .max = (int64_t)1 << 40,
     .help = "Most bytes of memory; the oldest samples go first"},
    {CONF_DURATION, "retention", RECENT(retention), .preset = "2h",
     .help = "Age at which samples go; 0 = no age limit, and samples of any age and in any order are taken"},
    {0}};

const struct conf_section recent_section = {"recent", sizeof(struct recent_conf), rows, NULL,
                                            "The newest samples, kept in memory and answered from there"};
