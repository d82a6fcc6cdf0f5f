// SPDX-License-Identifier: Apache-2.0
/* google_iam: tokens of Google, for Cloud Monitoring or another scope, by a service account's key, or with Google's default credentials: the
 * file that GOOGLE_APPLICATION_CREDENTIALS names, that of `gcloud auth application-default login`, or the machine's
 * account (GCE_METADATA_HOST changes the host of its metadata). */
#include "base/http/http_conf.h"

#include "base/text/url.h"

#include <stdlib.h>
#include <unistd.h>

#define GOOGLE_SCOPE    "https://www.googleapis.com/auth/monitoring.write"
#define GOOGLE_TOKENS   "https://oauth2.googleapis.com/token"
#define GOOGLE_METADATA "169.254.169.254"
#define GOOGLE_MACHINE  "/computeMetadata/v1/instance/service-accounts/default/token?scopes="

static const struct conf_row google_rows[] = {
    {CONF_FILE, "credentials_file", offsetof(struct google_iam_conf, credentials_file),
     .help = "JSON file with the key of a service account, re-read each second. Default: Google's default credentials"},
    {0}};
const struct conf_section google_iam_section = {"google_iam", sizeof(struct google_iam_conf), google_rows, NULL,
                                                "Tokens of Google, for Cloud Monitoring"};

/* NULL: there is none. */
static const char *google_default_file(struct arena *held)
{
    const char *named = getenv("GOOGLE_APPLICATION_CREDENTIALS"), *config = getenv("CLOUDSDK_CONFIG"), *home = getenv("HOME");
    if (named && *named)
        return named;
    const char *path = config && *config ? arena_printf(held, "%s/application_default_credentials.json", config).p
                       : home ? arena_printf(held, "%s/.config/gcloud/application_default_credentials.json", home).p : NULL;
    return path && access(path, F_OK) == 0 ? path : NULL;
}

void google_iam_conf_oauth2(const struct google_iam_conf *g, struct client_oauth2 *to, struct arena *held)
{
    const char *host = getenv("GCE_METADATA_HOST"), *file = g->credentials_file.n > 0 ? g->credentials_file.p
                                                                                     : google_default_file(held);
    const char **scopes = ARENA_ARRAY(held, const char *, 1);
    struct buf scope = {0};
    scopes[0] = g->scope.n > 0 ? g->scope.p : GOOGLE_SCOPE;
    url_encode(&scope, str_of(scopes[0]));
    if (file)
        *to = (struct client_oauth2){.style = OAUTH2_GOOGLE_FILE, .client_secret_file = file, .token_url = GOOGLE_TOKENS,
                                     .scopes = scopes, .n_scopes = 1};
    else
        *to = (struct client_oauth2){.style = OAUTH2_GOOGLE_MACHINE, .header = "Metadata-Flavor: Google",
                                     .token_url = arena_printf(held, "http://%s%s%s", host && *host ? host : GOOGLE_METADATA,
                                                               GOOGLE_MACHINE, buf_z(&scope)).p};
    buf_free(&scope);
}
