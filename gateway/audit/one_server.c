// SPDX-License-Identifier: Apache-2.0
#include "gateway/audit/one_server.h"

struct source *one_server_source(struct one_server *o, const struct upstream *of, const struct group *g, size_t server)
{
    *o = (struct one_server){.group = *g};
    o->group.servers = &g->servers[server];
    o->group.n_servers = 1;
    o->group.recent = false;
    o->group.backup.written = NULL;
    o->group.failure = GROUP_REQUIRED;
    o->upstream.source = (struct source){.ops = &upstream_source_ops, .united = true};
    o->upstream.env = of->env;
    o->upstream.env.recent_get = NULL;
    o->upstream.groups = (struct group_list){&o->group, 1, 1};
    return &o->upstream.source;
}
