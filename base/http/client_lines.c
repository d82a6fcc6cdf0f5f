// SPDX-License-Identifier: Apache-2.0
#include "base/http/client_lines.h"

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
