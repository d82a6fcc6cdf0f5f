// SPDX-License-Identifier: Apache-2.0
/* Commands ls, verify, dump and drop read or delete files; resend runs a writer with one destination, whose queue is the
 * given directory, until all of it is delivered. The lock of the queue directory keeps drop and resend away from queues
 * that a running program uses; others are moved aside first. */
#include "gateway/cli/cli_queue.h"

#include "gateway/cli/cli_output.h"

#include "base/os/file_read.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/num.h"
#include "model/remote_write.h"
#include "writer/writer.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

static const char queue_usage[] =
    "sluice queue ls DIR                    list the queues of a queue directory: undelivered blocks, samples, bytes\n"
    "sluice queue verify DIR [QUEUE]        check all records, with their contents\n"
    "sluice queue dump DIR QUEUE            print undelivered samples: `name{label=\"value\"} NUMBER UNIX_MS`\n"
    "  --all                                also samples that are delivered and still on disk\n"
    "sluice queue drop DIR QUEUE            delete a queue and its samples\n"
    "sluice queue resend DIR QUEUE          send a queue's undelivered samples, and delete it\n"
    "  --url URL                            remote write URL\n"
    "  --entry FILE                         a YAML file with the keys of one remote_write entry instead\n"
    "DIR is -remoteWrite.tmpDataPath (--storage.agent.path). All may run while a sluice uses it;\n"
    "drop and resend then take queues only that belong to no configured destination, and quarantines.\n";

struct queue_command {
    struct arena arena;
    struct str dir;
    const char *verb, *queue;
    const char *url, *entry;
    bool all;
    struct buf out;
    bool failed;            /* corrupted records were found, or samples were dropped */
};

/* ---- arguments ---- */

static bool read_queue_option(struct queue_command *c, int argc, char **argv, int *i, struct err *err)
{
    const char *name = argv[*i];
    if (strcmp(name, "--all") == 0) {
        c->all = true;
        return true;
    }
    const char **to = strcmp(name, "--url") == 0 ? &c->url : strcmp(name, "--entry") == 0 ? &c->entry : NULL;
    if (to == NULL)
        return err_set(err, ERR_BAD_DATA, "unknown option %s; see sluice queue --help", name);
    if (++*i == argc)
        return err_set(err, ERR_BAD_DATA, "%s requires a value", name);
    *to = argv[*i];
    return true;
}

static bool read_queue_arguments(struct queue_command *c, int argc, char **argv, struct err *err)
{
    c->verb = argv[1];
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-') {
            if (!read_queue_option(c, argc, argv, &i, err))
                return false;
        } else if (c->dir.n == 0) {
            c->dir = str_of(argv[i]);
        } else if (c->queue == NULL) {
            c->queue = argv[i];
        } else {
            return err_set(err, ERR_BAD_DATA, "unexpected argument \"%s\"", argv[i]);
        }
    }
    return c->dir.n > 0 || err_set(err, ERR_BAD_DATA, "missing queue directory");
}

static bool needs_queue(const struct queue_command *c, struct err *err)
{
    return c->queue || err_set(err, ERR_BAD_DATA, "missing name of a queue; sluice queue ls lists them");
}

/* ---- ls and verify ---- */

static void add_queue_time(struct buf *out, int64_t ms)
{
    enum { WIDTH = 24 };
    size_t before = out->n;
    if (ms == 0)
        buf_add_char(out, '-');
    else
        buf_add_rfc3339(out, ms);
    while (out->n < before + WIDTH)
        buf_add_char(out, ' ');
}

static void print_queue(void *arg, const struct queue_report *r)
{
    struct queue_command *c = arg;
    char samples[24] = "-";
    if (!r->foreign)
        snprintf(samples, sizeof samples, "%llu", (unsigned long long)r->samples);
    buf_printf(&c->out, "%-48s %9llu %12s %13llu  ", r->name, (unsigned long long)r->blocks, samples,
               (unsigned long long)r->bytes);
    add_queue_time(&c->out, r->oldest);
    buf_add_z(&c->out, "  ");
    add_queue_time(&c->out, r->newest);
    if (r->corrupted_bytes > 0)
        buf_printf(&c->out, "  %llu bytes corrupted", (unsigned long long)r->corrupted_bytes);
    buf_add_char(&c->out, '\n');
}

static bool queue_ls(struct queue_command *c, struct err *err)
{
    buf_printf(&c->out, "%-48s %9s %12s %13s  %-24s  %-24s\n", "QUEUE", "BLOCKS", "SAMPLES", "BYTES", "OLDEST", "NEWEST");
    return writer_queues_read(c->dir, c->queue, false, print_queue, c, err);
}

