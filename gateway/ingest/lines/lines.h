// SPDX-License-Identifier: Apache-2.0
/* Listeners of formats that are sent as lines over TCP and UDP without HTTP: Graphite, InfluxDB's line protocol, OpenTSDB.
 *
 * A connection belongs to a lane. Its lines are parsed while they arrive, in the slices and turns of ingest.h, and stored
 * in batches; nobody acknowledges them. While a queue that pushes back is full the connection is not read, so that its
 * client waits. The datagrams of a listener are read by one lane, many at a time; what nobody reads the kernel drops.
 *
 * A connection stays open while its client is silent, as with vmagent; the one that has been silent for longest is closed
 * if places or descriptors run out. A line of more than 256 KiB, or -influx.maxLineSize, ends it. An incomplete last line
 * counts if the client has ended the stream, but not if it was reset or the program stops.
 */
#ifndef GATEWAY_INGEST_LINES_LINES_H
#define GATEWAY_INGEST_LINES_LINES_H

#include "gateway/services/services.h"

/* Control thread, before the acceptor starts: appends the listeners that flags ask for. False: there are more than
 * LISTENERS_MAX. */
bool lines_listeners(const struct flags *f, struct listener *listeners, size_t *n, struct err *err) MUST_USE;
/* Control thread, when the lanes run: opens the sockets of datagrams of these listeners. */
bool lines_open_datagrams(struct services *s, struct listener *listeners, size_t n, struct err *err) MUST_USE;
bool lines_check_addresses(const struct flags *f, struct err *err) MUST_USE; /* without opening them */

/* Control thread: every lane stores what clients have sent so far, and closes the connections; `done` is called on the
 * control thread when all have, after a second at most. */
void lines_drain(struct services *s, void (*done)(struct services *s));

struct lines_lane;
void lines_lane_cancel(struct lines_lane *l); /* the lane's thread: closes all connections; NULL is fine */
void lines_lane_free(struct lines_lane *l);   /* likewise, after lines_lane_cancel */

void api_opentsdb_put(struct http_request *r); /* a route with `finishes` */

#define LINE_STATS(X)                                                                                                  \
    LINE_REQUEST_ROWS(X, REQUESTS, "vm_ingestserver_requests_total", "Connections, datagrams and requests of listeners of lines") \
    LINE_REQUEST_ROWS(X, ERRORS, "vm_ingestserver_request_errors_total", "Those that ended with an error")            \
    X(LINES_EVICTED, "sluice_line_connections_evicted_total", STATS_COUNTER,                                           \
      "Silent connections of listeners of lines that were closed because places ran out")
#define LINE_REQUEST_ROWS(X, id, name, help)                                                              \
    X(LINE_GRAPHITE_TCP_##id, name "{type=\"graphite\",name=\"write\",net=\"tcp\"}", STATS_COUNTER, help)    \
    X(LINE_GRAPHITE_UDP_##id, name "{type=\"graphite\",name=\"write\",net=\"udp\"}", STATS_COUNTER, help)    \
    X(LINE_INFLUX_TCP_##id, name "{type=\"influx\",name=\"write\",net=\"tcp\"}", STATS_COUNTER, help)        \
    X(LINE_INFLUX_UDP_##id, name "{type=\"influx\",name=\"write\",net=\"udp\"}", STATS_COUNTER, help)        \
    X(LINE_OPENTSDB_TCP_##id, name "{type=\"opentsdb\",name=\"write\",net=\"tcp\"}", STATS_COUNTER, help)    \
    X(LINE_OPENTSDB_UDP_##id, name "{type=\"opentsdb\",name=\"write\",net=\"udp\"}", STATS_COUNTER, help)    \
    X(LINE_OPENTSDB_HTTP_##id, name "{type=\"opentsdbhttp\",name=\"write\",net=\"tcp\"}", STATS_COUNTER, help)
enum line_stat { LINE_STATS(STATS_ID) };
extern struct stats_group line_stats;

#endif
