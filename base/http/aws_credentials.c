// SPDX-License-Identifier: Apache-2.0
/* The chain of sources of the AWS SDKs. A token is five lines: region, access key, secret key, session token, and an
 * empty one. Keys of servers are fetched again a minute before they expire, keys in files once a minute; what the
 * environment has stays. */
#include "base/http/aws_credentials.h"

#include "base/aws/aws_profile.h"
#include "base/json/json_tree.h"
#include "base/text/duration.h"
#include "base/text/secrets.h"
#include "base/text/url.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_LIFETIME_MS = 60000, EARLY_MS = 60000, LEAST_LIFETIME_MS = 30000, METADATA_MS = 2000, AWS_FILE_MAX = 1 << 20,
       PROFILE_DEPTH = 4 };
#define AWS_STS_VERSION "2011-06-15"

struct aws_source { /* the settings, but for the secret key */
    char *region, *access_key, *profile, *role_arn, *external_id, *sts_endpoint;
    bool fips_sts;
};

struct aws_keys { struct str access_key, secret_key, session_token; int64_t lifetime; };
struct aws_role { struct str arn, external_id, web_identity_file; };

struct aws_fetch {
    struct token_fetch *f;
    const struct aws_source *conf;
    struct arena arena;
    const char *profile;            /* its name */
    bool profile_wanted;            /* configured: there must be such a profile */
    struct str config, credentials; /* the files; p is NULL for one that does not exist */
    struct str region;
    struct aws_keys keys;
    char endpoint[200];             /* of the instance metadata service */
    struct str metadata_token;
    struct token_response response;
};

/* ---- environment and files ---- */

static struct str aws_env(const char *name) { return str_of(getenv(name)); } /* nothing sets variables */

static bool aws_read(struct aws_fetch *a, const char *path, struct str *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct buf bytes = {.max = AWS_FILE_MAX};
    char piece[4096];
    ssize_t n = -1;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return true;
    while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
        buf_add(&bytes, piece, (size_t)n);
    int why = bytes.over ? EFBIG : errno;
    if (fd >= 0)
        close(fd);
    *text = str_of(arena_z(&a->arena, buf_str(&bytes)));
    bool ok = n == 0 && !bytes.over;
    buf_free(&bytes);
    return ok || token_fetch_fail(a->f, ERR_UNAVAILABLE, "cannot read %s: %s", path, strerror(why));
}

/* The path that the variable has, or ~/.aws/NAME. */
static bool aws_read_profiles(struct aws_fetch *a, const char *variable, const char *name, struct str *text)
{
    struct str set = aws_env(variable), home = aws_env("HOME");
    if (set.n == 0 && home.n == 0)
        return true;
    return aws_read(a, set.n > 0 ? set.p : arena_printf(&a->arena, "%s/.aws/%s", home.p, name).p, text);
}

/* A value of a profile; keys are in either file. */
static struct str aws_profile_value(struct aws_fetch *a, const char *profile, const char *key)
{
    bool is_default = strcmp(profile, "default") == 0;
    struct str section = is_default ? str_of(profile) : arena_printf(&a->arena, "profile %s", profile);
    struct str value = aws_profile_get(a->credentials, profile, key);
    return value.p ? value : aws_profile_get(a->config, section.p, key);
}

static bool aws_profile_exists(struct aws_fetch *a, const char *profile)
{
    struct str section = arena_printf(&a->arena, "profile %s", profile);
    return aws_profile_has(a->credentials, profile) || aws_profile_has(a->config, section.p)
           || (strcmp(profile, "default") == 0 && aws_profile_has(a->config, profile));
}

/* ---- requests ---- */

