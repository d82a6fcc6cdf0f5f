// SPDX-License-Identifier: Apache-2.0
/* format_query and parse_query: the formatted expression, and its syntax tree. */
#include "gateway/api/call.h"
#include "gateway/api/query.h"
#include "promql/promql.h"

static struct expr *api_format_parse(struct api_call *c)
{
    struct expr *tree = api_parse(c);
    if (tree == NULL)
        err_wrap(&c->err, "invalid parameter \"query\"");
    return tree;
}

static bool format_query(struct api_call *c)
{
    struct expr *tree = api_format_parse(c);
    if (tree == NULL)
        return false;
    api_reply_begin(c);
    struct buf text = {.max = c->r->out.max}; /* lines of a long chain are indented as deep as it is long */
    promql_pretty(&text, tree);
    json_html_str(&c->json, buf_str(&text));
    c->r->out.over |= text.over;
    buf_free(&text);
    return api_reply_end(c);
}

static bool parse_query(struct api_call *c)
{
    struct expr *tree = api_format_parse(c);
    if (tree == NULL)
        return false;
    api_reply_begin(c);
    promql_json(&c->r->out, tree);
    return api_reply_end(c);
}

void api_format_query(struct http_request *r) { api_respond(r, format_query); }
void api_parse_query(struct http_request *r) { api_respond(r, parse_query); }
