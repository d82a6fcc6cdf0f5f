// SPDX-License-Identifier: Apache-2.0
#include "writer/pipeline/aggregate_stage.h"

#include "base/hash.h"
#include "base/mem.h"

/* ---- the topology's ---------------------------------------------------------------------------------------------- */

struct aggregate_stage {
    struct stage stage;
    uint64_t rule_set;                   /* hash of the rules in their order: of what lanes send each other */
    bool keep_input, drop_input;
    const struct aggregate_rule **rules; size_t n_rules; /* of the configuration; deduplication is the last */
    bool dedups;
    struct aggregate_rule dedup;
    struct aggregate_report *report;
    char *dir; int64_t interval;         /* of checkpoints; dir NULL: there are none */
    struct aggregate_left *left;         /* by the process before; NULL: nothing */
};

bool aggregate_stage_needed(const struct aggregate_conf *conf)
{
    return conf && (conf->rules.n > 0 || conf->dedup_interval > 0);
}

static void aggregate_stage_free(struct stage *s)
{
    struct aggregate_stage *a = (struct aggregate_stage *)s;
    aggregate_report_unref(a->report);
    aggregate_left_unref(a->left);
    mem_free(a->dir);
    mem_free(a->rules);
    mem_free(a);
}

static void aggregate_stage_adopt(struct stage *s, const struct stage *old)
{
    aggregate_report_adopt(((struct aggregate_stage *)s)->report, ((const struct aggregate_stage *)old)->report);
}

bool aggregate_stage_has_rules(const struct stage *s)
{
    return s->kind == STAGE_AGGREGATE && ((const struct aggregate_stage *)s)->n_rules > 0;
}

struct aggregate_report *aggregate_stage_report(const struct stage *s)
{
    return aggregate_stage_has_rules(s) ? aggregate_report_ref(((const struct aggregate_stage *)s)->report) : NULL;
}

/* ---- of a lane --------------------------------------------------------------------------------------------------- */

/* The rules of one configuration: those that aggregate, and the one that only deduplicates, for what the others
 * leave. */
enum { AGGREGATE_SET_RULES, AGGREGATE_SET_DEDUP, AGGREGATE_SETS };
struct aggregate_sets { struct aggregate *sets[AGGREGATE_SETS]; }; /* NULL: there is none */

/* Rules that are no longer configured. */
struct aggregate_leaving {
    struct aggregate_sets of;
    uint64_t rule_set;
    void *held;                          /* their configuration */
    bool settled;                        /* no lane sends samples for them */
};
struct aggregate_waiting { uint32_t set, route, n; }; /* n samples of the batch, for a route */

struct aggregate_lane {
    struct stage_lane lane;
    struct aggregate_sets of;
    void *held;
    struct aggregate_leaving *leaving; size_t n_leaving, _cap_leaving;
    struct aggregate_waiting *waiting; size_t n_waiting, _cap_waiting;
    struct sample *samples; size_t n_samples, _cap_samples; /* of `waiting` */
    struct buf record;                   /* being made for another lane */
    struct aggregate_checkpoint checkpoint;
    bool stopping;
};

static const struct aggregate_stage *aggregate_stage_of(const struct aggregate_lane *l)
{
    return (const struct aggregate_stage *)l->lane.stage;
}

static void aggregate_sets_free(struct aggregate_sets *s)
{
    for (int i = 0; i < AGGREGATE_SETS; i++)
        aggregate_free(s->sets[i]);
}

/* Restores the state of the previous process: at the start, when nothing else waits for the lane. */
static void aggregate_lane_restore(struct aggregate_lane *l, int64_t now)
{
    const struct aggregate_stage *s = aggregate_stage_of(l);
    for (size_t i = 0; i < aggregate_left_files(s->left); i++)
        for (int k = 0; k < AGGREGATE_SETS; k++)
            if (l->of.sets[k])
                (void)aggregate_restore(l->of.sets[k], aggregate_left_bytes(s->left, l->lane.lane, i), now);
    aggregate_left_taken(s->left, l->lane.n_lanes);
    l->checkpoint.changed = true; /* other lanes replace the files that it has read */
}

