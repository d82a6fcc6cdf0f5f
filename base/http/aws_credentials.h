// SPDX-License-Identifier: Apache-2.0
/* Credentials of AWS for signatures of requests (base/aws/sigv4.h), as a kind of tokens (token_source.h). They come from
 * the first of
 *
 * 1. access_key and secret_key of the settings
 * 2. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (unless a profile is configured)
 * 3. AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, exchanged at STS (likewise)
 * 4. the profile (of the settings, AWS_PROFILE, or "default") in ~/.aws/credentials and ~/.aws/config
 * 5. the server of AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS)
 * 6. the role of the machine, from the instance metadata service, version 2
 *
 * and with role_arn they are exchanged at STS for those of that role.
 */
#ifndef BASE_HTTP_AWS_CREDENTIALS_H
#define BASE_HTTP_AWS_CREDENTIALS_H

#include "base/aws/sigv4.h"
#include "base/http/token_source.h"

bool aws_credentials_check(const struct client_sigv4 *conf, struct err *err) MUST_USE;
struct token_source *aws_credentials_get(const struct client_sigv4 *conf, struct err *err) MUST_USE; /* one reference */
/* Appends all settings, with the secrets: equal texts are equal settings. */
void aws_credentials_settings(const struct client_sigv4 *conf, struct buf *out);
/* Reads the token of such a source: sets all of *key but the service, pointing into `held`, which is appended to. */
bool aws_credentials_read(struct token_source *source, struct sigv4_key *key, struct buf *held, struct err *err) MUST_USE;

#endif