/* Sends a request and keeps the response; false: none, or not a 2xx. */
static bool aws_send(struct aws_fetch *a, struct client_request req, const char *what)
{
    buf_free(&a->response.body);
    token_fetch_send(a->f, req, &a->response);
    if (a->response.status / 100 == 2)
        return true;
    struct str body = buf_str(&a->response.body), code = aws_xml_text(&a->arena, body, "Code");
    struct str message = aws_xml_text(&a->arena, body, "Message");
    if (a->response.status == 0)
        return token_fetch_fail(a->f, ERR_BAD_GATEWAY, "%s: %s", what, a->response.err.text);
    return token_fetch_fail(a->f, ERR_BAD_GATEWAY, "%s: HTTP %d%s%.*s%s%.*s", what, a->response.status, code.n ? ": " : "",
                            STR_ARG(code), message.n ? ": " : "", STR_ARG(message));
}

/* Whether the keys may be parts of header lines, and of a token. */
static bool aws_keys_are_valid(const struct aws_keys *k)
{
    const struct str texts[] = {k->access_key, k->secret_key, k->session_token};
    for (size_t i = 0; i < LEN(texts); i++)
        for (size_t at = 0; at < texts[i].n; at++)
            if (texts[i].p[at] <= ' ' || texts[i].p[at] >= 0x7f)
                return false;
    return k->access_key.n > 0 && k->secret_key.n > 0;
}

static bool aws_take_keys(struct aws_fetch *a, struct aws_keys keys, const char *what)
{
    if (!aws_keys_are_valid(&keys))
        return token_fetch_fail(a->f, ERR_BAD_GATEWAY, "%s: access key or secret key is missing or invalid", what);
    a->keys = keys;
    return true;
}

static int64_t aws_lifetime(struct str expiration)
{
    int64_t at, left;
    if (!time_parse(expiration, &at))
        return INT64_MAX;
    left = at - clock_wall_ms() - EARLY_MS;
    return left > LEAST_LIFETIME_MS ? left : LEAST_LIFETIME_MS;
}

/* ---- STS ---- */

static const char *aws_sts_url(struct aws_fetch *a)
{
    struct str set = aws_env("AWS_ENDPOINT_URL_STS");
    if (a->conf->sts_endpoint)
        return a->conf->sts_endpoint;
    if (set.n > 0)
        return set.p;
    return arena_printf(&a->arena, "https://sts%s.%.*s.amazonaws.com%s/", a->conf->fips_sts ? "-fips" : "",
                        STR_ARG(a->region), str_starts(a->region, STR("cn-")) ? ".cn" : "").p;
}

/* Sends a form, signed by the present keys if there are any, and takes the keys in the response. */
static bool aws_ask_sts(struct aws_fetch *a, struct buf *form, const char *what)
{
    struct buf lines = {0};
    const char *headers[8] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8"};
    const char *url = aws_sts_url(a);
    size_t n = 1;
    const struct sigv4_key key = {a->region, STR("sts"), a->keys.access_key, a->keys.secret_key, a->keys.session_token};
    if (key.access_key.n > 0)
        sigv4_add_lines(&key, STR("POST"), str_of(url), STR(""), buf_str(form), clock_wall_ms() / 1000, &lines);
    struct str rest = buf_str(&lines), line;
    while (n < LEN(headers) && rest.n > 0 && str_cut(&rest, '\n', &line))
        headers[n++] = arena_z(&a->arena, line);
    bool ok = aws_send(a, (struct client_request){.method = "POST", .url = url, .headers = headers, .n_headers = n,
                                                  .body = buf_str(form)}, what);
    buf_free(&lines);
    buf_free(form);
    if (!ok)
        return false;
    struct str xml = buf_str(&a->response.body);
    return aws_take_keys(a, (struct aws_keys){aws_xml_text(&a->arena, xml, "AccessKeyId"),
                                              aws_xml_text(&a->arena, xml, "SecretAccessKey"),
                                              aws_xml_text(&a->arena, xml, "SessionToken"),
                                              aws_lifetime(aws_xml_text(&a->arena, xml, "Expiration"))}, what);
}

