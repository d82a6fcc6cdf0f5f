// SPDX-License-Identifier: Apache-2.0
/* The kinds of service discovery of Prometheus (up to its development branch of 2026) and vmagent 1.145 that are not
 * supported yet, as rows for every section that discovers servers or targets.
 */
#ifndef BASE_CONF_CONF_SD_H
#define BASE_CONF_CONF_SD_H

#include "base/conf/conf.h"

#define CONF_SD_ROW(kind, loss) {.type = CONF_GUARD, .name = kind "_sd_configs", .help = loss}
#define CONF_SD_ROWS(loss)                                                                                            \
    CONF_SD_ROW("aws", loss),                                                                                         \
    CONF_SD_ROW("azure", loss), CONF_SD_ROW("consulagent", loss),                        \
    CONF_SD_ROW("digitalocean", loss), CONF_SD_ROW("docker", loss),                         \
    CONF_SD_ROW("dockerswarm", loss), CONF_SD_ROW("ec2", loss), CONF_SD_ROW("eureka", loss),                          \
    CONF_SD_ROW("gce", loss), CONF_SD_ROW("hetzner", loss), CONF_SD_ROW("ionos", loss),    \
    CONF_SD_ROW("kuma", loss), CONF_SD_ROW("lightsail", loss),                                                        \
    CONF_SD_ROW("linode", loss), CONF_SD_ROW("marathon", loss), CONF_SD_ROW("nerve", loss),                           \
    CONF_SD_ROW("nomad", loss), CONF_SD_ROW("openstack", loss), CONF_SD_ROW("ovhcloud", loss),                        \
    CONF_SD_ROW("oci", loss), CONF_SD_ROW("outscale", loss), CONF_SD_ROW("spcs", loss), CONF_SD_ROW("upcloud", loss), \
    CONF_SD_ROW("puppetdb", loss), CONF_SD_ROW("scaleway", loss), CONF_SD_ROW("serverset", loss),                     \
    CONF_SD_ROW("stackit", loss), CONF_SD_ROW("triton", loss), CONF_SD_ROW("uyuni", loss),                            \
    CONF_SD_ROW("vultr", loss), CONF_SD_ROW("yandexcloud", loss)

#endif
