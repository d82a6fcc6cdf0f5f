// SPDX-License-Identifier: Apache-2.0
/* The state of a lane as bytes.
 *
 *   frame    hash u64 | size u32 | version u32 | records            the hash is of all that follows it
 *   record   'R' rule and its times | 'G' group, its labels and words, what words point to | 'I' its group, series | 'E' end
 *
 * A saving begins each rule with a frame, and ends with a frame that has only 'E'. One that has only what has changed
 * follows those before it: its records replace theirs. A record that has expired meanwhile remains, and expires when it
 * is read. A series whose group is newer than the groups of a saving is part of the next one, as its group is.
 *
 * Numbers are in the byte order of the machine, as the records are in memory: the file is read on the machine that
 * wrote it, and one of another version, or a rule whose records have other words, is ignored. A record is in one
 * frame. */
#include "writer/aggregate/aggregate_internal.h"

#include "base/hash.h"
#include "base/text/duration.h"

enum {
    SAVE_VERSION = 0x61670002, SAVE_STEP = 32, SAVE_HEAD = AGGREGATE_FRAME_HEAD, SAVE_MOST_LABELS = LABELS_MAX_BYTES,
    /* A frame is checked as a whole, in memory. A group whose unique values are more is not saved:
     * a reader takes what was saved of it before. */
    SAVE_MOST_RECORD = 64 << 20, SAVE_MOST_FRAME = 2 * AGGREGATE_FRAME + SAVE_MOST_RECORD
};
static const int64_t oldest_saved_ms = 3600 * 1000; /* what is older is not restored */

struct saved_rule {
    uint64_t identity;
    int64_t saved_at, least, most, flush_at, ignore_first_until;
    uint64_t skip;
    uint32_t window, words, input_size, _unused;
};
struct saved_group { uint64_t id; int64_t deadline; uint32_t flags, n, count, _unused; };

/* --- writing ------------------------------------------------------------------------------------------------------ */

bool aggregate_save_begin(struct aggregate *a, bool whole)
{
    for (size_t i = 0; i < a->n_parts; i++)
        if (a->parts[i].phase != AGGREGATE_IDLE)
            return false;
    memset(&a->save, 0, sizeof a->save);
    a->save.active = true;
    a->save.whole = whole;
    return true;
}

static void save_rule(const struct aggregate_part *p, int64_t now, struct buf *out)
{
    struct saved_rule r = {.identity = p->rule->identity, .saved_at = now, .least = p->least, .most = p->most,
                           .flush_at = p->flush_at, .ignore_first_until = p->ignore_first_until, .skip = p->skip,
                           .window = p->window, .words = p->layout.words, .input_size = p->layout.input_size};
    buf_add_char(out, 'R');
    buf_add(out, &r, sizeof r);
}

static void save_values(struct buf *out, const struct value_set *s)
{
    uint32_t n = (uint32_t)value_set_count(s);
    buf_add(out, &n, sizeof n);
    for (uint32_t i = 0; i < n; i++) {
        double v = value_set_get(s, i);
        buf_add(out, &v, sizeof v);
    }
}

static void save_sample(struct buf *out, const struct value_sample *s)
{
    uint32_t n = s ? s->n : 0;
    buf_add(out, &n, sizeof n);
    if (n > 0)
        buf_add(out, s, sizeof *s + n * sizeof(double));
}

static void save_buckets(struct buf *out, const struct vmrange_counts *h)
{
    uint32_t n = h ? h->n : 0;
    buf_add(out, &n, sizeof n);
    if (n > 0)
        buf_add(out, h->counts, n * sizeof *h->counts);
}

static void save_group(const struct aggregate_part *p, struct aggregate_output_group *g, struct buf *out)
{
    const struct aggregate_layout *l = &p->layout;
    struct saved_group s = {.id = g->id, .deadline = g->deadline, .flags = g->flags, .n = g->n, .count = g->count};
    g->flags |= GROUP_SAVED;
    buf_add_char(out, 'G');
    buf_add(out, &s, sizeof s);
    buf_add(out, g->labels, g->n);
    buf_add(out, g->words, l->words * sizeof *g->words);
    if (l->words == 0)
        return;
    for (unsigned i = 0; i < l->windows; i++) {
        const union aggregate_word *w = aggregate_window(p, g, i);
        if (l->values)
            save_values(out, w[l->values].values);
        if (l->sample)
            save_sample(out, w[l->sample].sample);
        if (l->buckets)
            save_buckets(out, w[l->buckets].buckets);
    }
    if (l->buckets_total)
        save_buckets(out, g->words[l->buckets_total].buckets);
}

