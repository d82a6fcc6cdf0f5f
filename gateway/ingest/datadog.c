// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/datadog.h"

#include "base/text/utf8.h"
#include "gateway/services/services.h"

static bool datadog_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

struct str datadog_name(struct ingest *in, struct str name)
{
    char *to = arena_bytes(in->scratch, name.n);
    size_t n = 0;
    if (!in->services->flags.ingest.datadog_sanitize)
        return name;
    for (size_t i = 0; i < name.n; i++) {
        char last = n > 0 ? to[n - 1] : 'a';
        if (datadog_char(name.p[i])) {
            to[n++] = name.p[i];
        } else if (name.p[i] == '.') {
            n -= last == '_';
            to[n++] = '.';
        } else if (last != '_' && last != '.') {
            to[n++] = '_';
        }
    }
    return str_n(to, n);
}

bool datadog_label(struct ingest *in, struct str name, struct str value, struct err *err)
{
    if (name.n == 0)
        return true;
    if (!label_name_valid(name) || !utf8_valid(value))
        return err_set(err, ERR_BAD_DATA, "tag `%.*s` is not UTF-8", STR_ARG(str_first(name, 100)));
    if (in->labels->n == LABELS_MAX_COUNT)
        return err_set(err, ERR_BAD_DATA, "more than %d labels", LABELS_MAX_COUNT);
    builder_set(in->labels, name, value);
    return true;
}

bool datadog_tag(struct ingest *in, struct str tag, const char *host, struct err *err)
{
    size_t colon = str_find(tag, ':');
    struct str name = str_first(tag, colon);
    return datadog_label(in, str_is(name, "host") ? str_of(host) : name,
                         colon < tag.n ? str_skip(tag, colon + 1) : STR("no_label_value"), err);
}

/* ---- what agents send besides metrics ---- */

static void datadog_answer(struct http_request *r, int status, const char *json)
{
    r->status = status;
    r->content_type = "application/json";
    buf_add_z(&r->out, json);
}

void api_datadog_validate(struct http_request *r) { datadog_answer(r, 200, "{\"valid\":true}"); }
void api_datadog_check_run(struct http_request *r) { datadog_answer(r, 202, "{\"status\":\"ok\"}"); }
void api_datadog_dropped(struct http_request *r) { datadog_answer(r, 200, "{}"); }