static bool aws_assume_role(struct aws_fetch *a, const struct aws_role *role)
{
    struct buf form = {0};
    struct str token = STR_NONE;
    const char *what = arena_printf(&a->arena, "cannot assume the role %.*s at STS", STR_ARG(role->arn)).p;
    bool web = role->web_identity_file.n > 0;
    if (a->region.n == 0)
        return token_fetch_fail(a->f, ERR_UNAVAILABLE, "%s: no region is set; set region or AWS_REGION", what);
    if (web && !aws_read(a, role->web_identity_file.p, &token))
        return false;
    if (web && str_trim(token).n == 0)
        return token_fetch_fail(a->f, ERR_UNAVAILABLE, "%s: %s is empty or does not exist", what,
                                role->web_identity_file.p);
    struct str session = aws_env("AWS_ROLE_SESSION_NAME");
    form_add(&form, "Action", web ? STR("AssumeRoleWithWebIdentity") : STR("AssumeRole"));
    form_add(&form, "Version", STR(AWS_STS_VERSION));
    form_add(&form, "RoleArn", role->arn);
    form_add(&form, "RoleSessionName", session.n > 0 ? session : STR("sluice"));
    if (role->external_id.n > 0)
        form_add(&form, "ExternalId", role->external_id);
    if (web)
        form_add(&form, "WebIdentityToken", str_trim(token));
    return aws_ask_sts(a, &form, what);
}

/* ---- servers of the machine or container ---- */

static bool aws_take_json(struct aws_fetch *a, const char *what)
{
    struct err err;
    struct json_tree *root = json_tree_parse(buf_str(&a->response.body), &err);
    struct str expiration = json_tree_str(json_tree_get(root, "Expiration"));
    struct aws_keys keys = {arena_str(&a->arena, json_tree_str(json_tree_get(root, "AccessKeyId"))),
                            arena_str(&a->arena, json_tree_str(json_tree_get(root, "SecretAccessKey"))),
                            arena_str(&a->arena, json_tree_str(json_tree_get(root, "Token"))), aws_lifetime(expiration)};
    json_tree_free(root);
    return aws_take_keys(a, keys, what);
}

static bool aws_container_keys(struct aws_fetch *a)
{
    struct str relative = aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), url = aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    struct str token = aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN"), file = aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    static const char what[] = "credentials of the container";
    if (relative.n > 0)
        url = arena_printf(&a->arena, "http://169.254.170.2%s", relative.p);
    if (file.n > 0 && !aws_read(a, file.p, &token))
        return false;
    const char *header = arena_printf(&a->arena, "Authorization: %.*s", STR_ARG(str_trim(token))).p;
    return aws_send(a, (struct client_request){.method = "GET", .url = url.p, .headers = &header,
                                               .n_headers = token.n > 0, .no_redirects = true}, what)
           && aws_take_json(a, what);
}

static bool aws_get_metadata(struct aws_fetch *a, const char *path)
{
    static const char what[] = "instance metadata service";
    const char *token_header = "X-aws-ec2-metadata-token-ttl-seconds: 300";
    const char *url = arena_printf(&a->arena, "%s/latest/api/token", a->endpoint).p;
    if (a->metadata_token.n == 0) {
        if (!aws_send(a, (struct client_request){.method = "PUT", .url = url, .headers = &token_header, .n_headers = 1,
                                                 .timeout_ms = METADATA_MS, .no_redirects = true}, what))
            return false;
        a->metadata_token = arena_str(&a->arena, str_trim(buf_str(&a->response.body)));
    }
    const char *header = arena_printf(&a->arena, "X-aws-ec2-metadata-token: %.*s", STR_ARG(a->metadata_token)).p;
    return aws_send(a, (struct client_request){.method = "GET", .url = arena_printf(&a->arena, "%s%s", a->endpoint, path).p,
                                               .headers = &header, .n_headers = 1, .timeout_ms = METADATA_MS,
                                               .no_redirects = true}, what);
}

static bool aws_has_metadata(struct aws_fetch *a)
{
    struct str set = aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    snprintf(a->endpoint, sizeof a->endpoint, "%s", set.n > 0 ? set.p : "http://169.254.169.254");
    while (str_ends(str_of(a->endpoint), STR("/")))
        a->endpoint[strlen(a->endpoint) - 1] = 0;
    return !str_ieq(aws_env("AWS_EC2_METADATA_DISABLED"), STR("true"));
}

