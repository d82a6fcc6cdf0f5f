// SPDX-License-Identifier: Apache-2.0
/* Appending to a stripe: finding or creating series by their label bytes, and parsing the series and metadata of
 * pending blocks. */
#include "writer/recent/stripe.h"

#include "model/remote_write.h"
#include "base/protobuf.h"

enum { MAX_FAMILIES = 20000 };
/* The part of a sweep that runs with each batch: see stripe_sweep. A batch of 32 KiB adds about 200 new series, 100
 * KiB. A sixteenth of a budget of 64 MiB is 40 of them, in which 160,000 series are checked; about 200,000 fit into it.
 * */
enum { SWEEP_MIN = 1024, SWEEP_SHARE = 2, SWEEP_MAX = 4096 };
/* What a series takes in the table of labels, three quarters full at most, and in the lists of ids. */
enum { TABLE_BYTES = 2 * sizeof(struct map_entry) + 2 * sizeof(struct recent_series *) + 2 * sizeof(uint16_t) };

void stripe_init(struct stripe *p, struct recent *store)
{
    memset(p, 0, sizeof *p);
    p->store = store;
    p->room_edge = INT64_MIN;
    mutex_init(&p->lock, RANK_STRIPE);
    mutex_init(&p->next, RANK_STRIPE_NEXT);
    mutex_init(&p->queries, RANK_STRIPE_QUERIES);
    p->cover = p->since = (struct time_span){INT64_MAX, INT64_MIN};
    p->stalest = INT64_MAX;
}

void stripe_count(struct stripe *p, long long bytes)
{
    p->bytes += (size_t)bytes;
    atomic_fetch_add_explicit(&p->store->bytes, (size_t)bytes, memory_order_relaxed);
}

static void count_index(struct stripe *p)
{
    stripe_count(p, (long long)p->index.bytes - (long long)p->index_counted);
    p->index_counted = p->index.bytes;
}

void stripe_free(struct stripe *p)
{
    stripe_free_staged(p);
    for (size_t i = 0; i < p->n; i++)
        if (p->series[i])
            recent_series_free(p, p->series[i]);
    mem_free(p->series);
    mem_free(p->free_ids);
    mem_free(p->listed);
    map_free(&p->by_labels);
    index_free(&p->index);
    for (size_t i = 0; i < p->n_families; i++)
        mem_free(p->families[i].text);
    mem_free(p->families);
    map_free(&p->by_family);
    mutex_free(&p->lock);
    mutex_free(&p->next);
    mutex_free(&p->queries);
}

/* --- series ------------------------------------------------------------------------------------------------------- */

static struct str label_key(const struct recent_series *s) { return str_n(s->label_text, s->label_bytes); }

static uint32_t stripe_new_id(struct stripe *p)
{
    if (p->n_free > 0) {
        p->reused++;
        return p->free_ids[--p->n_free];
    }
    mem_grow(&p->series, &p->_cap, p->n + 1, sizeof *p->series);
    mem_grow(&p->listed, &p->_cap_listed, p->n + 1, sizeof *p->listed);
    return (uint32_t)p->n++;
}

static struct recent_series *stripe_add_series(struct stripe *p, struct labels labels)
{
    struct recent_series *s = recent_series_new(p, labels);
    s->id = stripe_new_id(p);
    p->series[s->id] = s;
    p->n_alive++;
    p->n_bare++;
    map_set(&p->by_labels, label_key(s), s);
    index_add(&p->index, recent_series_labels(s), s->id);
    stripe_count(p, TABLE_BYTES);
    count_index(p);
    return s;
}

void stripe_note_first(struct stripe *p, int64_t t)
{
    p->n_bare--;
    if (t < p->stalest)
        p->stalest = t;
    if (t < p->sweep.stalest)
        p->sweep.stalest = t;
}

bool stripe_all_overlap(const struct stripe *p, int64_t t_min, int64_t t_max)
{
    return p->n_bare == 0 && t_min <= p->stalest && t_max >= p->cover.newest && t_max >= p->since.newest;
}

