// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/config/: the file of --web.config.file, in the format of Prometheus' exporter-toolkit, and
 * tls_server_config, which promxy's files have too. */
#ifndef GATEWAY_CONFIG_WEB_CONF_H
#define GATEWAY_CONFIG_WEB_CONF_H

#include "base/conf/conf.h"
#include "gateway/http/http.h"

struct tls_server_conf {
    struct str cert, key, client_ca;                /* PEM; empty: the file */
    struct str cert_file, key_file, client_ca_file; /* relative to the directory of the file that names them */
    int client_auth_type;                           /* enum http_client_auth, or REQUIRE_CLIENT_CERT, an old name */
    struct str_list client_allowed_sans;
    int min_version, max_version;                   /* enum http_tls_version */
    struct str_list cipher_suites, curve_preferences;
    bool prefer_server_cipher_suites;
};
enum { REQUIRE_CLIENT_CERT = 5 };
struct http_server_file_conf { struct str_map headers; };
struct rate_limit_conf { int64_t interval, burst; /* interval: ns; 0: no limit */ };
struct route_class_conf { struct str_list users; bool open; };
struct route_classes_conf { struct route_class_conf *of[ROUTE_CLASSES]; /* NULL: all users */ };
extern const char *const route_class_names[]; /* by enum route_class */
struct web_conf {
    struct tls_server_conf *tls;     /* NULL: HTTP */
    struct http_server_file_conf http;
    struct rate_limit_conf rate_limit;
    struct route_classes_conf route_classes;
    struct str_map basic_auth_users; /* name: bcrypt hash */
};
extern const struct conf_section tls_server_section, web_section;

#endif