static bool aws_instance_keys(struct aws_fetch *a)
{
    static const char roles[] = "/latest/meta-data/iam/security-credentials/";
    if (!aws_has_metadata(a) || !aws_get_metadata(a, roles))
        return false;
    struct str body = buf_str(&a->response.body), role = STR_NONE;
    str_cut(&body, '\n', &role);
    role = str_trim(role);
    if (role.n == 0)
        return token_fetch_fail(a->f, ERR_UNAVAILABLE, "the machine has no role");
    return aws_get_metadata(a, arena_printf(&a->arena, "%s%.*s", roles, STR_ARG(role)).p)
           && aws_take_json(a, "instance metadata service");
}

/* ---- the chain ---- */

static bool aws_env_keys(struct aws_fetch *a)
{
    struct aws_keys keys = {aws_env("AWS_ACCESS_KEY_ID"), aws_env("AWS_SECRET_ACCESS_KEY"), aws_env("AWS_SESSION_TOKEN"),
                            INT64_MAX};
    return aws_take_keys(a, keys, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
}

static bool aws_has_env_keys(void) { return aws_env("AWS_ACCESS_KEY_ID").n > 0; }

static bool aws_has_container(void)
{
    return aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").n > 0 || aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI").n > 0;
}

static bool aws_keys_of(struct aws_fetch *a, struct str credential_source)
{
    if (str_is(credential_source, "Environment"))
        return aws_env_keys(a);
    if (str_is(credential_source, "EcsContainer"))
        return aws_has_container() ? aws_container_keys(a) : token_fetch_fail(a->f, ERR_UNAVAILABLE, "this is no container of ECS");
    if (str_is(credential_source, "Ec2InstanceMetadata"))
        return aws_instance_keys(a);
    return token_fetch_fail(a->f, ERR_BAD_DATA, "credential_source \"%.*s\" is none of Environment, EcsContainer, "
                            "Ec2InstanceMetadata", STR_ARG(credential_source));
}

static struct aws_keys aws_profile_own_keys(struct aws_fetch *a, const char *profile)
{
    return (struct aws_keys){aws_profile_value(a, profile, "aws_access_key_id"),
                             aws_profile_value(a, profile, "aws_secret_access_key"),
                             aws_profile_value(a, profile, "aws_session_token"), FILE_LIFETIME_MS};
}

/* Keys of a profile: its own, or those of its role, which the keys of another profile or source may assume. */
static bool aws_profile_keys(struct aws_fetch *a, const char *profile, unsigned depth)
{
    struct aws_role role = {aws_profile_value(a, profile, "role_arn"), aws_profile_value(a, profile, "external_id"),
                            aws_profile_value(a, profile, "web_identity_token_file")};
    struct str source = aws_profile_value(a, profile, "source_profile");
    struct str kind = aws_profile_value(a, profile, "credential_source");
    if (!aws_profile_exists(a, profile))
        return token_fetch_fail(a->f, ERR_BAD_DATA, "there is no profile \"%s\" in ~/.aws/credentials and ~/.aws/config", profile);
    if (depth == PROFILE_DEPTH)
        return token_fetch_fail(a->f, ERR_BAD_DATA, "the profile \"%s\" is reached by too many source_profile", profile);
    if (role.arn.n == 0 || (source.n > 0 && str_is(source, profile) && kind.n == 0 && role.web_identity_file.n == 0)) {
        if (!aws_take_keys(a, aws_profile_own_keys(a, profile), arena_printf(&a->arena, "profile \"%s\"", profile).p))
            return false;
    } else if (role.web_identity_file.n > 0) {
        role.web_identity_file = str_of(arena_z(&a->arena, role.web_identity_file));
    } else if (!(source.n > 0 ? aws_profile_keys(a, arena_z(&a->arena, source), depth + 1) : aws_keys_of(a, kind))) {
        return false;
    }
    return role.arn.n == 0 || aws_assume_role(a, &role);
}

