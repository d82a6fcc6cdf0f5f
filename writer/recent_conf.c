#include "writer/writer.h"

static const struct conf_row rows[] = {
    {CONF_STRING, "like", offsetof(struct recent_conf, like),
     .help = "Name of the remote_write entry whose stream it keeps: same relabeling, same labels. Empty: everything, "
             "with external labels only"},
    {CONF_SIZE, "budget", offsetof(struct recent_conf, budget), .preset = "64MiB", .min = 1 << 20, .max = (int64_t)1 << 40,
     .help = "Most bytes of memory; the oldest samples go first"},
    {CONF_DURATION, "retention", offsetof(struct recent_conf, retention), .preset = "2h",
     .help = "Age at which samples go; 0 = no age limit, and samples of any age and in any order are taken"},
    {0}};

const struct conf_section recent_section = {"recent", sizeof(struct recent_conf), rows, NULL, "The newest samples, kept in memory and answered from there"};
