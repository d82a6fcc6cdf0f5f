// SPDX-License-Identifier: Apache-2.0
#include "gateway/check_config.h"

#include "base/os/watched_file.h"
#include "base/telemetry/log.h"
#include "base/text/url.h"
#include "gateway/reachability.h"
#include "gateway/services/group_discovery.h"

#include <stdio.h>

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

bool check_configuration(struct flags *f, struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->warnings.n; i++)
        print_warning(NULL, c->warnings.items[i].p);
    scraper_check(c->jobs, c->n_jobs, print_warning, NULL);
    group_discovery_check(c, print_warning, NULL);
    check_keys(f);
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