/* An instance that does not respond is the usual error where nothing is configured. */
static bool aws_last_keys(struct aws_fetch *a)
{
    if (aws_has_metadata(a) && aws_instance_keys(a))
        return true;
    struct err why = a->f->err;
    return token_fetch_fail(a->f, ERR_UNAVAILABLE, "no AWS credentials: set access_key and secret_key, AWS_ACCESS_KEY_ID and "
                            "AWS_SECRET_ACCESS_KEY, or a profile%s%s", why.kind != ERR_NONE ? "; " : "",
                            why.kind != ERR_NONE ? why.text : "");
}

static bool aws_find_keys(struct aws_fetch *a)
{
    const struct aws_source *c = a->conf;
    struct aws_role web = {.arn = aws_env("AWS_ROLE_ARN"), .web_identity_file = aws_env("AWS_WEB_IDENTITY_TOKEN_FILE")};
    if (c->access_key)
        return aws_take_keys(a, (struct aws_keys){str_of(c->access_key), a->f->secret, STR_NONE, INT64_MAX}, "access_key");
    if (c->profile == NULL && aws_has_env_keys())
        return aws_env_keys(a);
    if (c->profile == NULL && web.web_identity_file.n > 0 && web.arn.n > 0)
        return aws_assume_role(a, &web);
    if (a->profile_wanted || aws_profile_own_keys(a, a->profile).access_key.n > 0
        || aws_profile_value(a, a->profile, "role_arn").n > 0)
        return aws_profile_keys(a, a->profile, 0);
    return aws_has_container() ? aws_container_keys(a) : aws_last_keys(a);
}

static struct str aws_known_region(struct aws_fetch *a)
{
    const struct str regions[] = {str_of(a->conf->region), aws_env("AWS_REGION"), aws_env("AWS_DEFAULT_REGION"),
                                  aws_profile_value(a, a->profile, "region")};
    for (size_t i = 0; i < LEN(regions); i++)
        if (regions[i].n > 0)
            return regions[i];
    return STR_NONE;
}

/* Of the machine, if nothing else says it. */
static bool aws_ask_region(struct aws_fetch *a)
{
    if (a->region.n > 0)
        return true;
    if (!aws_has_metadata(a) || !aws_get_metadata(a, "/latest/meta-data/placement/region"))
        return token_fetch_fail(a->f, ERR_UNAVAILABLE, "no region is set; set region or AWS_REGION");
    a->region = arena_str(&a->arena, str_trim(buf_str(&a->response.body)));
    return a->region.n > 0 || token_fetch_fail(a->f, ERR_UNAVAILABLE, "no region is set; set region or AWS_REGION");
}

static bool aws_run(struct aws_fetch *a)
{
    const struct aws_role role = {.arn = str_of(a->conf->role_arn), .external_id = str_of(a->conf->external_id)};
    struct str profile = aws_env("AWS_PROFILE");
    a->profile_wanted = a->conf->profile || profile.n > 0;
    a->profile = a->conf->profile ? a->conf->profile : profile.n > 0 ? profile.p : "default";
    if (!aws_read_profiles(a, "AWS_SHARED_CREDENTIALS_FILE", "credentials", &a->credentials)
        || !aws_read_profiles(a, "AWS_CONFIG_FILE", "config", &a->config))
        return false;
    a->region = aws_known_region(a);
    return aws_find_keys(a) && aws_ask_region(a) && (role.arn.n == 0 || aws_assume_role(a, &role));
}

static void aws_credentials_fetch(struct token_fetch *f)
{
    struct aws_fetch a = {.f = f, .conf = f->state};
    arena_init(&a.arena, 0);
    if (aws_run(&a)) {
        struct buf token = {0};
        buf_printf(&token, "%.*s\n%.*s\n%.*s\n%.*s\n", STR_ARG(a.region), STR_ARG(a.keys.access_key),
                   STR_ARG(a.keys.secret_key), STR_ARG(a.keys.session_token));
        f->token = mem_strdup(buf_z(&token));
        f->lifetime = a.keys.lifetime;
        buf_free(&token);
    }
    buf_free(&a.response.body);
    arena_free(&a.arena);
}

/* ---- settings ---- */

