// SPDX-License-Identifier: Apache-2.0
#include "base/http/client_lines.h"

#include <string.h>

#include "base/mem.h"

#include <curl/curl.h>

void client_line_add(struct curl_slist **list, const char *line)
{
    struct curl_slist *added = mem_zalloc(sizeof *added);
    added->data = mem_strdup(line);
    while (*list)
        list = &(*list)->next;
    *list = added;
}

void client_lines_free(struct curl_slist *list)
{
    for (struct curl_slist *next; list; list = next) {
        next = list->next;
        mem_free(list->data);
        mem_free(list);
    }
}

/* The value is a secret: only what is before a space or an equals sign, the probable name, is shown. */
static bool check_header(const char *key, const char *line, struct err *err)
{
    struct str rest = str_of(line), name;
    if (!str_cut(&rest, ':', &name) || rest.p == NULL || name.n == 0 || strpbrk(line, "\r\n")) {
        size_t n = strcspn(line, ":= \t\r\n");
        return err_set(err, ERR_BAD_DATA, "%s: \"%.*s%s<secret>\" is not of the form \"Name: value\"", key,
                       line[n] ? (int)n : 0, line, line[n] == ':' ? ":" : line[n] ? " " : "");
    }
    return true;
}

/* Checks a text that becomes part of a header line as it is: the login of basic_auth is encoded, as in Go. A text block
 * of YAML ends in a line break, which would end the head early. The value is secret: it is not part of the error. */
static bool check_word(const char *key, const char *text, struct err *err)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return err_set(err, ERR_BAD_DATA, "%s: a line break or another control character is in it", key);
    return true;
}

bool client_lines_check(const struct client_profile_conf *c, struct err *err)
{
    const struct { const char *key, *text; } words[] = {
        {"authorization type", c->auth_type}, {"credentials or bearer_token", c->credentials},
        {"proxy_url", c->proxy_url}};
    for (size_t i = 0; i < LEN(words); i++)
        if (!check_word(words[i].key, words[i].text, err))
            return false;
    for (size_t i = 0; i < c->n_headers; i++)
        if (!check_header("headers", c->headers[i], err))
            return false;
    for (size_t i = 0; i < c->n_proxy_headers; i++)
        if (!check_header("proxy_connect_header", c->proxy_headers[i], err))
            return false;
    for (size_t i = 0; i < c->n_header_files; i++)
        if (c->header_files[i].name[0] == 0 || strpbrk(c->header_files[i].name, ": \t\r\n"))
            return err_set(err, ERR_BAD_DATA, "http_headers: the name of the header with the file %s is invalid",
                           c->header_files[i].path);
    return true;
}
