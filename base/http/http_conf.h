// SPDX-License-Identifier: Apache-2.0
/* The rows shared by every section with an HTTP client (Prometheus' http_config): basic_auth, authorization,
 * bearer_token[_file], tls_config, proxy_url, proxy_*, follow_redirects, headers / http_headers, oauth2, sigv4, ... and
 * the profile made from them. */
#ifndef BASE_HTTP_HTTP_CONF_H
#define BASE_HTTP_HTTP_CONF_H

#include "base/http/client.h"
#include "base/conf/conf.h"

struct basic_auth_conf { struct str username, username_file, password, password_file; };
struct authorization_conf { struct str type, credentials, credentials_file; };
struct tls_conf {
    struct str ca, ca_file, cert, cert_file, key, key_file, server_name, min_version, max_version;
    bool insecure_skip_verify;
};
struct oauth2_conf {
    struct str client_id, client_secret, client_secret_file, token_url;
    struct str_list scopes;
    struct str_map endpoint_params;
    int grant_type, signature_algorithm; /* index of the names in http_conf.c */
    struct str client_certificate_key, client_certificate_key_file, client_certificate_key_id, iss, audience;
    struct str_map claims;
    struct tls_conf tls;
    struct str proxy_url, no_proxy;
    bool proxy_from_environment;
};
struct sigv4_conf {
    struct str region, access_key, secret_key, profile, role_arn, external_id, service_name, sts_endpoint;
    bool use_fips_sts_endpoint;
};
struct azuread_conf {
    int cloud;             /* index of the names in azure_conf.c */
    struct azure_identity { struct str client_id; } *managed_identity;
    struct azure_secret { struct str client_id, client_secret, tenant_id; } *oauth;
    struct azure_workload { struct str client_id, tenant_id, token_file_path; } *workload_identity;
    struct azure_certificate {
        struct str client_id, tenant_id, certificate_path, certificate_key_path, certificate_password;
        bool send_certificate_chain;
    } *certificate;
    struct azure_sdk { struct str tenant_id; } *sdk;
    struct str scope;
    struct str authority;  /* not a key: URL of the server of tokens; empty: that of the cloud */
};
/* Sets the parts of *to; texts are appended to `held`, which must live as long. */
void azuread_conf_oauth2(const struct azuread_conf *a, struct client_oauth2 *to, struct arena *held);
struct google_iam_conf { struct str credentials_file, scope; /* scope: not a key; empty: of Cloud Monitoring */ };
void google_iam_conf_oauth2(const struct google_iam_conf *g, struct client_oauth2 *to, struct arena *held); /* likewise */
extern const struct conf_section google_iam_section;
/* Prometheus' form, name: {values: [...], secrets: [...], files: [...]}, flattened: one entry for each value and each
 * file. */
struct http_headers { struct str_map values, files; };
struct http_conf {
    struct basic_auth_conf *basic_auth;
    struct authorization_conf *authorization;
    struct oauth2_conf *oauth2;
    struct sigv4_conf *sigv4;
    struct azuread_conf *azuread;
    struct google_iam_conf *google_iam; /* of remote_write only */
    struct str bearer_token, bearer_token_file;
    struct tls_conf tls;
    struct str proxy_url, no_proxy;
    bool proxy_from_environment, follow_redirects;
    struct str_list headers;      /* vmagent: "Name: value" */
    struct http_headers http_headers;
    struct str_map proxy_connect_header; /* one entry for each value */
    struct proxy_conf {           /* vmagent: for the connection to the proxy */
        struct basic_auth_conf *basic_auth;
        struct authorization_conf *authorization;
        struct str bearer_token, bearer_token_file;
        struct tls_conf tls;
        struct str_list headers;
    } proxy;
};
/* Rows to include in a section: HTTP_CONF_ROWS(struct scrape_conf, http). Uses offsetof(type, field.x). */
extern const struct conf_section basic_auth_section, authorization_section, tls_section, oauth2_section, sigv4_section,
    azuread_section;