/* True: it is written, and has not changed since. */
static bool save_takes(const struct aggregate *a, uint32_t *flags, unsigned changed, unsigned dead)
{
    bool takes = (*flags & dead) == 0 && (a->save.whole || *flags & changed);
    *flags &= ~changed;
    return takes;
}

static void save_input(struct aggregate_part *p, struct aggregate_input *in, uint32_t at, struct buf *out)
{
    const struct aggregate_output_group *g = table_at(&p->groups, in->group);
    if ((g->flags & GROUP_SAVED) == 0) {
        aggregate_input_changed(p, in, at);
        return;
    }
    buf_add_char(out, 'I');
    buf_add(out, &g->id, sizeof g->id);
    buf_add(out, in, p->layout.input_size);
}

/* One record, or the step to the next table. False: everything is written. */
static bool save_step(struct aggregate *a, int64_t now, struct buf *out)
{
    if (a->save.part == a->n_parts)
        return false;
    struct aggregate_part *p = &a->parts[a->save.part];
    struct aggregate_table *t = a->save.inputs ? &p->inputs : &p->groups;
    if (!a->save.inputs && a->save.at == 0)
        save_rule(p, now, out);
    uint32_t next = table_skip_untouched(t, a->save.at);
    if (next != a->save.at && !a->save.whole) {
        a->save.at = next;
        return true;
    }
    if (a->save.at >= t->used) {
        a->save.at = 0;
        a->save.part += a->save.inputs;
        a->save.inputs = !a->save.inputs;
        return true;
    }
    uint32_t at = a->save.at++;
    void *record = table_at(t, at);
    if (*(uint64_t *)record == 0)
        return true;
    size_t before = out->n;
    struct aggregate_output_group *g = record;
    struct aggregate_input *in = record;
    if (!a->save.inputs && save_takes(a, &g->flags, GROUP_CHANGED, GROUP_DEAD))
        save_group(p, g, out);
    else if (a->save.inputs && save_takes(a, &in->flags, INPUT_CHANGED, INPUT_DEAD))
        save_input(p, in, at, out);
    if (out->n - before > SAVE_MOST_RECORD)
        out->n = before;
    return true;
}

/* A rule begins a frame, so that a reader who does not have it can skip those of the one before. */
static bool save_begins_rule(const struct aggregate *a) { return a->save.at == 0 && !a->save.inputs; }

