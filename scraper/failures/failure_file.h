// SPDX-License-Identifier: Apache-2.0
/* scrape_failure_log_file, as in Prometheus: a line for every failed scrape, a JSON object with time, level, msg,
 * job_name and target. Jobs that name the same file share it; separate threads write (base/os/line_file.h), and a
 * reload opens the files again. Unlike the log, it is neither limited nor only about changes.
 */
#ifndef SCRAPER_FAILURE_FILE_H
#define SCRAPER_FAILURE_FILE_H

#include "base/os/line_file.h"

struct failure_file { char *path; struct line_file *lines; bool wanted; };
struct failure_files { struct failure_file *items; size_t n, cap; }; /* main thread; zero it */

void failure_files_begin(struct failure_files *f); /* none is wanted */
/* The file that will be written after failure_files_open; it lives as long as the files. path empty: NULL. */
struct line_file *failure_files_want(struct failure_files *f, struct str path);
void failure_files_open(struct failure_files *f); /* those that are wanted; the others are closed */
void failure_files_free(struct failure_files *f); /* when no lane scrapes any more */

/* Any thread. Secrets in url are masked. t: Unix ms. */
void failure_file_put(struct line_file *file, struct str job, struct str url, const char *err, int64_t t);

#endif