static void aggregate_lane_init(struct stage_lane *lane)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    const struct aggregate_stage *s = aggregate_stage_of(l);
    int64_t now = loop_now(lane->loop);
    struct aggregate_counts **counts = mem_zalloc((s->n_rules + 1) * sizeof *counts);
    size_t n = s->n_rules - s->dedups;
    bool counted = lane->lane < AGGREGATE_MOST_LANES; /* others own no groups */
    for (size_t i = 0; i < s->n_rules && counted; i++)
        counts[i] = aggregate_counters_lane(aggregate_report_rule(s->report, i), lane->lane);
    if (n > 0)
        l->of.sets[AGGREGATE_SET_RULES] = aggregate_new(s->rules, counted ? counts : NULL, n, lane->lane,
                                                        lane->n_lanes, now);
    if (s->dedups)
        l->of.sets[AGGREGATE_SET_DEDUP] = aggregate_new(&s->rules[n], counted ? &counts[n] : NULL, 1, lane->lane,
                                                        lane->n_lanes, now);
    mem_free(counts);
    l->held = stage_hold(lane);
    if (s->left)
        aggregate_lane_restore(l, now);
    if (s->n_rules > 0)
        stage_wake(lane, now);
}

static void aggregate_lane_free(struct stage_lane *lane)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    if (l->stopping && aggregate_stage_of(l)->n_rules > 0)
        checkpoint_finish(&l->checkpoint, l->of.sets, AGGREGATE_SETS, loop_now(lane->loop));
    checkpoint_free(&l->checkpoint);
    aggregate_sets_free(&l->of);
    for (size_t i = 0; i < l->n_leaving; i++) {
        aggregate_sets_free(&l->leaving[i].of);
        stage_release(lane, l->leaving[i].held);
    }
    stage_release(lane, l->held);
    mem_free(l->leaving);
    mem_free(l->waiting);
    mem_free(l->samples);
    buf_free(&l->record);
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

/* What lanes send each other: this, the labels, padding to 8 bytes, the samples. */
struct aggregate_record { uint64_t rule_set, hash; uint32_t set, n_labels, label_count, n_samples; };

static size_t aggregate_padded(size_t n) { return (n + 7) & ~(size_t)7; }

static void aggregate_send(struct aggregate_lane *l, uint32_t set, uint64_t to, const struct pipeline_series *s,
                           uint64_t hash)
{
    const struct series_in *in = &s->in;
    const struct aggregate_record head = {.rule_set = aggregate_stage_of(l)->rule_set, .hash = hash, .set = set,
                                          .n_labels = in->labels.n, .label_count = in->labels.count,
                                          .n_samples = (uint32_t)in->n_samples};
    static const char zeros[8] = {0};
    buf_clear(&l->record);
    buf_add(&l->record, &head, sizeof head);
    buf_add(&l->record, in->labels.p, in->labels.n);
    buf_add(&l->record, zeros, aggregate_padded(in->labels.n) - in->labels.n);
    buf_add(&l->record, in->samples, in->n_samples * sizeof *in->samples);
    for (unsigned i = 0; to != 0; i++, to >>= 1)
        if (to & 1)
            stage_send(&l->lane, i, buf_str(&l->record));
}

static void aggregate_set_aside(struct aggregate_lane *l, uint32_t set, uint32_t route, const struct series_in *in)
{
    mem_grow(&l->waiting, &l->_cap_waiting, l->n_waiting + 1, sizeof *l->waiting);
    mem_grow(&l->samples, &l->_cap_samples, l->n_samples + in->n_samples, sizeof *l->samples);
    l->waiting[l->n_waiting++] = (struct aggregate_waiting){set, route, (uint32_t)in->n_samples};
    memcpy(l->samples + l->n_samples, in->samples, in->n_samples * sizeof *in->samples);
    l->n_samples += in->n_samples;
}

/* True: a rule of the set matches the series. */
static bool aggregate_take(struct aggregate_lane *l, uint32_t set, struct pipeline_series *s)
{
    struct aggregate_match m = aggregate_find(l->of.sets[set], s->in.labels, &s->hash);
    if (s->in.n_samples > 0 && m.own)
        aggregate_set_aside(l, set, m.route, &s->in);
    if (s->in.n_samples > 0 && m.others != 0)
        aggregate_send(l, set, m.others, s, pipeline_series_hash(s));
    return m.matched;
}