static void aws_credentials_secrets(const void *state UNUSED, struct str secret, const char *token, struct secrets *list)
{
    struct str rest = str_of(token), line;
    secrets_add(list, secret);
    for (int i = 0; token && i < 4 && str_cut(&rest, '\n', &line); i++)
        if (i >= 2)
            secrets_add(list, line);
}

static void aws_source_free(void *state)
{
    struct aws_source *s = state;
    char *texts[] = {s->region, s->access_key, s->profile, s->role_arn, s->external_id, s->sts_endpoint};
    for (size_t i = 0; i < LEN(texts); i++)
        mem_free(texts[i]);
    mem_free(s);
}

void aws_credentials_settings(const struct client_sigv4 *c, struct buf *out)
{
    const char *texts[] = {c->region, c->access_key, c->secret_key, c->profile, c->role_arn, c->external_id,
                           c->sts_endpoint, c->fips_sts ? "fips" : ""};
    for (size_t i = 0; i < LEN(texts); i++)
        buf_printf(out, "%s\n", texts[i] ? texts[i] : "");
}

bool aws_credentials_check(const struct client_sigv4 *c, struct err *err)
{
    const struct { const char *key, *text; } texts[] = {
        {"region", c->region}, {"access_key", c->access_key}, {"secret_key", c->secret_key}, {"profile", c->profile},
        {"role_arn", c->role_arn}, {"external_id", c->external_id}, {"service_name", c->service}};
    struct url url;
    struct err why;
    for (size_t i = 0; i < LEN(texts); i++)
        for (const char *p = texts[i].text; p && *p; p++)
            if ((unsigned char)*p < ' ' || *p == 0x7f)
                return err_set(err, ERR_BAD_DATA, "sigv4: %s: a line break or another control character is in it", texts[i].key);
    bool access = c->access_key && *c->access_key, secret = c->secret_key && *c->secret_key;
    if (access != secret)
        return err_set(err, ERR_BAD_DATA, "sigv4: access_key and secret_key must be set together");
    if (c->external_id && *c->external_id && !(c->role_arn && *c->role_arn))
        return err_set(err, ERR_BAD_DATA, "sigv4: external_id is set without role_arn");
    if (c->sts_endpoint && *c->sts_endpoint && !url_parse(str_of(c->sts_endpoint), &url, &why))
        return err_set(err, ERR_BAD_DATA, "sigv4: sts_endpoint: %s", why.text);
    return true;
}

static char *aws_copy_text(const char *text) { return text && *text ? mem_strdup(text) : NULL; }

struct token_source *aws_credentials_get(const struct client_sigv4 *c, struct err *err)
{
    static const struct token_source_kind kind = {.name = "sigv4", .server = "source of AWS credentials",
                                                  .secret_key = "secret_key", .fetch = aws_credentials_fetch,
                                                  .secrets = aws_credentials_secrets, .free = aws_source_free};
    struct buf settings = {0};
    if (!aws_credentials_check(c, err))
        return NULL;
    struct aws_source *s = mem_zalloc(sizeof *s);
    *s = (struct aws_source){aws_copy_text(c->region), aws_copy_text(c->access_key), aws_copy_text(c->profile),
                             aws_copy_text(c->role_arn), aws_copy_text(c->external_id), aws_copy_text(c->sts_endpoint),
                             c->fips_sts};
    aws_credentials_settings(c, &settings);
    struct token_settings made = {.kind = &kind, .state = s, .settings = mem_strdup(buf_z(&settings)),
                                  .secret = aws_copy_text(c->secret_key), .longest_ms = 6 * TOKEN_FETCH_MS};
    buf_free(&settings);
    return token_source_get(&made);
}

bool aws_credentials_read(struct token_source *source, struct sigv4_key *key, struct buf *held, struct err *err)
{
    if (!token_read(source, held, err))
        return false;
    struct str rest = buf_str(held);
    return str_cut(&rest, '\n', &key->region) && str_cut(&rest, '\n', &key->access_key)
           && str_cut(&rest, '\n', &key->secret_key) && str_cut(&rest, '\n', &key->session_token);
}
