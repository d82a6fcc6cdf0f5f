// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a pushed body: the first one chooses the format. What a format reports is canonical, a valid document that is
 * read again reports the same, and nothing is left. Lines are cut as the program cuts them.
 */
#include "gateway/config/flags.h"
#include "gateway/http/http_connection.h"
#include "gateway/ingest/ingest_internal.h"
#include "gateway/ingest/otlp/otlp_delta.h"
#include "gateway/services/services.h"

#include "base/telemetry/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

extern const struct ingest_format ingest_prometheus, ingest_jsonl, ingest_csv, ingest_influx, ingest_native, ingest_otlp, ingest_otlp_prometheus,
    ingest_datadog_1, ingest_datadog_2, ingest_sketches, ingest_graphite, ingest_opentsdb, ingest_opentsdb_http;
static const struct ingest_format *const formats[] = {
    &ingest_prometheus, &ingest_jsonl, &ingest_csv, &ingest_influx, &ingest_native, &ingest_otlp, &ingest_datadog_1,
    &ingest_datadog_2, &ingest_sketches, &ingest_graphite, &ingest_opentsdb, &ingest_opentsdb_http, &ingest_otlp /* summed up */,
    &ingest_otlp_prometheus, &ingest_otlp_prometheus /* summed up */};
enum { SUMMED_UP = 12, PROMETHEUS_SUMMED_UP = 14 };

struct check_sink { struct sink sink; uint64_t samples; };

static void fuzz_series(struct sink *s, const struct series_in *in)
{
    struct check_sink *c = (struct check_sink *)s;
    struct labels checked;
    if (!labels_check(in->labels.p, in->labels.n, &checked) || checked.count != in->labels.count || labels_name(checked).n == 0)
        __builtin_trap();
    if (in->n_samples + in->n_hists == 0)
        __builtin_trap();
    c->samples += in->n_samples + in->n_hists;
}
static void fuzz_metadata(struct sink *s UNUSED, const struct metadata *m UNUSED) {}
static const struct sink_ops fuzz_ops = {NULL, fuzz_series, fuzz_metadata, NULL, NULL};

static bool fuzz_line(struct ingest *in, struct str line)
{
    struct err err;
    struct arena_mark mark = arena_mark(in->scratch);
    in->line++;
    in->item_labels = 0;
    bool ok = line.n == 0 || in->format->line(in, line, &err);
    if (!ok && (err.kind == ERR_NONE || err.text[0] == 0))
        __builtin_trap();
    arena_release(in->scratch, mark);
    return ok;
}

static void fuzz_lines(struct ingest *in, struct str body)
{
    struct str line;
    while (body.n > 0) {
        if (in->format->record) {
            size_t size = in->format->record(in, body);
            line = str_first(body, size > 0 && size <= body.n ? size : body.n);
            body = str_skip(body, line.n);
        } else {
            (void)!str_cut(&body, '\n', &line);
        }
        (void)!fuzz_line(in, line);
    }
}

/* Whether the document is valid. */
static bool fuzz_document(struct ingest *in, struct str body)
{
    struct err err = {0};
    if (!in->format->document(in, body, &err))
        return false;
    for (;;) {
        in->item_labels = 0;
        enum ingest_item item = in->format->next(in, &err);
        if (item == INGEST_END)
            return true;
        if (item == INGEST_INVALID_ITEM && (err.kind == ERR_NONE || err.text[0] == 0))
            __builtin_trap();
        if (item == INGEST_INVALID_ITEM)
            return false;
    }
}

static void fuzz_format(struct services *s, const struct ingest_format *f, struct str body)
{
    struct http_connection c = {0};
    struct check_sink sink = {.sink = {&fuzz_ops}};
    struct ingest_lane lane = {.services = s};
    struct err err;
    arena_init(&lane.scratch, 0);
    arena_init(&c.r.arena, 0);
    lane.labels.scratch = &lane.scratch;
    c.r._connection = &c;
    c.r.services = s;
    c.r.path = STR("/fuzz");
    if (f == &ingest_csv && !form_parse(&c.r.arena, &c.r.form, STR("format=1:label:l,2:metric:m,3:time:rfc3339,4:metric:n"), &err))
        __builtin_trap();
    struct ingest in = {.r = &c.r, .services = s, .format = f, .lane = &lane, .labels = &lane.labels, .scratch = &lane.scratch,
                        .now = 1700000000000, .max_line = 1 << 20, .max_text = 1 << 20, .sink = &sink.sink, .phase = INGEST_STORE};
    if (f->begin == NULL || f->begin(&in, &err)) {
        if (f->line) {
            fuzz_lines(&in, body);
        } else {
            bool valid = fuzz_document(&in, body);
            uint64_t samples = sink.samples;
            if (valid && s->otlp_deltas == NULL && (!fuzz_document(&in, body) || sink.samples != 2 * samples))
                __builtin_trap();
        }
    }
    if (f->end)
        f->end(&in);
    series_cache_free(&lane.cache);
    zstd_free(lane.zstd);
    builder_free(&lane.labels);
    arena_free(&lane.scratch);
    arena_free(&c.r.arena);
    buf_free(&lane.label_bytes);
    buf_free(&c.r.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct services s;
    static bool begun;
    if (!begun) {
        struct err err;
        char program[] = "sluice", *argv[] = {program, NULL};
        if (!flags_parse(1, argv, &s.flags, &err))
            __builtin_trap();
        log_setup(LOG_ERROR, 0, 2);
        begun = true;
    }
    if (n == 0)
        return 0;
    unsigned choice = data[0] % LEN(formats);
    s.otlp_deltas = choice == SUMMED_UP || choice == PROMETHEUS_SUMMED_UP ? otlp_deltas_new() : NULL;
    fuzz_format(&s, formats[choice], str_n(data + 1, n - 1));
    otlp_deltas_free(s.otlp_deltas);
    if (atomic_load(&s.http.bodies.used) != 0)
        __builtin_trap();
    return 0;
}
