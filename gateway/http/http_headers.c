// SPDX-License-Identifier: Apache-2.0
/* Headers of a request, and the address of its client. */
#include "gateway/http/http_connection.h"

#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

/* While a worker streams, the library may change the connection, or free it. */
struct str http_header(struct http_request *r, const char *name)
{
    if ((r->streaming && r->_connection->state == HTTP_WORKING) || r->_connection->mhd == NULL)
        return STR_NONE;
    return str_of(MHD_lookup_connection_value(r->_connection->mhd, MHD_HEADER_KIND, name));
}

struct str http_client(struct http_request *r)
{
    if (r->client[0] || r->_connection->mhd == NULL)
        return str_of(r->client);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->_connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char host[INET6_ADDRSTRLEN], port[8];
    const struct sockaddr *from = info ? info->client_addr : NULL;
    socklen_t n = from && from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (from && getnameinfo(from, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(r->client, sizeof r->client, from->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return str_of(r->client);
}

struct str http_client_host(struct http_request *r)
{
    struct str host, port;
    return address_split(http_client(r), &host, &port) ? host : STR("");
}
