// SPDX-License-Identifier: Apache-2.0
/* Who may use each listener, and how: made of --web.config.file, of vmagent's flags (-tls*, -mtls*, -httpAuth.*,
 * -http.header.*), which apply to the listen address at the same position, and of tls_server_config in promxy's file.
 * It is loaded together with the configuration, and again when one of its files changes.
 */
#ifndef GATEWAY_CONFIG_ACCESS_H
#define GATEWAY_CONFIG_ACCESS_H

#include "gateway/config/flags.h"
#include "gateway/http/listener.h"

enum { ACCESS_FILES_MAX = 4 * LISTENERS_MAX };
struct access_set { /* immutable, reference counted */
    struct refs refs;
    struct http_access *of[LISTENERS_MAX]; /* by the position of the non-empty listen addresses; NULL: HTTP, open */
    bool proxied[LISTENERS_MAX];           /* -httpListenAddr.useProxyProtocol: is used at the start only */
    size_t n;
    struct access_file { char *path; uint64_t hash; } files[ACCESS_FILES_MAX]; /* it was made of; hash: of the text */
    size_t n_files;
};
struct tls_server_conf;
struct access_source {
    const struct flags *flags;
    const struct tls_server_conf *tls; /* of promxy's file; NULL: none */
    const struct yaml *tls_node;       /* where it is written */
    /* Appends the text of a file. */
    bool (*read)(void *arg, const char *path, struct buf *out, struct err *err);
    void *arg;
    struct conf_errors *errors;        /* collects all errors of the file; NULL: the first ends the load */
};
/* NULL with an error, which names file or flag, key and value. */
struct access_set *access_load(const struct access_source *source, struct err *err) MUST_USE;
struct access_set *access_set_ref(struct access_set *a);
void access_set_unref(struct access_set *a); /* NULL is fine */
uint64_t access_text_hash(struct str text);  /* of access_file */

#endif
