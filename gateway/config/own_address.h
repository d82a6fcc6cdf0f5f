// SPDX-License-Identifier: Apache-2.0
/* Whether a URL is an address that this program listens on. Names other than localhost are not resolved. */
#ifndef GATEWAY_CONFIG_OWN_ADDRESS_H
#define GATEWAY_CONFIG_OWN_ADDRESS_H

#include "base/conf/conf.h"

/* listen: "host:port" or ":port" each; tls: which of them serve TLS, NULL: none. The one that the URL reaches, an empty
 * string when it reaches none. */
struct str own_address_of_url(struct str url, const struct str_list *listen, const bool *tls);

#endif
