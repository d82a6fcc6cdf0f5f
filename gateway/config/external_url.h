// SPDX-License-Identifier: Apache-2.0
/* --web.external-url: the URL under which users reach this program, for example through a reverse proxy. As in
 * Prometheus, its path is the default of --web.route-prefix and begins the links of pages, and its host replaces that of
 * targets on this machine in `globalUrl` of /api/v1/targets. Pure; any thread.
 */
#ifndef GATEWAY_CONFIG_EXTERNAL_URL_H
#define GATEWAY_CONFIG_EXTERNAL_URL_H

#include "gateway/config/flags.h"

/* Normalizes path_prefix and sets link_prefix. prefix_set: --web.route-prefix is set, if only to "/". */
bool external_url_apply(struct flags *f, bool prefix_set, struct err *err) MUST_USE;
/* Appends the URL of a target as other machines reach it. */
void external_url_of_target(struct buf *out, const struct flags *f, struct str target);

#endif