static bool stripe_is_removed(const void *arg, uint32_t id) { return ((const struct stripe *)arg)->series[id] == NULL; }

static void stripe_id_released(void *arg, uint32_t id)
{
    struct stripe *p = arg;
    if (--p->listed[id] > 0)
        return;
    mem_grow(&p->free_ids, &p->_cap_free, p->n_free + 1, sizeof *p->free_ids);
    p->free_ids[p->n_free++] = id;
}

void stripe_drop_series(struct stripe *p, struct recent_series *s)
{
    p->evicted_series++;
    p->n_bare -= s->newest == INT64_MIN;
    map_remove(&p->by_labels, label_key(s));
    p->series[s->id] = NULL;
    p->listed[s->id] = (uint16_t)s->label_count;
    index_remove(&p->index, recent_series_labels(s), s->id,
                 &(struct index_owner){stripe_is_removed, stripe_id_released, p});
    if (s->label_count == 0) {
        p->listed[s->id] = 1;
        stripe_id_released(p, s->id);
    }
    p->pruned = p->index.emptied;
    count_index(p);
    stripe_count(p, -(long long)TABLE_BYTES);
    recent_series_free(p, s);
    if (--p->n_alive == 0)
        p->n = p->n_free = 0;
}

static uint32_t count_labels(const uint8_t *p, const uint8_t *end)
{
    struct labels_iter it = {p, end};
    struct label l;
    uint32_t n = 0;
    while (labels_next(&it, &l))
        n++;
    return n;
}

/* `before` is the preceding series of the batch. */
static struct recent_series *find_series(struct stripe *p, const uint8_t *bytes, size_t n, struct recent_series *before)
{
    if (before && before->next < p->n) {
        struct recent_series *guess = p->series[before->next];
        if (guess && guess->label_bytes == n && memcmp(guess->label_text, bytes, n) == 0)
            return guess;
    }
    struct recent_series *s = map_get(&p->by_labels, str_n(bytes, n));
    if (s == NULL)
        s = stripe_add_series(p, (struct labels){bytes, (uint32_t)n, count_labels(bytes, bytes + n)});
    if (before)
        before->next = s->id;
    return s;
}

/* --- parsing pending blocks --------------------------------------------------------------------------------------- */

enum { FIELD_LABEL = 1, FIELD_SAMPLE = 2, FIELD_EXEMPLAR = 3, FIELD_HISTOGRAM = 4, FIELD_SERIES = 1,
      FIELD_METADATA = 3 };

static struct sample read_sample(struct str message)
{
    const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
    struct pb_field f;
    struct sample s = {0, 0};
    while (pb_next(&p, end, &f)) {
        if (f.number == 1)
            s.v = double_from_bits(f.value);
        else if (f.number == 2)
            s.t = (int64_t)f.value;
    }
    return s;
}

struct period { int64_t from, to; };

static bool in_period(struct stripe *p, struct period taken, int64_t t)
{
    bool in = t >= taken.from && t <= taken.to;
    p->rejected += !in;
    if (in && t < p->since.oldest)
        p->since.oldest = t;
    if (in && t > p->since.newest)
        p->since.newest = t;
    return in;
}

static struct recent_series *stripe_ingest_series(struct stripe *p, struct str message, struct recent_series *before,
                                                  struct period taken)
{
    const uint8_t *at = (const uint8_t *)message.p, *end = at + message.n, *labels = at, *labels_end = at;
    struct pb_field f;
    struct recent_series *s = NULL;
    while (pb_next(&at, end, &f)) {
        if (f.number == FIELD_LABEL) {
            labels_end = at;
            continue;
        }
        if (s == NULL)
            s = find_series(p, labels, (size_t)(labels_end - labels), before);
        if (f.number == FIELD_SAMPLE) {
            struct sample v = read_sample(f.bytes);
            if (in_period(p, taken, v.t))
                recent_series_add_sample(p, s, v.t, v.v);
        } else if (f.number == FIELD_HISTOGRAM) {
            if (in_period(p, taken, rw_hist_time(f.bytes)))
                recent_series_add_histogram(p, s, f.bytes);
        } else if (f.number == FIELD_EXEMPLAR) {
            int64_t t = rw_exemplar_time(f.bytes);
            if (t >= taken.from && t <= taken.to)
                recent_series_add_exemplar(p, s, f.bytes);
        }
    }
    if (s)
        recent_series_settle(p, s);
    return s ? s : before;
}

