/* Intrusive doubly linked list. A head is a list_node that points to itself when empty. */
#ifndef HOLM_BASE_LIST_H
#define HOLM_BASE_LIST_H

#include "base/util.h"

struct list_node {
    struct list_node *prev, *next;
};

static inline void list_init(struct list_node *n)
{
    n->prev = n->next = n;
}

static inline bool list_is_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_add_tail(struct list_node *head, struct list_node *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

static inline void list_add_head(struct list_node *head, struct list_node *n)
{
    list_add_tail(head->next, n);
}

/* Safe on a node that is not in a list as long as it was initialised. */
static inline void list_remove(struct list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

#define LIST_FOREACH(it, head, type, member)                                                                           \
    for (type *it = container_of((head)->next, type, member); &it->member != (head);                                   \
         it = container_of(it->member.next, type, member))

/* The body may remove or free `it`. */
#define LIST_FOREACH_SAFE(it, head, type, member)                                                                      \
    for (type *it = container_of((head)->next, type, member),                                                          \
              *it##_next_ = container_of(it->member.next, type, member);                                               \
         &it->member != (head); it = it##_next_, it##_next_ = container_of(it->member.next, type, member))

#endif
