// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: a source that reads lists of Docker's API, all at once, and builds its targets when it has all
 * of them. Docker listens to HTTP, or to a Unix socket (unix:///var/run/docker.sock), to which no option of the HTTP client
 * applies. Main thread. Source of the responses: https://docs.docker.com/reference/api/engine/
 */
#ifndef MODEL_DISCOVERY_DOCKER_API_H
#define MODEL_DISCOVERY_DOCKER_API_H

#include "model/discovery/groups/sd_build.h"
#include "model/discovery/source/sd_poll.h"
#include "model/discovery/source/sd_request.h"

enum { DOCKER_LISTS = 4 };
struct docker_source;
struct docker_lists {
    const char *name;            /* of the kind */
    const char *paths[DOCKER_LISTS]; /* the first one is filtered; NULL: no more */
    /* lists: of paths, each an array or null. */
    void (*build)(const struct docker_source *s, struct sd_build *b, const struct json_value *const *lists);
    enum sd_stat failures;
};
struct docker_slot { struct sd_request request; struct docker_source *source; const struct json_value *list; };
struct docker_source {
    struct sd_poll poll;
    const struct docker_lists *reads;
    unsigned port;
    struct str host_networking_host; /* owned; of docker_sd_configs, as the following */
    bool match_first_network;
    char *base, *socket, *filters; /* http://HOST:PORT; path or NULL; "?filters=..." or "" */
    struct client_profile *profile;
    struct docker_slot slots[DOCKER_LISTS];
    size_t running;
};
/* more: of the kind, for the key. */
struct docker_source *docker_source_make(const struct sd_source_env *env, const struct docker_lists *reads,
                                         const struct sd_server *server, const struct docker_host *host, const char *more,
                                         struct err *err);

/* For the builders: */
struct docker_networks { struct map by_id; const char *prefix; };
void docker_networks_read(struct docker_networks *n, const char *prefix, const struct json_value *list);
void docker_networks_add(const struct docker_networks *n, struct sd_build *b, struct str id); /* the labels of a network */
struct str docker_text(const struct json_value *object, const char *key); /* of a string, number or boolean */
unsigned docker_port(const struct json_value *object, const char *key);

bool docker_host_check(const struct yaml *node, const char *section, const struct docker_host *host, struct err *err) MUST_USE;

#endif