static void print_verified(void *arg, const struct queue_report *r)
{
    struct queue_command *c = arg;
    buf_printf(&c->out, "%s: %llu blocks with %llu samples undelivered, %llu blocks delivered, %u files: ", r->name,
               (unsigned long long)r->blocks, (unsigned long long)r->samples, (unsigned long long)r->delivered_blocks,
               r->files);
    if (r->corrupted_bytes == 0)
        buf_add_z(&c->out, "ok\n");
    else
        buf_printf(&c->out, "%llu bytes corrupted; they are skipped when the queue is sent\n",
                   (unsigned long long)r->corrupted_bytes);
    c->failed = c->failed || r->corrupted_bytes > 0;
}

static bool queue_verify(struct queue_command *c, struct err *err)
{
    return writer_queues_read(c->dir, c->queue, true, print_verified, c, err);
}

/* ---- dump and drop ---- */

static void print_queue_series(void *arg, const struct queue_series *s)
{
    struct queue_command *c = arg;
    struct buf labels = {0};
    if (ferror(stdout))
        return;
    labels_print(&labels, s->labels);
    for (size_t i = 0; i < s->n_samples; i++) {
        buf_clear(&c->out);
        buf_printf(&c->out, "%s ", buf_z(&labels));
        buf_add_num(&c->out, s->samples[i].v);
        buf_printf(&c->out, " %lld\n", (long long)s->samples[i].t);
        cli_output(&c->out);
    }
    for (size_t i = 0; i < s->n_hists; i++)
        printf("# native histogram %s %lld\n", buf_z(&labels), (long long)rw_hist_time(s->hists[i]));
    buf_clear(&c->out);
    buf_free(&labels);
}

static bool queue_dump(struct queue_command *c, struct err *err)
{
    return needs_queue(c, err) && writer_queue_dump(c->dir, c->queue, c->all, print_queue_series, c, err);
}

static bool queue_drop(struct queue_command *c, struct err *err)
{
    return needs_queue(c, err) && writer_queue_recover(c->dir, c->queue, err) &&
           writer_queue_drop(c->dir, c->queue, err);
}

/* ---- resend ---- */

enum { RESEND_POLL_MS = 20, RESEND_GRACE_MS = 1000 };
static atomic_bool resend_interrupted;

static void interrupt_resend(int number UNUSED) { atomic_store(&resend_interrupted, true); }
static bool resend_is_interrupted(void) { return atomic_load(&resend_interrupted); }

enum { ENTRY_MAX = 32 << 20 };
static bool read_entry(struct queue_command *c, struct buf *text, struct err *err)
{
    if (c->entry)
        return file_read(c->entry, ENTRY_MAX, text, err);
    buf_add_z(text, "url: ");
    yaml_write_scalar(text, str_of(c->url));
    return true;
}

static bool read_resend_conf(struct queue_command *c, struct destination_conf *d, struct err *err)
{
    struct conf_context context = {.arena = &c->arena, .file = c->entry ? c->entry : "--url"};
    struct buf text = {0};
    const char *slash = strrchr(c->queue, '/');
    if ((c->url == NULL) == (c->entry == NULL))
        return err_set(err, ERR_BAD_DATA, "resend requires either --url or --entry");
    bool ok = read_entry(c, &text, err);
    struct yaml *y = ok ? yaml_parse(&c->arena, arena_str(&c->arena, buf_str(&text)), context.file, err) : NULL;
    buf_free(&text);
    ok = y && conf_load(&context, &remote_write_section, y, d, err);
    d->queue_name = str_of(slash ? slash + 1 : c->queue); /* of vmagent: taken over into a queue of this name */
    return ok;
}

static void ignore_queue(void *arg UNUSED, const struct queue_report *r UNUSED) {}
static void note_resend_ended(void *arg) { *(bool *)arg = true; }

struct resend_counts { uint64_t sent_samples, dropped_samples, pending_bytes; };
/* Only then may the queue be deleted. */
static bool resend_is_complete(struct queue_command *c, struct writer *w, struct resend_counts *out)
{
    struct arena_mark before = arena_mark(&c->arena);
    struct destination_status *s;
    size_t n;
    writer_status(w, &c->arena, &s, &n);
    if (n > 0)
        *out = (struct resend_counts){s[0].sent_samples, s[0].dropped_samples, s[0].pending_bytes};
    bool complete = n > 0 && writer_ready(w) && s[0].pending_bytes == 0 && s[0].pending_blocks == 0;
    arena_release(&c->arena, before);
    return complete;
}

