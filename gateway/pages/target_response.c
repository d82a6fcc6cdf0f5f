// SPDX-License-Identifier: Apache-2.0
/* /target_response?id=, as in vmagent: what a target responds to the request that scrapes it. */
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

#include <string.h>

static bool read_target_id(struct str text, uint64_t *id, struct err *err)
{
    enum { DIGITS = 16 };
    static const char digits[] = "0123456789abcdef";
    *id = 0;
    for (size_t i = 0; i < text.n && text.n <= DIGITS; i++) {
        const char *digit = memchr(digits, text.p[i], DIGITS);
        if (digit == NULL)
            return err_set(err, ERR_BAD_DATA, "id: expected up to %d hexadecimal digits", DIGITS);
        *id = *id << 4 | (uint64_t)(digit - digits);
    }
    return (text.n > 0 && text.n <= DIGITS) || err_set(err, ERR_BAD_DATA, "id: expected the id of a target");
}

void page_target_response(struct http_request *r)
{
    struct err err;
    uint64_t id;
    int64_t timeout = r->services->flags.query_timeout;
    int64_t deadline = timeout > 0 ? r->started_mono + timeout : 0;
    if (!read_target_id(form_get(&r->form, "id"), &id, &err) || !services_target_response(r, id, deadline, &err) ||
        !services_report_complete(r, &err)) {
        html_fail(r, "Response of a target", &err);
        return;
    }
    r->content_type = "text/plain; charset=utf-8";
}