static struct str stripe_copy_text(char *text, size_t *n, struct str s)
{
    if (s.n > 0)
        memcpy(text + *n, s.p, s.n);
    *n += s.n;
    return str_n(text + *n - s.n, s.n);
}

/* Families are few and never dropped; all of them may use an eighth of the budget. Family, help and unit are one
 * allocation. */
static void keep_family(struct stripe *p, const struct metadata *m)
{
    size_t bytes = m->family.n + m->help.n + m->unit.n + sizeof *p->families + 2 * sizeof(struct map_entry), n = 0;
    if (p->n_families >= MAX_FAMILIES || p->family_bytes + bytes > p->store->budget / 8 / p->store->n_stripes)
        return;
    p->family_bytes += bytes;
    stripe_count(p, (long long)bytes);
    char *text = mem_alloc(m->family.n + m->help.n + m->unit.n);
    struct metadata kept = {.type = m->type};
    kept.family = stripe_copy_text(text, &n, m->family);
    kept.help = stripe_copy_text(text, &n, m->help);
    kept.unit = stripe_copy_text(text, &n, m->unit);
    mem_grow(&p->families, &p->_cap_families, p->n_families + 1, sizeof *p->families);
    p->families[p->n_families].text = text;
    p->families[p->n_families++].metadata = kept;
    bool added;
    map_add(&p->by_family, kept.family, &added)->value.u = p->n_families;
}

static void stripe_add_metadata(struct stripe *p, struct str message)
{
    const uint8_t *at = (const uint8_t *)message.p, *end = at + message.n;
    struct pb_field f;
    struct metadata m = {.type = METRIC_UNKNOWN};
    while (pb_next(&at, end, &f)) {
        switch (f.number) {
        case 1: m.type = (enum metric_type)f.value; break;
        case 2: m.family = f.bytes; break;
        case 4: m.help = f.bytes; break;
        case 5: m.unit = f.bytes; break;
        default: break;
        }
    }
    if (m.family.n > 0 && map_find(&p->by_family, m.family) == NULL)
        keep_family(p, &m);
}

static void publish(atomic_ullong *to, uint64_t v) { atomic_store_explicit(to, v, memory_order_relaxed); }

void stripe_publish(struct stripe *p)
{
    publish(&p->counts.series, p->n_alive);
    publish(&p->counts.samples, p->samples);
    publish(&p->counts.bytes, p->bytes);
    publish(&p->counts.index_bytes, p->index_counted);
    publish(&p->counts.evicted_samples, p->evicted_samples);
    publish(&p->counts.evicted_series, p->evicted_series);
    publish(&p->counts.rejected, p->rejected);
}

void stripe_take(struct stripe *p, struct str bytes, int64_t now)
{
    const uint8_t *at = (const uint8_t *)bytes.p, *end = at + bytes.n;
    int64_t retention = p->store->retention;
    struct period taken = {INT64_MIN, INT64_MAX};
    if (retention)
        taken = (struct period){now - retention, now + retention};
    struct pb_field f;
    struct recent_series *before = NULL;
    while (pb_next(&at, end, &f)) {
        if (f.number == FIELD_SERIES)
            before = stripe_ingest_series(p, f.bytes, before, taken);
        else if (f.number == FIELD_METADATA)
            stripe_add_metadata(p, f.bytes);
    }
    size_t work = SWEEP_MIN + bytes.n / SWEEP_SHARE;
    if (atomic_load_explicit(&p->store->bytes, memory_order_relaxed) > p->store->budget)
        stripe_evict(p, now);
    else
        stripe_sweep(p, now, work < SWEEP_MAX ? work : SWEEP_MAX);
}
