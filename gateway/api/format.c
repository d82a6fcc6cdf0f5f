// SPDX-License-Identifier: Apache-2.0
/* format_query and parse_query: the text again, laid out, and its tree. */
#include "gateway/api/call.h"
#include "gateway/api/query.h"
#include "promql/promql.h"

static struct expr *parse(struct api_call *c)
{
    struct expr *tree = api_parse(c);
    if (tree == NULL)
        err_wrap(&c->err, "invalid parameter \"query\"");
    return tree;
}

static bool format_query(struct api_call *c)
{
    struct expr *tree = parse(c);
    struct buf text = {0};
    if (tree == NULL)
        return false;
    promql_pretty(&text, tree);
    json_html_str(&c->json, buf_str(&text));
    buf_free(&text);
    return true;
}

static bool parse_query(struct api_call *c)
{
    struct expr *tree = parse(c);
    if (tree == NULL)
        return false;
    promql_json(&c->r->out, tree);
    return true;
}

void api_format_query(struct http_request *r) { api_answer(r, format_query); }
void api_parse_query(struct http_request *r) { api_answer(r, parse_query); }
