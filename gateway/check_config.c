// SPDX-License-Identifier: Apache-2.0
#include "gateway/check_config.h"

#include "base/os/dir.h"
#include "base/os/line_file.h"
#include "base/os/watched_file.h"
#include "base/telemetry/log.h"
#include "base/text/url.h"
#include "gateway/http/listener.h"
#include "gateway/ingest/lines/lines.h"
#include "gateway/reachability.h"
#include "gateway/services/group_discovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_warning(void *arg UNUSED, const char *text) { printf("warning: %s\n", text); }

/* A key that cannot be read refuses every request. */
static void check_keys(struct flags *f)
{
    struct err err;
    auth_keys_open(&f->auth_keys);
    for (int i = 0; i < AUTH_KEYS; i++) {
        struct file_text *text = f->auth_keys.files[i] ? watched_file_text(f->auth_keys.files[i], &err) : NULL;
        if (f->auth_keys.files[i] && (text == NULL || text->n == 0))
            printf("warning: --%s: %s; requests that need the key are refused\n", auth_key_flag((enum auth_key)i),
                   text ? "the key is empty" : err.text);
        file_text_unref(text);
    }
    auth_keys_close(&f->auth_keys);
}

/* Sockets are not opened: the running program may have them. */
static bool check_addresses(const struct flags *f, struct err *err)
{
    const struct str_list *l = &f->listen;
    for (size_t i = 0; i < l->n; i++) {
        if (l->items[i].n > 0 && !listener_check_address(l->items[i], err))
            return false;
        for (size_t k = 0; k < i; k++)
            if (l->items[i].n > 0 && str_eq(l->items[i], l->items[k]))
                return err_set(err, ERR_BAD_DATA, "--web.listen-address: %.*s is set twice", STR_ARG(l->items[i]));
    }
    if (!lines_check_addresses(f, err))
        return false;
    return l->n <= LISTENERS_MAX || err_set(err, ERR_BAD_DATA, "--web.listen-address: more than %d addresses; remove some",
                                            LISTENERS_MAX);
}

static bool check_queue_dir(const struct flags *f, const struct config *c, struct err *err)
{
    return c->n_destinations == 0 || dir_can_be_used(f->queue_dir.p) ||
           err_set(err, ERR_UNAVAILABLE, "cannot create or write to queue directory %s: %s; choose a writable directory with "
                   "-remoteWrite.tmpDataPath or --storage.agent.path", f->queue_dir.p, strerror(errno));
}

static void check_log_file(const char *key, struct str path)
{
    struct err err;
    if (!line_file_check(path, &err))
        printf("warning: %s: %s; its lines are dropped until it can be written\n", key, err.text);
}

bool check_configuration(struct flags *f, struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->warnings.n; i++)
        print_warning(NULL, c->warnings.items[i].p);
    scraper_check(c->jobs, c->n_jobs, print_warning, NULL);
    group_discovery_check(c, print_warning, NULL);
    check_keys(f);
    check_log_file("--web.access-log", str_is(f->access_log, "none") ? STR("") : f->access_log);
    check_log_file("global.query_log_file", c->global.query_log_file);
    if (!check_addresses(f, err) || !check_queue_dir(f, c, err))
        return false;
    if (f->check_reachability) /* the log would repeat what is printed */
        log_setup(LOG_ERROR, str_is(f->log_format, "json") ? LOG_JSON : LOG_LOGFMT, 2);
    bool ok = !f->check_reachability || reachability_check(c, err);
    struct buf shown = {0};
    url_redact_path(&shown, f->config_file.n > 0 ? f->config_file : STR("the command line"));
    if (ok)
        printf("%s is valid: %zu scrape jobs, %zu destinations, %zu server groups\n", buf_z(&shown), c->n_jobs,
               c->n_destinations, c->n_groups);
    buf_free(&shown);
    return ok;
}
