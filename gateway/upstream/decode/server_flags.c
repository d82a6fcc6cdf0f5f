// SPDX-License-Identifier: Apache-2.0
/* Reads /metrics of VictoriaMetrics line by line for its flags: flag{name="dedup.minScrapeInterval", value="0s", ...} 1.
 * vmauth and vmselect have their own /metrics; vmauth's lacks this flag.
 */
#include "gateway/upstream/decode/export_blocks.h"

enum { FLAGS_LINE = 4096 }; /* longer ones are skipped */

struct server_flags_response {
    struct decoder decoder;
    struct buf line;
    bool *whole, deduplicates, known;
};

static struct str server_flags_value(struct str line, struct str flag)
{
    struct str rest = line, value;
    if (!str_starts(rest, flag))
        return (struct str){0};
    rest = str_skip(rest, flag.n);
    str_cut(&rest, '"', &value);
    return value;
}

static void server_flags_read(struct server_flags_response *f)
{
    struct str line = buf_str(&f->line);
    struct str interval = server_flags_value(line, STR("flag{name=\"dedup.minScrapeInterval\", value=\""));
    struct str downsampling = server_flags_value(line, STR("flag{name=\"downsampling.period\", value=\""));
    f->known = f->known || interval.n > 0;
    f->deduplicates = f->deduplicates || downsampling.n > 0 ||
                      (interval.n > 0 && !str_is(interval, "0s") && !str_is(interval, "0"));
}

static bool server_flags_feed(struct decoder *d, struct str piece, struct err *err UNUSED)
{
    struct server_flags_response *f = CONTAINER(d, struct server_flags_response, decoder);
    struct str line;
    f->line.max = FLAGS_LINE;
    while (piece.n > 0) {
        bool ends = memchr(piece.p, '\n', piece.n) != NULL;
        str_cut(&piece, '\n', &line);
        buf_add_str(&f->line, line);
        if (!ends)
            return true;
        if (!f->line.over)
            server_flags_read(f);
        buf_clear(&f->line);
    }
    return true;
}

static bool server_flags_finish(struct decoder *d, struct err *err UNUSED)
{
    struct server_flags_response *f = CONTAINER(d, struct server_flags_response, decoder);
    *f->whole = f->known && !f->deduplicates;
    return true;
}

static void server_flags_free(struct decoder *d)
{
    struct server_flags_response *f = CONTAINER(d, struct server_flags_response, decoder);
    buf_free(&f->line);
    mem_free(f);
}

struct decoder *flags_decoder_new(bool *whole)
{
    struct server_flags_response *f = mem_zalloc(sizeof *f);
    f->decoder = (struct decoder){server_flags_feed, server_flags_finish, server_flags_free, NULL};
    f->whole = whole;
    *whole = false;
    return &f->decoder;
}
