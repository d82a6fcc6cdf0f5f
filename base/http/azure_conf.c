// SPDX-License-Identifier: Apache-2.0
/* azuread: Prometheus' keys for tokens of Azure, and the requests that they stand for. Hosts can be changed by the
 * variables of the Azure SDKs: AZURE_AUTHORITY_HOST, AZURE_POD_IDENTITY_AUTHORITY_HOST, IDENTITY_ENDPOINT. */
#include "base/http/http_conf.h"

#include "base/text/url.h"

#include <stdlib.h>

static const char *const clouds[] = {"AzurePublic", "AzureChina", "AzureGovernment", NULL};
static const struct { const char *authority, *scope; } cloud_hosts[] = {
    {"https://login.microsoftonline.com", "https://monitor.azure.com//.default"},
    {"https://login.chinacloudapi.cn", "https://monitor.azure.cn//.default"},
    {"https://login.microsoftonline.us", "https://monitor.azure.us//.default"}};
#define AZURE_TOKEN_FILE "/var/run/secrets/azure/tokens/azure-identity-token"
#define AZURE_METADATA   "http://169.254.169.254"

#define AZURE(kind, struct_, field, words) {.type = CONF_##kind, .name = #field, .offset = offsetof(struct struct_, field), \
                                            .help = words}
