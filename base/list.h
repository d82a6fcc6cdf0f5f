// SPDX-License-Identifier: Apache-2.0
/* An intrusive doubly linked circular list. A zeroed node is in no list; list_init makes an empty head. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/mem.h"

#include <stdbool.h>

struct list { struct list *prev, *next; };

static inline void list_init(struct list *head) { head->prev = head->next = head; }
static inline bool list_empty(const struct list *head) { return head->next == head; }
static inline bool list_linked(const struct list *node) { return node->next != NULL; }
static inline void list_insert(struct list *node, struct list *before)
{
    node->prev = before->prev;
    node->next = before;
    before->prev->next = node;
    before->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node) { list_insert(node, head); }
static inline void list_push_front(struct list *head, struct list *node) { list_insert(node, head->next); }
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = head->next;
    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

#endif
