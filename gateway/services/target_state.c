// SPDX-License-Identifier: Apache-2.0
#include "gateway/services/target_state.h"

#include "gateway/services/services.h"

static bool report_full(struct http_request *r, struct err *err)
{
    enum { RETRY_SECONDS = 2 };
    err_set(err, ERR_UNAVAILABLE, "pages and reports in flight use all memory that they may have together, %zu MiB; try "
            "again later, or raise --memory.allowedBytes", r->services->reports.max >> 20);
    err->retry_after = RETRY_SECONDS;
    return false;
}

static bool report_charge(struct http_request *r, struct err *err)
{
    struct budget *memory = &r->services->reports;
    (void)arena_suspend_limit(&r->arena);
    return (arena_charge(&r->arena, memory) && buf_charge(&r->out, memory)) || report_full(r, err);
}

static struct scraper_read report_read(struct http_request *r, int64_t deadline_mono)
{
    return (struct scraper_read){.memory = &r->services->reports, .canceled = &r->canceled,
                                 .deadline_mono = deadline_mono};
}

bool services_targets(struct http_request *r, int64_t deadline_mono, struct scraper_targets *out, struct err *err)
{
    struct scraper_read read = report_read(r, deadline_mono);
    return report_charge(r, err) && scraper_targets(r->services->scraper, &read, &r->arena, out, err);
}

bool services_targets_metadata(struct http_request *r, int64_t deadline_mono, const struct metadata_visit *v,
                               struct err *err)
{
    struct scraper_read read = report_read(r, deadline_mono);
    return report_charge(r, err) && scraper_metadata(r->services->scraper, &read, v, err);
}

bool services_handed_pages(struct http_request *r, int64_t deadline_mono, const struct scraper_wishes *wishes, size_t max,
                           struct err *err)
{
    struct scraper_read read = report_read(r, deadline_mono);
    return report_charge(r, err) && scraper_handed_pages(r->services->scraper, &read, wishes, max, &r->out, err) &&
           services_report_complete(r, err);
}

bool services_target_response(struct http_request *r, uint64_t id, int64_t deadline_mono, struct err *err)
{
    return report_charge(r, err) && scraper_fetch_target(r->services->scraper, id, deadline_mono, &r->out, err);
}

bool services_report_complete(struct http_request *r, struct err *err)
{
    if (r->out.over)
        return report_full(r, err);
    buf_charge_anyway(&r->out, NULL); /* the end of the envelope; then it counts as an unread response */
    return true;
}
