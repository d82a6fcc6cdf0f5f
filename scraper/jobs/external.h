// SPDX-License-Identifier: Apache-2.0
/* external_labels as vmagent adds them: to what is scraped and to the automatic series, after metric_relabel_configs,
 * and not to what is pushed. A label that has the name of one becomes exported_NAME, unless the job has honor_labels:
 * then it stays. Pure. */
#ifndef SCRAPER_EXTERNAL_H
#define SCRAPER_EXTERNAL_H

#include "model/labels.h"
#include "scraper/scraper.h"

/* NAME becomes exported_NAME; a label that is called so already gets the prefix once more, and so on. */
void exported_label_rename(struct labels_builder *b, struct str name);
void external_labels_add(struct labels_builder *b, const struct scrape_job *job);

#endif
