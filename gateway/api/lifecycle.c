// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/api.h"

#include "gateway/services/services.h"
#include "gateway/pages/pages.h"

static bool lifecycle_allowed(struct http_request *r, bool enabled)
{
    if (enabled)
        return true;
    http_text(r, 403, "Lifecycle API is not enabled; start with --web.enable-lifecycle to allow it.\n");
    return false;
}

static void on_reloaded(void *arg, const struct err *err)
{
    struct http_request *r = arg;
    page_reloaded(r, err);
    http_finish(r);
}

/* GET reloads only with vmagent's flags; with others, browsers and crawlers must not reload. */
void api_reload(struct http_request *r)
{
    if (!lifecycle_allowed(r, r->services->flags.enable_reload))
        http_finish(r);
    else if (r->method == HTTP_GET && r->services->flags.dialect != DIALECT_VMAGENT) {
        http_text(r, 405, "Only POST or PUT requests allowed\n");
        http_finish(r);
    } else if (!services_ready(r->services)) {
        http_text(r, 503, "Service Unavailable\n");
        http_finish(r);
    } else
        services_request_reload(r->services, r->loop, on_reloaded, r);
}

void api_quit(struct http_request *r)
{
    if (!lifecycle_allowed(r, r->services->flags.enable_lifecycle))
        return;
    http_text(r, 200, "Requesting termination... Goodbye!\n");
    r->services->request_quit(r->services);
}

void api_healthy(struct http_request *r) { http_text(r, 200, "sluice is Healthy.\n"); }

/* For load balancers, as in vmagent: 503 from the moment when a stop is requested. */
void api_health(struct http_request *r)
{
    bool leaving = services_leaving(r->services);
    http_text(r, leaving ? 503 : 200, leaving ? "sluice stops soon.\n" : "sluice is Healthy.\n");
}

void api_ready(struct http_request *r)
{
    bool ready = services_ready(r->services) && !services_leaving(r->services) && writer_ready(r->services->writer);
    http_text(r, ready ? 200 : 503, ready ? "sluice is Ready.\n" : "Service Unavailable\n");
}

void api_ready_vmagent(struct http_request *r)
{
    bool ready = services_ready(r->services) && scraper_ready(r->services->scraper);
    if (services_leaving(r->services))
        http_text(r, 503, "Service Unavailable\n");
    else
        http_text(r, ready ? 200 : 425, ready ? "OK" : "waiting for scrapes to init\n");
}

void api_ping(struct http_request *r) { r->status = 204; }
