// SPDX-License-Identifier: Apache-2.0
/* Makes the process a member of its cluster, and the scraper follow its view. */
#include "gateway/services/services.h"

#include "base/telemetry/log.h"
#include "gateway/cluster/cluster.h"

#include <unistd.h>

static bool join_ready(void *arg)
{
    struct services *s = arg;
    return services_ready(s) && services_have_instances(s) && scraper_ready(s->scraper) && services_agents_gone(s);
}

static void join_on_view(void *arg, struct cluster_view *view) { scraper_set_view(((struct services *)arg)->scraper, view); }
static int64_t join_complete(void *arg) { return scraper_complete(((struct services *)arg)->scraper); }
static bool join_has_standbys(void *arg)
{
    const struct services *s = arg;
    return s->_config && s->_config->scrape.cluster.standby;
}

static size_t join_not_handed(void *arg) { return scraper_not_handed(((struct services *)arg)->scraper); }

_Static_assert((int)HANDOVER_IDS <= (int)HANDED_PAGES_MAX, "a response has a page of each target");

static bool join_take_pages(void *arg, const struct handover_source *of, struct buf *body,
                            void (*answered)(void *answered_arg, uint64_t id), void *answered_arg, struct err *err)
{
    struct services *s = arg;
    return scraper_take_pages(s->scraper, &(struct scraper_hold){of->from, of->by}, body, answered, answered_arg, err);
}

static void join_release(void *arg, const struct handover_source *of)
{
    scraper_release(((struct services *)arg)->scraper, &(struct scraper_hold){of->from, of->by});
}

void services_expect_target(void *services, const struct cluster_view *view, size_t from, int64_t time, uint64_t id)
{
    struct services *s = services;
    if (s->cluster)
        cluster_expect(s->cluster, &view->members[from], time, id);
}

static int64_t join_delivered(void *arg) { return writer_delivered(((struct services *)arg)->writer); }
static void join_on_fence(void *arg, int64_t until) { scraper_set_fence(((struct services *)arg)->scraper, until); }

/* http://HOST:PORT of the first listen address. */
static void join_address(const struct services *s, struct buf *out)
{
    const struct str_list *listen = &s->flags.listen;
    char host[256] = "localhost";
    struct str port = STR("8429");
    for (size_t i = 0; i < listen->n; i++) {
        struct str address = listen->items[i];
        size_t at = address.n;
        while (at > 0 && address.p[at - 1] != ':')
            at--;
        if (at == 0 || at == address.n)
            continue;
        port = str_skip(address, at);
        break;
    }
    (void)!gethostname(host, sizeof host - 1);
    buf_printf(out, "http://%s:%.*s%.*s", host, STR_ARG(port), STR_ARG(s->flags.path_prefix));
}

bool services_join_cluster(struct services *s, struct config *c, struct err *err)
{
    struct buf address = {0};
    if (s->_config && (c->cluster != NULL) != (s->cluster != NULL))
        return err_set(err, ERR_BAD_DATA, "cluster: adding or removing this section needs a restart");
    if (c->cluster == NULL || s->cluster)
        return true;
    join_address(s, &address);
    s->cluster = cluster_new(&(struct cluster_env){
        .main = s->control, .default_address = buf_str(&address), .boot = str_of(s->id), .ready = join_ready,
        .view = join_on_view, .fence = join_on_fence, .complete = join_complete,
        .delivered = join_delivered, .has_standbys = join_has_standbys, .not_handed = join_not_handed,
        .take_pages = join_take_pages, .release = join_release, .arg = s}, c->cluster, err);
    buf_free(&address);
    if (s->cluster)
        s->_cluster_config = config_ref(c);
    return s->cluster != NULL;
}

void services_check_cluster(const struct services *s, const struct config *c)
{
    if (s->cluster && c->cluster && !conf_equal(&cluster_section, c->cluster, cluster_settings(s->cluster)))
        log_warn("config", "section cluster has changed: its keys but for replication_factor and ownership_* are used "
                 "after a restart");
}

void services_leave_cluster(struct services *s, void (*next)(void *services))
{
    if (s->cluster)
        cluster_leave(s->cluster, next, s);
    else
        next(s);
}

void services_end_cluster(struct services *s, void (*next)(void *services))
{
    if (s->cluster)
        cluster_end(s->cluster, next, s);
    else
        next(s);
}

void services_free_cluster(struct services *s)
{
    cluster_free(s->cluster);
    config_unref(s->_cluster_config);
    s->cluster = NULL;
    s->_cluster_config = NULL;
}
