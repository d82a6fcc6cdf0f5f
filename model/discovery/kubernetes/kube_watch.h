// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: the objects of one resource, kept equal to those of an API server.
 *
 * A watch belongs to a server with its HTTP client settings, a resource, a namespace and selectors. All sources that want
 * the same share it: one connection, one copy of the objects. It is kept for a while after its last reader has left, so that
 * a reload that moves a job continues with it. Main thread.
 */
#ifndef MODEL_DISCOVERY_KUBERNETES_KUBE_WATCH_H
#define MODEL_DISCOVERY_KUBERNETES_KUBE_WATCH_H

#include "base/http/client.h"
#include "base/list.h"
#include "base/map.h"
#include "model/discovery/kubernetes/kube_object.h"

enum {
    KUBE_OBJECT_MAX = 32 << 20,  /* bytes of one object as a tree */
};
#define KUBE_OBJECTS_MAX ((size_t)1 << 30) /* bytes of the objects of a watch, as they are kept */

struct kube_watches;             /* all of them; discovery.h */
struct kube_watch;
struct kube_watch_conf {         /* nothing is borrowed */
    struct str server;           /* URL without a slash at its end */
    struct client_profile *profile;
    enum kube_resource resource;
    struct str namespace;        /* empty: all of them */
    struct str label, field;     /* selectors */
};
struct kube_reader {             /* one who wants to know; zeroed but for the callbacks */
    struct list node;
    struct kube_watch *watch;
    /* An object was added, changed or removed: `now` is NULL then. Neither outlives the call. */
    void (*changed)(struct kube_reader *r, struct str key, const struct kube_object *now);
    void (*state)(struct kube_reader *r); /* the first list is complete, or an error began, changed or ended */
};
/* No callback within the call: the reader visits the objects that are there already. Reads begin at once. */
void kube_watch_join(struct kube_watches *w, const struct kube_watch_conf *conf, struct kube_reader *r);
void kube_watch_leave(struct kube_reader *r);

const struct kube_object *kube_watch_find(const struct kube_watch *w, struct str key);
const struct map *kube_watch_objects(const struct kube_watch *w); /* key to struct kube_object */
bool kube_watch_synced(const struct kube_watch *w);               /* a list was complete once */
struct kube_watch_state {
    const char *error;           /* without secrets; NULL: none now. Valid until the next callback. */
    const char *shown;           /* its URL without secrets */
    int64_t failing_ms, retry_ms; /* since the first error in a row; until the next request, 0: in progress */
};
struct kube_watch_state kube_watch_state(const struct kube_watch *w);

#endif
