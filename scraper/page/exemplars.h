// SPDX-License-Identifier: Apache-2.0
/* Exemplars of the series of a page, native histograms in place of samples, and start times, which are sent with the
 * sample or as a sample of 0 at that time. A target repeats an exemplar until it has a newer one, so only those are
 * sent that the last page did not have for the same series: the cache keeps a hash of each, in the order of the page.
 * One that has moved by more than EXEMPLARS_RESYNC is sent again, which receivers ignore. Lane's thread only. */
#ifndef SCRAPER_EXEMPLARS_H
#define SCRAPER_EXEMPLARS_H

#include "model/sink.h"
#include "scraper/page/page_reader.h"

struct start_times {
    bool sent;               /* with the samples, which remote write 2.0 sends */
    bool zeros;              /* a sample of 0, or an empty histogram, is sent at the start time, */
    int64_t after;           /* if that is after this: the series may have samples until then */
};
struct exemplar_writer {
    struct start_times starts; /* set after exemplar_writer_start */
    int64_t start;           /* of the last series; 0: unknown */
    struct sample samples[2]; int64_t sample_starts[2];
    struct str histograms[2];
    struct buf made;         /* the messages of histograms that are not in the page */
    size_t next, next_extra; /* in the reader's exemplars, and in the extras of its page */
    size_t expect;           /* in the cache's */
    struct buf hashes;       /* of those of this page that are sent or known */
    struct buf message;      /* of an exemplar that was text */
    struct str *list; size_t n, cap; /* exemplars of the last series */
};
void exemplar_writer_start(struct exemplar_writer *w);
void exemplar_writer_continue(struct exemplar_writer *w); /* with the next part of a page in parts */
void exemplar_writer_free(struct exemplar_writer *w);
/* Adds to `in` what belongs to the staged line, if anything does; valid until the next call. Lines are asked for in
 * order; those without a sample may be left out. Uses the reader's interner. */
void exemplar_writer_complete(struct exemplar_writer *w, struct page_reader *r, size_t line, struct series_in *in);
/* Memory beyond what a usual page takes is returned, in slices. */
void exemplar_writer_release(struct exemplar_writer *w, struct mem_release *release);
/* The cache gets the hashes. */
void exemplar_writer_end(struct exemplar_writer *w, const struct page_reader *r, struct scrape_cache *last);

#endif
