// SPDX-License-Identifier: Apache-2.0
/* Configuration rows of `recent:`. */
#include "writer/writer.h"

#define RECENT(field) offsetof(struct recent_conf, field)
static const struct conf_row rows[] = {
    {CONF_STRING, "like", RECENT(like),
     .help = "Name of the remote_write entry whose samples it stores, with the same relabeling and labels. Empty: all "
             "samples, with external labels only"},
    {CONF_SIZE, "budget", RECENT(budget), .preset = "64MiB", .min = 1 << 20, .max = (int64_t)1 << 40,
     .help = "Maximum memory in bytes; the oldest samples are evicted first"},
    {CONF_DURATION, "retention", RECENT(retention), .preset = "2h",
     .help = "Maximum age of samples; 0 = no limit, and samples of any age and in any order are accepted"},
    {0}};

const struct conf_section recent_section = {"recent", sizeof(struct recent_conf), rows, NULL,
                                            "In-memory store of the newest samples"};
