// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/own_address.h"

#include "base/text/url.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

/* An IPv4 address is stored in its mapped form, ::ffff:a.b.c.d. */
static bool ip_parse(struct str host, struct in6_addr *out)
{
    char z[INET6_ADDRSTRLEN];
    struct in_addr v4;
    if (host.n >= sizeof z)
        return false;
    memcpy(z, host.p, host.n);
    z[host.n] = 0;
    if (inet_pton(AF_INET6, str_is(host, "localhost") ? "::1" : z, out) == 1)
        return true;
    if (inet_pton(AF_INET, z, &v4) != 1)
        return false;
    *out = (struct in6_addr)IN6ADDR_ANY_INIT;
    memset(&out->s6_addr[10], 0xff, 2);
    memcpy(&out->s6_addr[12], &v4, 4);
    return true;
}

static bool ip_is_loopback(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
}

/* 0.0.0.0 or ::, which a client reaches this machine by, too. */
static bool ip_is_any(const struct in6_addr *ip)
{
    static const uint8_t zero[4];
    return IN6_IS_ADDR_UNSPECIFIED(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && memcmp(&ip->s6_addr[12], zero, 4) == 0);
}

static bool ip_of_interface(const struct in6_addr *ip)
{
    struct ifaddrs *all, *i;
    if (getifaddrs(&all) != 0)
        return false;
    for (i = all; i; i = i->ifa_next) {
        const struct sockaddr *a = i->ifa_addr;
        if (a && a->sa_family == AF_INET && IN6_IS_ADDR_V4MAPPED(ip) &&
            memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr, &ip->s6_addr[12], 4) == 0)
            break;
        if (a && a->sa_family == AF_INET6 &&
            memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, ip, sizeof *ip) == 0)
            break;
    }
    bool found = i != NULL;
    freeifaddrs(all);
    return found;
}

static bool host_reaches(struct str host, struct str listen_host)
{
    struct in6_addr to, own;
    if (!ip_parse(host, &to))
        return str_ieq(host, listen_host);
    bool everywhere = listen_host.n == 0;
    if (!everywhere && !ip_parse(listen_host, &own))
        return false;
    if (everywhere || ip_is_any(&own))
        return ip_is_loopback(&to) || ip_is_any(&to) || ip_of_interface(&to);
    bool local = str_is(host, "localhost") || ip_is_any(&to); /* whichever loopback address that is */
    return memcmp(&to, &own, sizeof to) == 0 || (local && ip_is_loopback(&own));
}

struct str own_address_of_url(struct str url, const struct str_list *listen, const bool *tls)
{
    struct url u;
    if (!url_parse(url, &u, NULL))
        return STR_NONE;
    bool https = str_is(u.scheme, "https");
    struct str port = u.port.n > 0 ? u.port : https ? STR("443") : STR("80");
    for (size_t i = 0; i < listen->n; i++) {
        struct str own_host, own_port;
        if (https != (tls && tls[i])) /* TLS ends elsewhere */
            continue;
        if (address_split(listen->items[i], &own_host, &own_port) && str_eq(port, own_port) &&
            host_reaches(u.host, own_host))
            return listen->items[i];
    }
    return STR_NONE;
}