static enum stage_result aggregate_apply(struct stage_lane *lane, struct pipeline_series *s)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    const struct aggregate_stage *stage = aggregate_stage_of(l);
    if (s->routed)
        return STAGE_PASSED;
    if (l->of.sets[AGGREGATE_SET_RULES]) {
        bool matched = aggregate_take(l, AGGREGATE_SET_RULES, s);
        if (!matched && stage->drop_input)
            return STAGE_DROPPED;
        if (matched && !stage->keep_input) {
            if (s->in.n_hists == 0)
                return STAGE_ABSORBED;
            s->in.n_samples = s->in.n_exemplars = 0;
            s->in.starts = NULL;
        }
    }
    if (l->of.sets[AGGREGATE_SET_DEDUP] && s->in.n_samples > 0 && aggregate_take(l, AGGREGATE_SET_DEDUP, s)) {
        if (s->in.n_hists == 0 && s->in.n_exemplars == 0)
            return STAGE_ABSORBED;
        s->in.n_samples = 0;
        s->in.starts = NULL;
    }
    return STAGE_PASSED;
}

static void aggregate_changed(struct aggregate_lane *l)
{
    if (l->checkpoint.changed)
        return;
    l->checkpoint.changed = true;
    stage_wake(&l->lane, loop_now(l->lane.loop)); /* perhaps it sleeps until the end of the interval */
}

static void aggregate_forget_waiting(struct stage_lane *lane)
{
    enum { KEPT = 16384 }; /* a large push must not keep its memory forever */
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    l->n_waiting = l->n_samples = 0;
    if (l->_cap_samples > KEPT || l->_cap_waiting > KEPT) {
        mem_free(l->waiting);
        mem_free(l->samples);
        l->waiting = NULL;
        l->samples = NULL;
        l->_cap_waiting = l->_cap_samples = 0;
    }
}

static void aggregate_add_waiting(struct stage_lane *lane)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    const struct sample *samples = l->samples;
    int64_t now = loop_now(lane->loop);
    if (l->n_waiting > 0)
        aggregate_changed(l);
    for (size_t i = 0; i < l->n_waiting; i++) {
        const struct aggregate_waiting *w = &l->waiting[i];
        aggregate_add_samples(l->of.sets[w->set], w->route, samples, w->n, now);
        samples += w->n;
    }
    aggregate_forget_waiting(lane);
}

static void aggregate_receive_record(struct aggregate_lane *l, const struct aggregate_record *r, struct labels labels,
                                     const struct sample *samples, int64_t now)
{
    bool same = r->rule_set == aggregate_stage_of(l)->rule_set;
    if (l->of.sets[r->set])
        aggregate_push_sent(l->of.sets[r->set], labels, r->hash, samples, r->n_samples, now, !same);
    for (size_t i = 0; !same && i < l->n_leaving; i++)
        if (l->leaving[i].rule_set == r->rule_set && l->leaving[i].of.sets[r->set])
            aggregate_push_sent(l->leaving[i].of.sets[r->set], labels, r->hash, samples, r->n_samples, now, false);
}

/* Bytes of this process: they are as aggregate_send has made them. */
static void aggregate_receive_sent(struct stage_lane *lane, struct str bytes)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    int64_t now = loop_now(lane->loop);
    aggregate_changed(l);
    while (bytes.n > 0) {
        const struct aggregate_record *r = (const struct aggregate_record *)(const void *)bytes.p;
        struct str rest = str_skip(bytes, sizeof *r);
        struct labels labels = {(const uint8_t *)rest.p, r->n_labels, r->label_count};
        rest = str_skip(rest, aggregate_padded(r->n_labels));
        aggregate_receive_record(l, r, labels, (const struct sample *)(const void *)rest.p, now);
        bytes = str_skip(rest, r->n_samples * sizeof(struct sample));
    }
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void aggregate_emit(void *arg, struct labels labels, const struct sample *sample)
{
    stage_emit(arg, &(struct series_in){.labels = labels, .samples = sample, .n_samples = 1});
}

