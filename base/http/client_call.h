// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: a call, from the request to the reply. It knows its own curl handle but neither its list nor
 * its multi: client.c moves it. */
#ifndef BASE_HTTP_CLIENT_CALL_H
#define BASE_HTTP_CLIENT_CALL_H

#include "base/buf.h"
#include "base/http/client.h"
#include "base/http/client_connections.h"
#include "base/http/client_head.h"
#include "base/http/client_multi.h"
#include "base/http/client_profile.h"
#include "base/http/resolver.h"
#include "base/http/response_reader.h"
#include "base/http/token_source.h"

enum call_state {
    CALL_WAITING,  /* in `waiting` or `doubtful`: no handle yet */
    CALL_RUNNING,  /* in `running`: added to its shard's multi */
    CALL_LOADING,  /* in `loading`: waits for libcurl (curl_library.h); it counts as running */
    CALL_RESOLVING, /* in `resolving`: its handle waits for a name; it counts as running */
    CALL_FAILED,   /* in `failed`: it could not be started */
    CALL_CANCELED, /* in `running` until curl has returned */
    CALL_TOKEN,    /* in `tokens`: a token of its profile is fetched (token_source.h) */
    CALL_DONE      /* in no list */
};
struct client_token { /* CALL_TOKEN */
    struct token_request request;
    struct loop_timer late;
    struct client_call *call;
    int64_t since;                        /* loop_mono */
};
/* The exchange of a request that is made without libcurl (client_plain.c). */
enum { PLAIN_ADDRESSES = 8 };
struct plain_exchange {
    struct client_head head;
    struct client_plain *owner;           /* NULL: not started, or settled */
    struct client_server *server;
    struct client_connection *connection; /* NULL while the name is resolved */
    struct loop_timer deadline;
    struct resolver_request name;
    union socket_address addresses[PLAIN_ADDRESSES];
    unsigned n_addresses, next_address;
    size_t sent;                          /* of head and body */
    bool starting, resolving, connected;
    bool refused;                         /* the server takes no more of the request, but may have responded */
    bool answered;                        /* a byte of the response has arrived */
    bool repeated;                        /* on a new connection */
    bool paused;                          /* nothing is received */
    struct response_reader reader;
};

struct curl_slist;
struct client_call {
    struct list node;
    enum call_state state;
    bool is_plain;     /* `plain` makes it, libcurl nothing */
    bool delivering;   /* within a data callback that may cancel: the call must outlive it */
    struct plain_exchange plain;
    struct client *client;
    struct client_multi *shard;
    struct client_request req; /* url, host, socket, headers and profile are our own */
    char *url, *host, *socket;
    struct client_profile *profile;
    struct curl_slist *headers;
    struct client_profile_hold hold;
    struct curl_slist *own_headers; /* without the profile's headers, after a redirect to another host */
    size_t n_own;                   /* number of leading `headers` that are not the profile's */
    void *easy;  /* CURL; NULL until started */
    size_t body; /* decoded bytes so far */
    uint64_t declared_body; /* Content-Length; 0 = none */
    struct client_scratch *scratch; /* the client's */
    struct buf packed;     /* a gzip body that may be small, until it is complete */
    struct gunzip *gunzip; /* of a compressed body that is large or not gzip */
    struct buf decompressed;   /* decompressed, not yet delivered */
    bool complete_body, corrupted_body;   /* the compressed body */
    bool refused_body;     /* client_body_take returned false; libcurl does not note it if client_pause has delivered */
    bool head_complete;    /* of the final response */
    bool redirected;       /* by libcurl, which followed */
    /* the transfer ended, or will end, because libcurl needs the address of a name (client_names.h) */
    bool name_missing;
    struct client_names *names; /* NULL until needed */
    struct client_token *token; /* NULL: none is fetched */
    int64_t before_ms;     /* from start_mono to the start of the current attempt by libcurl */
    struct client_reply reply;
    char content_type[256], content_encoding[64], retry_after[64], location[512];
    char message[256]; /* curl's error message */
};

/* The call is plain if it can be, unless user_agent is NULL. */
struct client_call *client_call_new(const struct client_request *req, const char *user_agent);
int64_t client_call_connect_ms(const struct client_request *req); /* most time to resolve the name and to connect */
/* The remaining time to connect, `spent` ms after the start, within the request's timeout. */
int64_t client_call_connect_left(const struct client_request *req, int64_t spent);
void client_call_leave_plain(struct client_call *call); /* libcurl will make it */
/* Sets all options of call->easy. False: reply.err has the reason. */
bool client_call_prepare(struct client_call *call, const char *user_agent) MUST_USE;
void client_call_count_sent(struct client_call *call); /* called after each attempt */
void client_call_ended(struct client_call *call, int code); /* fills the reply; code is a CURLcode */
void client_call_free(struct client_call *call);

#endif
