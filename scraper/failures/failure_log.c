// SPDX-License-Identifier: Apache-2.0
/* Rate limited log lines about failing and recovered targets of a job. */
#include "scraper/failures/failure_log.h"

#include "base/telemetry/log.h"
#include "base/text/url.h"

#include <stdio.h>

enum { MINUTE_MS = 60000 };

void failure_log_init(struct failure_log *f, struct str job)
{
    mutex_init(&f->mutex, RANK_FAILURE_LOG);
    f->job = job;
    f->window = INT64_MIN / 2;
}

/* ---- summaries ---- */

/* The client's errors begin with method and URL, which differ between targets. */
static struct str error_without_url(struct str text)
{
    size_t end = str_find_str(text, STR(": "));
    return str_starts(text, STR("GET ")) && end < text.n ? str_skip(text, end + 2) : text;
}

/* Beyond FAILURE_LOG_ERRORS different texts, further ones are not counted separately. */
static void tally_error(struct failure_log_tally *t, const char *err)
{
    struct str text = str_first(error_without_url(str_of(err)), sizeof t->errors[0].text - 1);
    t->targets++;
    for (size_t i = 0; i < LEN(t->errors); i++) {
        if (t->errors[i].n == 0)
            snprintf(t->errors[i].text, sizeof t->errors[i].text, "%.*s", STR_ARG(text));
        if (str_eq(str_of(t->errors[i].text), text)) {
            t->errors[i].n++;
            return;
        }
    }
}

static void log_failing_summary(struct failure_log_tally *t, struct str job)
{
    size_t most_common = 0;
    for (size_t i = 1; i < LEN(t->errors); i++)
        if (t->errors[i].n > t->errors[most_common].n)
            most_common = i;
    log_warn("scrape", "cannot scrape more targets of the job; retrying at the next interval", LOG_STR("job", job),
             LOG_U64("targets", t->targets), "most_common_err", t->errors[most_common].text,
             LOG_U64("targets_with_it", t->errors[most_common].n));
}

static void log_summary(struct failure_log *f)
{
    if (f->failing.targets > 0)
        log_failing_summary(&f->failing, f->job);
    if (f->recovered > 0)
        log_info("scrape", "more targets of the job are scraped again", LOG_STR("job", f->job),
                 LOG_U64("targets", f->recovered));
    f->failing = (struct failure_log_tally){0};
    f->recovered = 0;
}

static void begin_minute(struct failure_log *f, int64_t now)
{
    if (now - f->window < MINUTE_MS)
        return;
    log_summary(f);
    f->window = now;
    f->lines = 0;
    f->summarized = false;
}

void failure_log_flush(struct failure_log *f, int64_t now)
{
    mutex_lock(&f->mutex);
    bool any = f->failing.targets + f->recovered > 0;
    if (any && !f->summarized && now - f->window >= FAILURE_LOG_FLUSH_MS) {
        log_summary(f);
        f->summarized = true;
    } else if (any) {
        begin_minute(f, now);
    }
    mutex_unlock(&f->mutex);
}

void failure_log_free(struct failure_log *f)
{
    log_summary(f);
    mutex_free(&f->mutex);
}

/* ---- single targets ---- */

void failure_log_failing(struct failure_log *f, struct str url, const char *err, int64_t now)
{
    mutex_lock(&f->mutex);
    begin_minute(f, now);
    if (f->lines < FAILURE_LOG_LINES) {
        struct buf shown = {0};
        url_redact(&shown, url);
        log_warn("scrape", "cannot scrape target; retrying at the next interval", LOG_STR("job", f->job),
                 LOG_STR("target", buf_str(&shown)), "err", err);
        f->lines++;
        buf_free(&shown);
    } else {
        tally_error(&f->failing, err);
    }
    mutex_unlock(&f->mutex);
}

void failure_log_recovered(struct failure_log *f, struct str url, int64_t failing_ms, int64_t now)
{
    mutex_lock(&f->mutex);
    begin_minute(f, now);
    if (f->lines < FAILURE_LOG_LINES) {
        struct buf shown = {0};
        url_redact(&shown, url);
        log_info("scrape", "target is scraped again", LOG_STR("job", f->job), LOG_STR("target", buf_str(&shown)),
                 LOG_DURATION("failed_for", failing_ms));
        f->lines++;
        buf_free(&shown);
    } else {
        f->recovered++;
    }
    mutex_unlock(&f->mutex);
}