bool http_headers_custom(struct conf_context *c, const struct yaml *node, void *field, struct err *err);
void http_headers_print(struct buf *out, const void *field, unsigned indent); /* without the values */
bool http_headers_equal(const void *a, const void *b);
bool proxy_headers_custom(struct conf_context *c, const struct yaml *node, void *field, struct err *err);
void proxy_headers_print(struct buf *out, const void *field, unsigned indent);
bool proxy_headers_equal(const void *a, const void *b);
#define HTTP_CONF_ROWS(type, field)                                                                                   \
    {CONF_OPTIONAL, "basic_auth", offsetof(type, field.basic_auth), .section = &basic_auth_section,                   \
     .help = "User name and password"},                                                                               \
    {CONF_OPTIONAL, "authorization", offsetof(type, field.authorization), .section = &authorization_section,          \
     .help = "Authorization header"},                                                                                 \
    {CONF_SECRET, "bearer_token", offsetof(type, field.bearer_token), .help = "Token for `Authorization: Bearer`"},   \
    {CONF_FILE, "bearer_token_file", offsetof(type, field.bearer_token_file),                                         \
     .help = "File with the token, re-read each second"},                                                             \
    {CONF_SECTION, "tls_config", offsetof(type, field.tls), .section = &tls_section, .help = "TLS of the connection"}, \
    {CONF_URL, "proxy_url", offsetof(type, field.proxy_url), .help = "http, https or socks5 proxy"},                  \
    {CONF_STRING, "no_proxy", offsetof(type, field.no_proxy),                                                         \
     .help = "Hosts reached without the proxy, comma separated"},                                                     \
    {CONF_BOOL, "proxy_from_environment", offsetof(type, field.proxy_from_environment),                               \
     .help = "Take the proxy from HTTP_PROXY and friends"},                                                           \
    {CONF_BOOL, "follow_redirects", offsetof(type, field.follow_redirects), .preset = "true",                         \
     .help = "Follow 3xx responses"},                                                                                 \
    {CONF_IGNORED, "enable_http2", 0, .help = "HTTP/1.1 is always used"},                                             \
    {CONF_HEADERS, "headers", offsetof(type, field.headers), .help = "Extra request headers, `Name: value`"},         \
    {CONF_CUSTOM, "http_headers", offsetof(type, field.http_headers), .custom = http_headers_custom,                  \
     .print = http_headers_print, .equal = http_headers_equal, .form = "mapping",                                     \
     .help = "Extra request headers: name to `{values: [...], secrets: [...], files: [...]}`"}, \
    {CONF_OPTIONAL, "oauth2", offsetof(type, field.oauth2), .section = &oauth2_section,                              \
     .help = "Authorization by a token of OAuth 2.0 (client credentials)"},                                          \
    {CONF_OPTIONAL, "sigv4", offsetof(type, field.sigv4), .section = &sigv4_section,                                 \
     .help = "Signature of AWS, version 4; `{}`: with the default credentials"},                                    \
    {CONF_OPTIONAL, "azuread", offsetof(type, field.azuread), .section = &azuread_section,                           \
     .help = "Token of Azure"},                                                                                      \
    {CONF_CUSTOM, "proxy_connect_header", offsetof(type, field.proxy_connect_header), .custom = proxy_headers_custom, \
     .print = proxy_headers_print, .equal = proxy_headers_equal, .form = "mapping",                                  \
     .help = "Headers for the proxy: name to a list of values"},                                                     \
    {CONF_OPTIONAL, "proxy_basic_auth", offsetof(type, field.proxy.basic_auth), .section = &basic_auth_section,       \
     .help = "User name and password for the proxy; those in `proxy_url` win"},                                      \
    {CONF_OPTIONAL, "proxy_authorization", offsetof(type, field.proxy.authorization),                                 \
     .section = &authorization_section, .help = "Proxy-Authorization header"},                                       \
    {CONF_SECRET, "proxy_bearer_token", offsetof(type, field.proxy.bearer_token),                                     \
     .help = "Token for `Proxy-Authorization: Bearer`"},                                                             \
    {CONF_FILE, "proxy_bearer_token_file", offsetof(type, field.proxy.bearer_token_file),                             \
     .help = "File with that token, re-read each second"},                                                           \
    {CONF_SECTION, "proxy_tls_config", offsetof(type, field.proxy.tls), .section = &tls_section,                      \
     .help = "TLS of the connection to an https proxy, without `server_name`"},                                      \
    {CONF_HEADERS, "proxy_headers", offsetof(type, field.proxy.headers),                                              \
     .help = "Headers for the proxy, `Name: value`"}

/* Accepts at most one kind of credentials; otherwise an error at the node. */
bool http_conf_check(const struct yaml *node, const struct http_conf *h, struct err *err) MUST_USE;
/* Whether http_conf_profile would succeed. */
bool http_conf_check_profile(const struct http_conf *h, struct err *err) MUST_USE;
struct client_profile *http_conf_profile(const struct http_conf *h, struct err *err) MUST_USE;

#endif