#define AZURE_NEEDS(kind, struct_, field, words) \
    {.type = CONF_##kind, .name = #field, .offset = offsetof(struct struct_, field), .required = true, .help = words}

static const struct conf_row identity_rows[] = {
    AZURE(STRING, azure_identity, client_id, "Identity; by default the one of the machine"), {0}};
static const struct conf_section identity_section = {"managed_identity", sizeof(struct azure_identity), identity_rows,
                                                     NULL, "Identity of the machine"};

static const struct conf_row secret_rows[] = {
    AZURE_NEEDS(STRING, azure_secret, client_id, "Client"), AZURE_NEEDS(SECRET, azure_secret, client_secret, "Its secret"),
    AZURE_NEEDS(STRING, azure_secret, tenant_id, "Its tenant"), {0}};
static const struct conf_section secret_section = {"azuread_oauth", sizeof(struct azure_secret), secret_rows, NULL,
                                                   "Client with a secret"};

static const struct conf_row workload_rows[] = {
    AZURE_NEEDS(STRING, azure_workload, client_id, "Client"), AZURE_NEEDS(STRING, azure_workload, tenant_id, "Its tenant"),
    AZURE(FILE, azure_workload, token_file_path, "File with the token of the service account, re-read each second. Default: "
          "`AZURE_FEDERATED_TOKEN_FILE`, or `" AZURE_TOKEN_FILE "`"), {0}};
static const struct conf_section workload_section = {"workload_identity", sizeof(struct azure_workload), workload_rows,
                                                     NULL, "Identity of a workload in Kubernetes"};

static const struct conf_row certificate_rows[] = {
    AZURE_NEEDS(STRING, azure_certificate, client_id, "Client"),
    AZURE_NEEDS(STRING, azure_certificate, tenant_id, "Its tenant"),
    AZURE_NEEDS(FILE, azure_certificate, certificate_path,
                "Its certificate and RSA key, in PEM format or PKCS#12 (PFX), re-read each second"),
    AZURE(FILE, azure_certificate, certificate_key_path, "The key in PEM format, if it is not in `certificate_path`"),
    AZURE(SECRET, azure_certificate, certificate_password, "Password of the key"),
    {.type = CONF_BOOL, .name = "send_certificate_chain",
     .offset = offsetof(struct azure_certificate, send_certificate_chain), .preset = "false",
     .help = "Send the certificates with each assertion, for authentication by subject name and issuer"},
    {0}};
static const struct conf_section certificate_section = {"azuread_certificate", sizeof(struct azure_certificate),
                                                        certificate_rows, NULL, "Client with a certificate"};

static const struct conf_row sdk_rows[] = {
    AZURE(STRING, azure_sdk, tenant_id, "Tenant. Default: `AZURE_TENANT_ID`"), {0}};
static const struct conf_section sdk_section = {"azuread_sdk", sizeof(struct azure_sdk), sdk_rows, NULL,
                                                "Credentials of the environment, as the Azure SDKs find them"};

static bool check_azuread(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct azuread_conf *a = value;
    if ((a->managed_identity != NULL) + (a->oauth != NULL) + (a->workload_identity != NULL) + (a->certificate != NULL) +
            (a->sdk != NULL) == 1)
        return true;
    return conf_err(node, err, "azuread: set one of managed_identity, oauth, workload_identity, certificate and sdk");
}

static const struct conf_row azuread_rows[] = {
    {.type = CONF_ENUM, .name = "cloud", .offset = offsetof(struct azuread_conf, cloud), .preset = "AzurePublic",
     .names = clouds, .help = "Cloud, which determines the servers"},
    {.type = CONF_OPTIONAL, .name = "managed_identity", .offset = offsetof(struct azuread_conf, managed_identity),
     .section = &identity_section, .help = "Identity of the machine"},
    {.type = CONF_OPTIONAL, .name = "oauth", .offset = offsetof(struct azuread_conf, oauth), .section = &secret_section,
     .help = "Client with a secret"},
    {.type = CONF_OPTIONAL, .name = "workload_identity", .offset = offsetof(struct azuread_conf, workload_identity),
     .section = &workload_section, .help = "Identity of a workload in Kubernetes"},
    AZURE(STRING, azuread_conf, scope, "Scope of tokens. Default: Azure Monitor of the cloud"),
    {.type = CONF_OPTIONAL, .name = "certificate", .offset = offsetof(struct azuread_conf, certificate),
     .section = &certificate_section, .help = "Client with a certificate"},
    {.type = CONF_OPTIONAL, .name = "sdk", .offset = offsetof(struct azuread_conf, sdk), .section = &sdk_section,
     .help = "Credentials of the environment"},
    {0}};
const struct conf_section azuread_section = {"azuread", sizeof(struct azuread_conf), azuread_rows, check_azuread,
                                             "Tokens of Azure (Microsoft Entra ID), for Azure Monitor"};

/* ---- requests ---- */

static const char *azure_env(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static const char *azure_token_url(const struct azuread_conf *a, struct str tenant, struct arena *held)
{
    struct str host = a->authority.n > 0 ? a->authority : str_of(azure_env("AZURE_AUTHORITY_HOST", cloud_hosts[a->cloud].authority));
    struct buf id = {0};
    while (str_ends(host, STR("/")))
        host.n--;
    url_encode(&id, tenant);
    const char *url = arena_printf(held, "%.*s/%s/oauth2/v2.0/token", STR_ARG(host), buf_z(&id)).p;
    buf_free(&id);
    return url;
}

/* The metadata service of virtual machines, or the endpoint of an App Service. */
static void azure_set_machine(struct str id, struct str scope, struct client_oauth2 *to, struct arena *held)
{
    const char *endpoint = azure_env("IDENTITY_ENDPOINT", NULL), *key = azure_env("IDENTITY_HEADER", NULL);
    bool is_app = endpoint && key;
    struct buf url = {0};
    if (is_app)
        buf_printf(&url, "%s?api-version=2019-08-01", endpoint);
    else
        buf_printf(&url, "%s/metadata/identity/oauth2/token?api-version=2018-02-01",
                   azure_env("AZURE_POD_IDENTITY_AUTHORITY_HOST", AZURE_METADATA));
    form_add(&url, "resource", str_ends(scope, STR("/.default")) ? str_first(scope, scope.n - 9) : scope);
    if (id.n > 0)
        form_add(&url, "client_id", id);
    to->style = OAUTH2_AZURE_MACHINE;
    to->header = is_app ? arena_printf(held, "X-IDENTITY-HEADER: %s", key).p : "Metadata: true";
    to->token_url = arena_z(held, buf_str(&url));
    buf_free(&url);
}

static void azure_set_secret(const struct azuread_conf *a, const struct azure_secret *s, struct client_oauth2 *to,
                             struct arena *held)
{
    to->style = OAUTH2_AZURE_SECRET;
    to->client_id = s->client_id.p;
    to->client_secret = s->client_secret.p;
    to->token_url = azure_token_url(a, s->tenant_id, held);
}

static void azure_set_workload(const struct azuread_conf *a, const struct azure_workload *w, struct client_oauth2 *to,
                               struct arena *held)
{
    to->style = OAUTH2_AZURE_TOKEN;
    to->client_id = w->client_id.p;
    to->client_secret_file = w->token_file_path.n > 0 ? w->token_file_path.p
                                                      : azure_env("AZURE_FEDERATED_TOKEN_FILE", AZURE_TOKEN_FILE);
    to->token_url = azure_token_url(a, w->tenant_id, held);
}

static void azure_set_certificate(const struct azuread_conf *a, const struct azure_certificate *c,
                                  struct client_oauth2 *to, struct arena *held)
{
    to->style = OAUTH2_AZURE_CERTIFICATE;
    to->client_id = c->client_id.p;
    to->client_secret_file = c->certificate_path.p;
    to->certificate = (struct client_certificate){c->certificate_key_path.n > 0 ? c->certificate_key_path.p : NULL,
                                                  c->certificate_password.p, c->send_certificate_chain};
    to->token_url = azure_token_url(a, c->tenant_id, held);
}

/* In the order of the Azure SDKs: a client secret, a client certificate, a Kubernetes token, the managed identity.
 * Logins of command line tools are not used. */
static void azure_set_by_environment(const struct azuread_conf *a, struct client_oauth2 *to, struct arena *held)
{
    struct str client = str_of(azure_env("AZURE_CLIENT_ID", "")), secret = str_of(azure_env("AZURE_CLIENT_SECRET", ""));
    struct str certificate = str_of(azure_env("AZURE_CLIENT_CERTIFICATE_PATH", ""));
    struct str set = a->sdk->tenant_id, tenant = str_of(azure_env("AZURE_TENANT_ID", ""));
    if (tenant.n == 0)
        tenant = set;
    if (client.n > 0 && tenant.n > 0 && secret.n > 0) {
        azure_set_secret(a, &(struct azure_secret){client, secret, tenant}, to, held);
    } else if (client.n > 0 && tenant.n > 0 && certificate.n > 0) {
        const char *chain = azure_env("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "");
        struct azure_certificate c = {client, tenant, certificate, STR(""),
                                      str_of(azure_env("AZURE_CLIENT_CERTIFICATE_PASSWORD", "")),
                                      strcmp(chain, "1") == 0 || strcmp(chain, "true") == 0};
        azure_set_certificate(a, &c, to, held);
    } else if (client.n > 0 && tenant.n > 0 && azure_env("AZURE_FEDERATED_TOKEN_FILE", NULL)) {
        azure_set_workload(a, &(struct azure_workload){client, set.n > 0 ? set : tenant, STR("")}, to, held);
    } else {
        azure_set_machine(client, str_of(to->scopes[0]), to, held);
    }
}

void azuread_conf_oauth2(const struct azuread_conf *a, struct client_oauth2 *to, struct arena *held)
{
    const char **scopes = ARENA_ARRAY(held, const char *, 1);
    scopes[0] = a->scope.n > 0 ? a->scope.p : cloud_hosts[a->cloud].scope;
    *to = (struct client_oauth2){.scopes = scopes, .n_scopes = 1};
    if (a->oauth)
        azure_set_secret(a, a->oauth, to, held);
    else if (a->workload_identity)
        azure_set_workload(a, a->workload_identity, to, held);
    else if (a->certificate)
        azure_set_certificate(a, a->certificate, to, held);
    else if (a->sdk)
        azure_set_by_environment(a, to, held);
    else
        azure_set_machine(a->managed_identity->client_id, str_of(scopes[0]), to, held);
}
