// SPDX-License-Identifier: Apache-2.0
/* What a downstream server is: its API and the version of its software. */
#ifndef GATEWAY_SERVERS_SERVER_KIND_H
#define GATEWAY_SERVERS_SERVER_KIND_H

enum server_kind { SERVER_AUTO, SERVER_PROMETHEUS, SERVER_VICTORIAMETRICS };

/* A version as one number. SERVER_VERSION_NONE: unknown, or not a release of Prometheus. */
#define SERVER_VERSION(major, minor, patch) ((unsigned)(major) << 20 | (unsigned)(minor) << 10 | (unsigned)(patch))
#define SERVER_VERSION_NONE 1u

#endif
