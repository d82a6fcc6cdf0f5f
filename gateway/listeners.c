// SPDX-License-Identifier: Apache-2.0
#include "gateway/listeners.h"

#include "gateway/ingest/lines/lines.h"

/* Empty addresses are skipped. Nothing is accepted before TLS and users are in force. */
bool listeners_make(struct services *s, const struct config *c, struct listener *all, size_t *n, struct err *err)
{
    const struct str_list *addresses = &s->flags.listen;
    for (size_t i = 0; i < addresses->n; i++) {
        if (addresses->items[i].n == 0)
            continue;
        if (*n == LISTENERS_MAX)
            return err_set(err, ERR_BAD_DATA, "--web.listen-address: more than %d addresses; remove some",
                           LISTENERS_MAX);
        struct listener *l = &all[*n];
        listener_init(l, addresses->items[i]);
        l->proxied = c->access->proxied[*n];
        listener_set_access(l, http_access_ref(c->access->of[(*n)++]));
    }
    s->listeners = all;
    s->n_listeners = *n;
    return lines_listeners(&s->flags, all, n, err);
}
