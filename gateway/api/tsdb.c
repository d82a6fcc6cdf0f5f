// SPDX-License-Identifier: Apache-2.0
/* /api/v1/status/tsdb: the size of the servers' storages and of the recent store together. */
#include "gateway/api/query.h"

#include "base/text/num.h"
#include "gateway/api/call.h"
#include "gateway/reports/tsdb.h"

/* Sums need more entries of each server than are shown. */
enum { TSDB_LIMIT = 10, TSDB_LIMIT_MAX = 10000, TSDB_FACTOR = 10 };

static bool api_tsdb_form(void *arg, const struct group *g UNUSED, struct buf *form)
{
    const int64_t *limit = arg;
    char text[NUM_MAX];
    int64_t more = *limit * TSDB_FACTOR < TSDB_LIMIT_MAX ? *limit * TSDB_FACTOR : TSDB_LIMIT_MAX;
    struct str number = str_n(text, num_format_i64(text, more));
    form_add(form, "limit", number);
    form_add(form, "topN", number); /* of VictoriaMetrics */
    return true;
}

static bool api_tsdb_body(struct api_call *c)
{
    struct report_set reports;
    struct tsdb_status status;
    struct str text = form_get(&c->r->form, "limit");
    int64_t limit = TSDB_LIMIT;
    if (text.n > 0 && (!num_parse_i64(text, &limit) || limit < 1))
        return err_set(&c->err, ERR_BAD_DATA, "limit must be a positive number");
    if (limit > TSDB_LIMIT_MAX)
        return err_set(&c->err, ERR_BAD_DATA, "limit must not exceed %d", TSDB_LIMIT_MAX);
    struct report_question what = {.path = "/api/v1/status/tsdb", .form = api_tsdb_form, .arg = &limit};
    if (!reports_fetch(c->source, c->q, &what, &reports, &c->err) ||
        !tsdb_status_merge(&reports, c->source, &status, &c->work, &c->err))
        return false;
    api_reply_begin(c);
    bool ok = tsdb_status_write(&c->json, &status, (size_t)limit, &c->work, c->q->arena, &c->err);
    return api_reply_end(c) && ok;
}

void api_status_tsdb(struct http_request *r) { api_respond(r, api_tsdb_body); }