static void aggregate_leave(struct aggregate_lane *l, size_t i)
{
    aggregate_sets_free(&l->leaving[i].of);
    stage_release(&l->lane, l->leaving[i].held);
    memmove(&l->leaving[i], &l->leaving[i + 1], (--l->n_leaving - i) * sizeof *l->leaving);
}

static bool aggregate_sets_finish(struct aggregate_lane *l, struct aggregate_sets *of, int64_t now, int64_t end)
{
    const struct aggregate_results to = {aggregate_emit, &l->lane};
    for (int i = 0; i < AGGREGATE_SETS; i++)
        if (of->sets[i] && aggregate_finish(of->sets[i], now, end, &to))
            return true;
    return false;
}

/* Ends the rules that are no longer configured; all: even if lanes may still send samples for them. */
static bool aggregate_finish_leaving(struct aggregate_lane *l, bool all, int64_t now, int64_t end)
{
    for (size_t i = 0; i < l->n_leaving;) {
        if (!all && !l->leaving[i].settled)
            i++;
        else if (aggregate_sets_finish(l, &l->leaving[i].of, now, end))
            return true;
        else
            aggregate_leave(l, i);
    }
    return false;
}

static void aggregate_wake(struct aggregate_lane *l)
{
    int64_t at = checkpoint_due(&l->checkpoint);
    for (int i = 0; i < AGGREGATE_SETS; i++) {
        int64_t due = l->of.sets[i] ? aggregate_due(l->of.sets[i]) : INT64_MAX;
        at = due < at ? due : at;
    }
    stage_wake(&l->lane, at == INT64_MAX ? 0 : at > 0 ? at : 1);
}

static enum checkpoint_state aggregate_save(struct aggregate_lane *l, int64_t now, int64_t end)
{
    const struct aggregate_stage *s = aggregate_stage_of(l);
    struct aggregate_checkpoint *c = &l->checkpoint;
    if (s->n_rules == 0 || s->dir == NULL || l->lane.lane >= AGGREGATE_MOST_LANES)
        return CHECKPOINT_IDLE;
    if (c->file == NULL)
        c->file = aggregate_file_new(s->dir, s->stage.identity, l->lane.lane, l->lane.n_lanes, s->left);
    c->interval = s->interval;
    return checkpoint_run(c, l->of.sets, AGGREGATE_SETS, now, end);
}

static bool aggregate_tick(struct stage_lane *lane, int64_t now)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    const struct aggregate_results to = {aggregate_emit, lane};
    int64_t end = loop_slice_end(lane->loop);
    aggregate_add_waiting(lane); /* of this batch: a flush may end the routes */
    switch (aggregate_save(l, now, end)) {
    case CHECKPOINT_IDLE: break;
    case CHECKPOINT_MORE: return true;
    case CHECKPOINT_WAITS: stage_wake(lane, now + CHECKPOINT_RETRY_MS); return false;
    }
    for (int i = 0; i < AGGREGATE_SETS; i++)
        if (l->of.sets[i] && aggregate_flush(l->of.sets[i], now, end, &to))
            return true;
    checkpoint_flushed(&l->checkpoint, now);
    if (aggregate_finish_leaving(l, false, now, end))
        return true;
    aggregate_wake(l);
    return false;
}

static bool aggregate_end(struct stage_lane *lane, bool stopping)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    l->stopping = stopping;
    if (!stopping && l->checkpoint.file)
        aggregate_file_remove(l->checkpoint.file);
    int64_t now = loop_now(lane->loop), end = loop_slice_end(lane->loop);
    aggregate_add_waiting(lane);
    return aggregate_finish_leaving(l, true, now, end) || aggregate_sets_finish(l, &l->of, now, end);
}

/* ---- reload ------------------------------------------------------------------------------------------------------ */