static void turn_resend(struct loop *loop)
{
    for (int64_t until = clock_mono_ms() + RESEND_POLL_MS; clock_mono_ms() < until;)
        loop_turn(loop, RESEND_POLL_MS);
}

static bool run_resend(struct queue_command *c, struct loop *loop, const struct destination_conf *d, struct err *err)
{
    struct writer_env env = {.main = loop, .lanes = &loop, .n_lanes = 1, .queue_dir = c->dir,
                             .ignore_orphans = true, .interrupted = resend_is_interrupted, .show_urls = true};
    struct resend_counts sum = {0};
    struct writer *w = writer_new(&env);
    struct writer_change *change = writer_prepare(w, &(struct writer_plan){.destinations = d, .n = 1}, err);
    bool ok = change != NULL, complete = false, ended = false;
    if (ok)
        writer_commit(change, NULL, NULL);
    bool late = ok && writer_late(w) > 0; /* the queue could not be opened in time */
    while (ok && !late && !(complete = resend_is_complete(c, w, &sum)) && !resend_is_interrupted())
        turn_resend(loop);
    writer_stop(w, RESEND_GRACE_MS, note_resend_ended, &ended);
    while (!ended)
        turn_resend(loop);
    bool abandoned = writer_abandoned(w);
    if (!abandoned)
        writer_free(w);
    if (abandoned || late)
        return err_set(err, ERR_UNAVAILABLE, "the disk of %.*s does not respond", STR_ARG(c->dir));
    if (!ok)
        return false;
    buf_printf(&c->out, "%llu samples sent, %llu samples dropped\n", (unsigned long long)sum.sent_samples,
               (unsigned long long)sum.dropped_samples);
    c->failed = sum.dropped_samples > 0;
    if (!complete)
        return err_set(err, ERR_UNAVAILABLE, "interrupted; %llu bytes are left",
                       (unsigned long long)sum.pending_bytes);
    return true;
}

static bool queue_resend(struct queue_command *c, struct err *err)
{
    struct destination_conf d = {0};
    struct sigaction act = {.sa_handler = interrupt_resend};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (!needs_queue(c, err) || !writer_queue_recover(c->dir, c->queue, err) || !writer_queues_read(c->dir, c->queue, false, ignore_queue, NULL, err) ||
        !read_resend_conf(c, &d, err))
        return false;
    struct buf aside = {0};
    struct loop *loop = loop_new();
    if (loop == NULL)
        return err_set(err, ERR_INTERNAL, "cannot create an event loop: %s", strerror(errno));
    struct str dir = c->dir;
    bool ok = writer_queue_take_aside(dir, c->queue, &aside, err);
    if (ok && aside.n > 0)
        c->dir = buf_str(&aside);
    ok = ok && run_resend(c, loop, &d, err);
    loop_free(loop);
    struct err gone;
    if (ok)
        (void)!writer_queue_drop(c->dir, arena_z(&c->arena, d.queue_name), &gone);
    if (aside.n > 0 && !writer_queue_put_back(dir, c->queue, buf_z(&aside), ok ? err : &gone))
        ok = false;
    buf_free(&aside);
    return ok;
}

/* ---- commands ---- */

typedef bool queue_verb(struct queue_command *c, struct err *err);

static bool run_queue_verb(struct queue_command *c, int argc, char **argv, struct err *err)
{
    static const struct { const char *name; queue_verb *run; } verbs[] = {
        {"ls", queue_ls}, {"verify", queue_verify}, {"dump", queue_dump}, {"drop", queue_drop},
        {"resend", queue_resend}};
    if (!read_queue_arguments(c, argc, argv, err))
        return false;
    for (size_t i = 0; i < LEN(verbs); i++)
        if (strcmp(c->verb, verbs[i].name) == 0)
            return verbs[i].run(c, err);
    return err_set(err, ERR_BAD_DATA, "unknown command \"%s\"; see sluice queue --help", c->verb);
}

int cli_queue(int argc, char **argv)
{
    struct queue_command c = {0};
    struct err err = {0};
    if (argc < 3)
        return cli_usage(queue_usage, cli_is_help(argc, argv), 1);
    arena_init(&c.arena, 0);
    bool ok = run_queue_verb(&c, argc, argv, &err);
    cli_output(&c.out);
    if (!ok)
        fprintf(stderr, "sluice queue: %s\n", err.text);
    buf_free(&c.out);
    arena_free(&c.arena);
    return ok && !c.failed ? 0 : 1;
}