enum aggregate_saving aggregate_save_some(struct aggregate *a, int64_t now, int64_t end, struct buf *out)
{
    if (!a->save.active)
        return AGGREGATE_SAVE_BROKEN;
    size_t begin = out->n;
    bool more = true;
    const char head[SAVE_HEAD] = {0};
    buf_add(out, head, sizeof head);
    for (unsigned i = 1; (more = save_step(a, now, out)) && out->n - begin < AGGREGATE_FRAME; i++)
        if ((i % SAVE_STEP == 0 && clock_mono_ns() >= end) || save_begins_rule(a))
            break;
    if (!more) {
        buf_add_char(out, 'E');
        a->save.active = false;
    }
    if (out->n == begin + sizeof head) { /* of this turn, all records were free */
        out->n = begin;
        return AGGREGATE_SAVE_MORE;
    }
    const uint32_t size_version[] = {(uint32_t)(out->n - begin - SAVE_HEAD), SAVE_VERSION};
    memcpy(out->p + begin + sizeof(uint64_t), size_version, sizeof size_version);
    uint64_t hash = hash_bytes(out->p + begin + sizeof hash, out->n - begin - sizeof hash);
    memcpy(out->p + begin, &hash, sizeof hash);
    return more ? AGGREGATE_SAVE_MORE : AGGREGATE_SAVE_DONE;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

size_t aggregate_frame_size(const char *head)
{
    uint32_t size_version[2];
    memcpy(size_version, head + sizeof(uint64_t), sizeof size_version);
    return size_version[1] == SAVE_VERSION && size_version[0] <= SAVE_MOST_FRAME ? size_version[0] : 0;
}

bool aggregate_frame_check(struct str frame, bool *last)
{
    uint64_t hash;
    if (frame.n <= SAVE_HEAD || aggregate_frame_size(frame.p) != frame.n - SAVE_HEAD)
        return false;
    memcpy(&hash, frame.p, sizeof hash);
    *last = frame.n == SAVE_HEAD + 1 && frame.p[SAVE_HEAD] == 'E';
    return hash == hash_bytes(frame.p + sizeof hash, frame.n - sizeof hash);
}

static bool saved_frame(struct str *rest, struct str *frame)
{
    bool last;
    size_t n = rest->n < SAVE_HEAD ? 0 : aggregate_frame_size(rest->p);
    if (n == 0 || n > rest->n - SAVE_HEAD || !aggregate_frame_check(str_n(rest->p, SAVE_HEAD + n), &last))
        return false;
    *frame = str_n(rest->p + SAVE_HEAD, n);
    *rest = str_skip(*rest, SAVE_HEAD + n);
    return true;
}

struct restoring { /* a->parts[part] is that of the last 'R'; NULL: it is none of ours */
    struct aggregate *a;
    struct aggregate_part *p;
    struct saved_rule rule;
    int64_t now, away; /* away: since the last saving */
    bool swap; /* its windows are the other way round */
    struct str rest;
    size_t n;
};

static bool saved_take(struct restoring *r, void *to, size_t n)
{
    if (r->rest.n < n)
        return false;
    if (n > 0)
        memcpy(to, r->rest.p, n);
    r->rest = str_skip(r->rest, n);
    return true;
}

static bool saved_time_valid(int64_t t, int64_t latest) { return t >= 0 && t <= latest; }

/* Whether the times can be those of the rule: a clock that was set back must not stop the results. */
static bool saved_rule_fits(const struct saved_rule *s, const struct aggregate_part *p, int64_t now)
{
    int64_t latest = now + 2 * p->rule->interval;
    return p->rule->identity == s->identity && p->layout.words == s->words && p->layout.input_size == s->input_size &&
           saved_time_valid(s->least, latest) && saved_time_valid(s->most, latest) &&
           saved_time_valid(s->flush_at, latest);
}

/* Of several lanes' states of a rule, the first determines its times. */
static bool restore_rule(struct restoring *r)
{
    if (!saved_take(r, &r->rule, sizeof r->rule))
        return false;
    const struct saved_rule *s = &r->rule;
    r->p = NULL;
    if (r->away > oldest_saved_ms)
        return true;
    for (size_t i = 0; i < r->a->n_parts && r->p == NULL; i++)
        if (saved_rule_fits(s, &r->a->parts[i], r->now))
            r->p = &r->a->parts[i];
    if (r->p && (!r->p->restored || r->p->from.rule)) {
        r->p->restored = r->p->from.rule = true;
        r->p->least = s->least;
        r->p->most = s->most;
        r->p->flush_at = s->flush_at;
        r->p->ignore_first_until = s->ignore_first_until;
        r->p->skip = s->skip;
        r->p->window = s->window & 1;
    }
    r->swap = r->p && r->p->window != (s->window & 1);
    return true;
}

static bool restore_values(struct restoring *r, struct value_set **set)
{
    uint32_t n;
    *set = NULL;
    if (!saved_take(r, &n, sizeof n) || n > r->rest.n / sizeof(double))
        return false;
    for (double v; n > 0 && saved_take(r, &v, sizeof v); n--)
        if (!isnan(v))
            value_set_add(set, v);
    return true;
}

static bool restore_sample(struct restoring *r, struct value_sample **sample)
{
    uint32_t n;
    *sample = NULL;
    if (!saved_take(r, &n, sizeof n) || n > VALUE_SAMPLE)
        return false;
    if (n == 0)
        return true;
    if (n * sizeof(double) + sizeof **sample > r->rest.n)
        return false;
    struct value_sample *s = mem_alloc(sizeof *s + n * sizeof(double));
    bool ok = saved_take(r, s, sizeof *s + n * sizeof(double));
    s->n = s->cap = n;
    s->count = s->count > n ? s->count : n;
    *sample = s;
    return ok;
}

static bool restore_buckets(struct restoring *r, struct vmrange_counts **h)
{
    uint32_t n;
    *h = NULL;
    if (!saved_take(r, &n, sizeof n) || n > r->rest.n / sizeof(struct vmrange_count))
        return false;
    for (struct vmrange_count c; n > 0 && saved_take(r, &c, sizeof c); n--)
        if (c.bucket < VMRANGE_BUCKETS)
            vmrange_add(h, c.bucket, c.count);
    return true;
}

/* What words point to; `g` may be a group that is not kept. */
static bool restore_pointers(struct restoring *r, struct aggregate_output_group *g)
{
    const struct aggregate_layout *l = &r->p->layout;
    bool ok = true;
    for (unsigned i = 0; i < l->windows && l->words > 0; i++) {
        union aggregate_word *w = aggregate_window(r->p, g, i);
        if (l->values)
            ok = restore_values(r, &w[l->values].values) && ok;
        if (l->sample)
            ok = restore_sample(r, &w[l->sample].sample) && ok;
        if (l->buckets)
            ok = restore_buckets(r, &w[l->buckets].buckets) && ok;
    }
    return l->buckets_total ? restore_buckets(r, &g->words[l->buckets_total].buckets) && ok : ok;
}

static void swap_bytes(void *a, void *b, size_t n)
{
    char *x = a, *y = b;
    for (size_t i = 0; i < n; i++) {
        char c = x[i];
        x[i] = y[i];
        y[i] = c;
    }
}

static void swap_group_windows(const struct aggregate_part *p, struct aggregate_output_group *g)
{
    if (p->layout.words > 0 && p->layout.windows == 2)
        swap_bytes(aggregate_window(p, g, 0), aggregate_window(p, g, 1), p->layout.window_words * sizeof *g->words);
}

static void swap_input_windows(const struct aggregate_part *p, struct aggregate_input *in)
{
    const unsigned first = p->layout.dedup ? INPUT_PENDING : INPUT_SEEN | INPUT_RATED, second = first << 1;
    in->flags = (in->flags & ~(first | second)) | (in->flags & first) << 1 | (in->flags & second) >> 1;
    if (p->layout.dedup_twice)
        swap_bytes(aggregate_kept(p, in, 0), aggregate_kept(p, in, 1), sizeof(struct aggregate_pending));
    else if (p->layout.rates_twice) {
        struct aggregate_rates *rates = (struct aggregate_rates *)((char *)in + p->layout.rates);
        swap_bytes(&rates->increase[0], &rates->increase[1], sizeof *rates->increase);
        swap_bytes(&rates->t[0], &rates->t[1], sizeof *rates->t);
    }
}

/* The time away does not count for staleness. */
static int64_t restore_deadline(const struct restoring *r, int64_t saved)
{
    int64_t latest = r->now + r->p->rule->staleness;
    return saved < 0 ? 0 : saved < latest - r->away ? saved + r->away : latest;
}

static bool restore_group(struct restoring *r)
{
    struct saved_group s;
    struct labels labels;
    if (r->p == NULL) /* its size is not known: the rest of the frame is skipped */
        return false;
    if (!saved_take(r, &s, sizeof s) || s.n > SAVE_MOST_LABELS || s.n > r->rest.n ||
        !labels_check((const uint8_t *)r->rest.p, s.n, &labels) || labels_hash(labels) != s.id)
        return false;
    r->rest = str_skip(r->rest, s.n);
    struct aggregate_output_group *g = NULL;
    uint32_t at = table_find(&r->p->groups, s.id), new = at == TABLE_NONE;
    if (new && aggregate_owner(r->a, s.id) == r->a->lane)
        at = aggregate_group_find(r->p, labels, s.id);
    else if (!new && at < r->p->from.groups)
        at = TABLE_NONE;
    g = at != TABLE_NONE ? table_at(&r->p->groups, at) : mem_zalloc(r->p->groups.size);
    aggregate_group_clear(r->p, g);
    bool ok = saved_take(r, g->words, r->p->layout.words * sizeof *g->words) && restore_pointers(r, g);
    if (r->swap)
        swap_group_windows(r->p, g);
    g->deadline = restore_deadline(r, s.deadline);
    g->flags = s.flags & GROUP_LIVE;
    if (at == TABLE_NONE) {
        aggregate_group_clear(r->p, g);
        mem_free(g);
    }
    r->n += at != TABLE_NONE && new;
    return ok;
}

static bool restore_input(struct restoring *r)
{
    uint64_t group;
    if (r->p == NULL || !saved_take(r, &group, sizeof group) || r->rest.n < r->p->layout.input_size)
        return false;
    const void *bytes = r->rest.p;
    uint64_t id;
    memcpy(&id, bytes, sizeof id);
    r->rest = str_skip(r->rest, r->p->layout.input_size);
    uint32_t g = table_find(&r->p->groups, group), at = id ? table_find(&r->p->inputs, id) : TABLE_NONE;
    bool new = at == TABLE_NONE;
    if (g == TABLE_NONE || id == 0 || (!new && at < r->p->from.inputs) ||
        (new && (at = table_add(&r->p->inputs, id)) == TABLE_NONE))
        return true;
    struct aggregate_input *in = table_at(&r->p->inputs, at);
    if (!new)
        ((struct aggregate_output_group *)table_at(&r->p->groups, in->group))->inputs--;
    memcpy(in, bytes, r->p->layout.input_size);
    in->group = g;
    in->flags &= INPUT_DEAD - 1;
    if (r->swap)
        swap_input_windows(r->p, in);
    in->deadline = restore_deadline(r, in->deadline);
    ((struct aggregate_output_group *)table_at(&r->p->groups, g))->inputs++;
    r->n += new;
    return true;
}

/* How long ago the last saving was. */
static int64_t restore_away(struct str bytes, int64_t now)
{
    int64_t last = 0;
    for (struct str frame; saved_frame(&bytes, &frame);) {
        struct saved_rule rule;
        if (frame.p[0] != 'R' || frame.n < 1 + sizeof rule)
            continue;
        memcpy(&rule, frame.p + 1, sizeof rule);
        last = rule.saved_at > last ? rule.saved_at : last;
    }
    return last > 0 && last < now ? now - last : 0;
}

/* Groups that had expired when the last results were written: only those whose state changes are saved again. */
static void restore_expired(const struct restoring *r, struct aggregate_part *p)
{
    const struct aggregate_rule *rule = p->rule;
    int64_t written = p->flush_at - rule->interval - (rule->staleness < rule->interval ? rule->interval : 0);
    for (uint32_t at = p->from.groups; at < p->groups.used; at++) {
        struct aggregate_output_group *g = table_at(&p->groups, at);
        if (g->id == 0 || g->deadline - r->away >= written)
            continue;
        aggregate_group_clear(p, g);
        g->flags &= ~(uint32_t)GROUP_LIVE;
    }
}

size_t aggregate_restore(struct aggregate *a, struct str bytes, int64_t now)
{
    struct restoring r = {.a = a, .now = now, .away = restore_away(bytes, now)};
    for (size_t i = 0; i < a->n_parts; i++) {
        struct aggregate_part *p = &a->parts[i];
        p->from.rule = false;
        p->from.groups = p->groups.used;
        p->from.inputs = p->inputs.used;
    }
    for (struct str frame; saved_frame(&bytes, &frame);) {
        bool ok = true;
        for (r.rest = frame; ok && r.rest.n > 0;) {
            char kind = r.rest.p[0];
            r.rest = str_skip(r.rest, 1);
            ok = kind == 'R' ? restore_rule(&r) : kind == 'G' ? restore_group(&r) : kind == 'I' && restore_input(&r);
        }
    }
    for (size_t i = 0; i < a->n_parts; i++)
        restore_expired(&r, &a->parts[i]);
    return r.n;
}