static void aggregate_lane_adopt(struct stage_lane *lane, struct stage_lane *old)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane, *from = (struct aggregate_lane *)old;
    struct aggregate_leaving rest = {.rule_set = aggregate_stage_of(from)->rule_set};
    bool some = false;
    for (int i = 0; i < AGGREGATE_SETS; i++) {
        if (l->of.sets[i] && from->of.sets[i])
            aggregate_adopt(l->of.sets[i], from->of.sets[i]);
        if (from->of.sets[i] && aggregate_rule_count(from->of.sets[i]) > 0) {
            rest.of.sets[i] = from->of.sets[i];
            from->of.sets[i] = NULL;
            some = true;
        }
    }
    l->checkpoint = from->checkpoint;
    l->checkpoint.changed = true;
    l->checkpoint.whole_bytes = l->checkpoint.appended = 0; /* the rules may be others */
    from->checkpoint = (struct aggregate_checkpoint){0};
    if (aggregate_stage_of(l)->n_rules == 0 && l->checkpoint.file)
        aggregate_file_remove(l->checkpoint.file);
    l->leaving = from->leaving;
    l->n_leaving = from->n_leaving;
    l->_cap_leaving = from->_cap_leaving;
    from->leaving = NULL;
    from->n_leaving = 0;
    if (some) {
        rest.held = from->held;
        from->held = NULL;
        mem_grow(&l->leaving, &l->_cap_leaving, l->n_leaving + 1, sizeof *l->leaving);
        l->leaving[l->n_leaving++] = rest;
    }
    aggregate_wake(l);
}

static void aggregate_settled(struct stage_lane *lane)
{
    struct aggregate_lane *l = (struct aggregate_lane *)lane;
    for (size_t i = 0; i < l->n_leaving; i++)
        l->leaving[i].settled = true;
    if (l->n_leaving > 0)
        stage_wake(lane, loop_now(lane->loop));
}

static const struct stage_ops aggregate_ops = {
    .lane_size = sizeof(struct aggregate_lane), .free = aggregate_stage_free, .adopt = aggregate_stage_adopt,
    .lane_init = aggregate_lane_init, .lane_free = aggregate_lane_free, .lane_adopt = aggregate_lane_adopt,
    .apply = aggregate_apply, .commit = aggregate_add_waiting, .abort = aggregate_forget_waiting,
    .receive = aggregate_receive_sent, .tick = aggregate_tick, .settled = aggregate_settled, .end = aggregate_end};

static void aggregate_stage_hash(struct aggregate_stage *s)
{
    const uint64_t inputs[] = {s->keep_input, s->drop_input};
    for (size_t i = 0; i < s->n_rules; i++) {
        const uint64_t both[] = {s->rule_set, s->rules[i]->identity};
        s->rule_set = hash_bytes(both, sizeof both);
    }
    const uint64_t all[] = {s->rule_set, hash_bytes(inputs, sizeof inputs)};
    s->stage.settings = hash_bytes(all, sizeof all);
}

struct stage *aggregate_stage_new(const struct aggregate_stage_conf *conf)
{
    static const struct aggregate_conf nothing = {0};
    const struct aggregate_conf *c = conf->conf ? conf->conf : &nothing;
    const struct aggregate_rule *rules = c->rules.items;
    struct aggregate_stage *s = mem_zalloc(sizeof *s);
    s->stage = (struct stage){.ops = &aggregate_ops, .kind = STAGE_AGGREGATE,
                              .identity = stage_identity(STAGE_AGGREGATE, conf->place)};
    s->keep_input = c->keep_input;
    s->drop_input = c->drop_input;
    s->rules = mem_zalloc((c->rules.n + 1) * sizeof *s->rules);
    for (size_t i = 0; i < c->rules.n; i++)
        s->rules[s->n_rules++] = &rules[i];
    if (c->dedup_interval > 0) {
        s->dedups = true;
        s->dedup = aggregate_dedup_rule(c);
        s->rules[s->n_rules++] = &s->dedup;
    }
    s->report = aggregate_report_new(c->path, conf->url, conf->dedup_url, s->rules, s->n_rules);
    aggregate_stage_hash(s);
    s->dir = conf->state_dir ? mem_strdup(conf->state_dir) : NULL;
    s->interval = conf->interval;
    if (s->dir && conf->state_left && s->n_rules > 0)
        s->left = aggregate_left_read(s->dir, s->stage.identity);
    return &s->stage;
}
