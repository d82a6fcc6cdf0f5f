// SPDX-License-Identifier: Apache-2.0
/* The kinds of service discovery of Prometheus (up to its development branch of 2026) and vmagent 1.145 that are not
 * supported yet, as rows for every section that discovers servers or targets. A job without targets is reported
 * (CONF_LATER); a server group that lacks servers would give wrong results (CONF_GUARD).
 */
#ifndef BASE_CONF_CONF_SD_H
#define BASE_CONF_CONF_SD_H

#include "base/conf/conf.h"

#define CONF_SD_ROW(kind, type_, loss) {.type = (type_), .name = kind "_sd_configs", .help = loss}
#define CONF_SD_ROWS(type_, loss)                                                                                     \
    CONF_SD_ROW("aws", type_, loss), CONF_SD_ROW("digitalocean", type_, loss),                                        \
    CONF_SD_ROW("hetzner", type_, loss), CONF_SD_ROW("ionos", type_, loss),                                           \
    CONF_SD_ROW("kuma", type_, loss), CONF_SD_ROW("lightsail", type_, loss),                                          \
    CONF_SD_ROW("linode", type_, loss), CONF_SD_ROW("marathon", type_, loss),                                         \
    CONF_SD_ROW("nerve", type_, loss), CONF_SD_ROW("openstack", type_, loss),                                         \
    CONF_SD_ROW("ovhcloud", type_, loss), CONF_SD_ROW("oci", type_, loss),                                            \
    CONF_SD_ROW("outscale", type_, loss), CONF_SD_ROW("spcs", type_, loss),                                           \
    CONF_SD_ROW("upcloud", type_, loss), CONF_SD_ROW("puppetdb", type_, loss),                                        \
    CONF_SD_ROW("scaleway", type_, loss), CONF_SD_ROW("serverset", type_, loss),                                      \
    CONF_SD_ROW("stackit", type_, loss), CONF_SD_ROW("triton", type_, loss),                                          \
    CONF_SD_ROW("uyuni", type_, loss), CONF_SD_ROW("vultr", type_, loss),                                             \
    CONF_SD_ROW("yandexcloud", type_, loss)

#endif
