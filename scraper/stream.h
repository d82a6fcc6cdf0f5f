// SPDX-License-Identifier: Apache-2.0
/* Scrapes of jobs with stream_parse: the samples of a page are written while it arrives, so that a page of any size takes
 * little memory: what has arrived and is not yet read, up to STREAM_AHEAD bytes and what one receive may decompress to, and
 * what the target keeps of each series (page.h, "In parts").
 *
 * 1. With the first byte of a response the scrape gets a page of its own, and is in lane.streams while there is text to
 *    read. The lane reads a step of each in turn, between the steps of other pages.
 * 2. While more than STREAM_AHEAD bytes are unread, nothing is received.
 * 3. When the response is complete and read, the rest is done in turn with other responses (page_work.c): stale markers,
 *    metadata, the target's cache.
 *
 * A scrape that fails late, by an invalid line, a limit or the connection, has written a part of its samples. All series
 * of this part and of the last scrape then end, 1 ms after it. Pages that must be complete before they can be read are not
 * streams: protobuf, text that is rewritten, and those that may be kept for another member, or follow kept ones (standby.h).
 *
 * Lane's thread only.
 */
#ifndef SCRAPER_STREAM_H
#define SCRAPER_STREAM_H

#include "scraper/scrape_internal.h"

enum { STREAM_AHEAD = 256 << 10, STREAM_LINE_MAX = 4 << 20 };

struct scrape_stream {
    struct scrape *scrape;
    struct page page;
    struct list node;     /* in lane.streams: there is text to read */
    size_t at;            /* the first byte of scrape.body that is not read */
    size_t read;          /* number of bytes that are read, and gone */
    bool complete;        /* the response is */
    bool paused;          /* nothing is received */
};

/* The response begins. No effect if it must be complete before it is read. */
void scrape_stream_begin(struct scrape *s, const struct client_reply *r);
/* More of the scrape's body has arrived; all of it. */
void scrape_stream_take(struct scrape *s);
void scrape_stream_take_end(struct scrape *s);
/* A step of the first stream that has something to read; false: there is none. */
bool scrape_streams_work(struct scrape_lane *l);
/* Ends the series that were written so far, and those of the target's last scrape if `last`. Only before the scrape ends,
 * or is canceled. */
void scrape_stream_end_series(struct scrape *s, bool last);
void scrape_stream_free(struct scrape *s); /* no effect on a scrape without one */

#endif
