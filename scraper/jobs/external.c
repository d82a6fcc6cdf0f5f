// SPDX-License-Identifier: Apache-2.0
/* external_labels in vmagent's dialect. */
#include "scraper/jobs/external.h"

void exported_label_rename(struct labels_builder *b, struct str name)
{
    struct str value = builder_get(b, name);
    while (value.n > 0) {
        name = arena_printf(b->scratch, "exported_%.*s", STR_ARG(name));
        struct str next = builder_get(b, name);
        builder_set(b, name, value);
        value = next;
    }
}

void external_labels_add(struct labels_builder *b, const struct scrape_job *job)
{
    const struct str_map *external = &job->external_labels;
    for (size_t i = 0; i < external->n; i++) {
        bool taken = builder_get(b, external->keys[i]).n > 0;
        if (taken && job->honor_labels)
            continue;
        if (taken)
            exported_label_rename(b, external->keys[i]);
        builder_set(b, external->keys[i], external->values[i]);
    }
}
