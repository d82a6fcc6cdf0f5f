#include "writer/recent/part.h"

#include "model/remote_write.h"

enum { FIRST_CHUNK = 48, SWEEP_MS = 10000, MAX_FAMILIES = 20000 };

void part_init(struct part *p, struct recent *store)
{
    memset(p, 0, sizeof *p);
    p->store = store;
    p->evicted_to = INT64_MIN;
    mutex_init(&p->lock);
}

static void count(struct part *p, long long bytes) { atomic_fetch_add_explicit(&p->store->bytes, (size_t)bytes, memory_order_relaxed); }

static void free_series(struct part *p, struct kept_series *s)
{
    uint64_t samples = s->n_late + s->n_hists;
    long long bytes = (long long)(sizeof *s + s->labels.n + s->cap_late * sizeof *s->late + s->cap_hists * sizeof *s->hists);
    for (struct chunk *c = s->first, *next; c; c = next) {
        next = c->next;
        samples += c->n;
        bytes += (long long)chunk_memory(c);
        chunk_unref(c);
    }
    if (s->open) {
        samples += s->open->n;
        bytes += (long long)chunk_memory(s->open);
        chunk_unref(s->open);
    }
    for (uint32_t i = 0; i < s->n_hists; i++) {
        bytes += (long long)s->hists[i].message.n;
        mem_free((void *)(uintptr_t)s->hists[i].message.p);
    }
    count(p, -bytes);
    p->samples -= samples;
    mem_free(s->hists);
    mem_free(s->late);
    mem_free((void *)(uintptr_t)s->labels.p);
    mem_free(s);
}

void part_free(struct part *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->series[i])
            free_series(p, p->series[i]);
    mem_free(p->series);
    map_free(&p->by_labels);
    index_free(&p->index);
    for (size_t i = 0; i < p->n_families; i++)
        mem_free((void *)(uintptr_t)p->families[i].key.p);
    mem_free(p->families);
    map_free(&p->by_family);
    mutex_free(&p->lock);
}

/* --- series --------------------------------------------------------------------------------------------------------- */

static struct str label_key(struct labels l) { return str_n(l.p, l.n); }

static struct kept_series *add_series(struct part *p, struct labels labels)
{
    struct kept_series *s = mem_zalloc(sizeof *s);
    s->labels = labels;
    s->labels.p = mem_dup(labels.p, labels.n);
    s->id = (uint32_t)p->n;
    s->next = UINT32_MAX;
    s->newest = INT64_MIN;
    mem_grow(&p->series, &p->_cap, p->n + 1, sizeof *p->series);
    p->series[p->n++] = s;
    p->n_alive++;
    map_set(&p->by_labels, label_key(s->labels), s);
    index_add(&p->index, s->labels, s->id);
    count(p, (long long)(sizeof *s + labels.n));
    return s;
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

/* `before` is the series that came before this one in the batch. */
static struct kept_series *find_series(struct part *p, const uint8_t *bytes, size_t n, struct kept_series *before)
{
    if (before && before->next < p->n) {
        struct kept_series *guess = p->series[before->next];
        if (guess && guess->labels.n == n && memcmp(guess->labels.p, bytes, n) == 0)
            return guess;
    }
    struct kept_series *s = map_get(&p->by_labels, str_n(bytes, n));
    if (s == NULL)
        s = add_series(p, (struct labels){bytes, (uint32_t)n, count_labels(bytes, bytes + n)});
    if (before)
        before->next = s->id;
    return s;
}

/* --- samples -------------------------------------------------------------------------------------------------------- */

static void seal(struct part *p, struct kept_series *s)
{
    size_t before = chunk_memory(s->open);
    struct chunk *c = chunk_seal(s->open);
    count(p, (long long)chunk_memory(c) - (long long)before);
    s->open = NULL;
    if (s->last)
        s->last->next = c;
    else
        s->first = c;
    s->last = c;
}

/* A sample that is not newer than the newest: into its place among the late ones. The first value for a time stays. */
static bool add_late(struct part *p, struct kept_series *s, int64_t t, double v)
{
    uint32_t at = s->n_late;
    while (at > 0 && s->late[at - 1].t >= t)
        at--;
    if (at < s->n_late && s->late[at].t == t)
        return false;
    if (s->n_late == s->cap_late) {
        uint32_t cap = s->cap_late ? s->cap_late * 2 : 4;
        s->late = mem_realloc(s->late, cap * sizeof *s->late);
        count(p, (long long)((cap - s->cap_late) * sizeof *s->late));
        s->cap_late = cap;
    }
    memmove(&s->late[at + 1], &s->late[at], (s->n_late - at) * sizeof *s->late);
    s->late[at] = (struct sample){t, v};
    s->n_late++;
    return true;
}

static void add_sample(struct part *p, struct kept_series *s, int64_t t, double v, int64_t oldest)
{
    if (t < oldest) {
        p->rejected++;
        return;
    }
    bool in_order = s->open && s->open->n > 0 ? t > s->tail.t : s->last == NULL || t > s->last->t_max;
    if (!in_order) {
        if ((s->open && s->open->n > 0 && t == s->tail.t) || !add_late(p, s, t, v))
            return;
        p->samples++;
        return;
    }
    if (s->open && chunk_full(s->open))
        seal(p, s);
    size_t before = s->open ? chunk_memory(s->open) : 0;
    if (s->open == NULL)
        s->open = chunk_new(FIRST_CHUNK);
    s->open = chunk_append(s->open, &s->tail, t, v);
    size_t after = chunk_memory(s->open);
    if (after != before)
        count(p, (long long)(after - before));
    if (t > s->newest)
        s->newest = t;
    p->samples++;
}

static void add_histogram(struct part *p, struct kept_series *s, struct str message, int64_t oldest)
{
    int64_t t = rw_hist_time(message);
    uint32_t at = s->n_hists;
    while (at > 0 && s->hists[at - 1].t >= t)
        at--;
    if (t < oldest || (at < s->n_hists && s->hists[at].t == t))
        return;
    if (s->n_hists == s->cap_hists) {
        uint32_t cap = s->cap_hists ? s->cap_hists * 2 : 4;
        s->hists = mem_realloc(s->hists, cap * sizeof *s->hists);
        count(p, (long long)((cap - s->cap_hists) * sizeof *s->hists));
        s->cap_hists = cap;
    }
    memmove(&s->hists[at + 1], &s->hists[at], (s->n_hists - at) * sizeof *s->hists);
    s->hists[at] = (struct kept_histogram){t, str_n(mem_dup(message.p, message.n), message.n)};
    s->n_hists++;
    if (t > s->newest)
        s->newest = t;
    count(p, (long long)message.n);
    p->samples++;
}

/* --- reading what a pile holds -------------------------------------------------------------------------------------- */

enum { FIELD_LABEL = 1, FIELD_SAMPLE = 2, FIELD_HISTOGRAM = 4, FIELD_SERIES = 1, FIELD_METADATA = 3 };

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

static struct kept_series *take_series(struct part *p, struct str message, struct kept_series *before, int64_t oldest)
{
    const uint8_t *at = (const uint8_t *)message.p, *end = at + message.n, *labels = at, *labels_end = at;
    struct pb_field f;
    struct kept_series *s = NULL;
    while (pb_next(&at, end, &f)) {
        if (f.number == FIELD_LABEL) {
            labels_end = at;
            continue;
        }
        if (s == NULL)
            s = find_series(p, labels, (size_t)(labels_end - labels), before);
        if (f.number == FIELD_SAMPLE) {
            struct sample v = read_sample(f.bytes);
            add_sample(p, s, v.t, v.v, oldest);
        } else if (f.number == FIELD_HISTOGRAM) {
            add_histogram(p, s, f.bytes, oldest);
        }
    }
    return s ? s : before;
}

/* Families are few; key is "family\0help\0unit" in one piece. */
static void take_metadata(struct part *p, struct str message)
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
    if (m.family.n == 0 || p->n_families >= MAX_FAMILIES || map_find(&p->by_family, m.family))
        return;
    char *text = mem_alloc(m.family.n + m.help.n + m.unit.n + 1);
    memcpy(text, m.family.p, m.family.n);
    if (m.help.n)
        memcpy(text + m.family.n, m.help.p, m.help.n);
    if (m.unit.n)
        memcpy(text + m.family.n + m.help.n, m.unit.p, m.unit.n);
    struct metadata kept = {str_n(text, m.family.n), str_n(text + m.family.n, m.help.n), str_n(text + m.family.n + m.help.n, m.unit.n), m.type};
    mem_grow(&p->families, &p->_cap_families, p->n_families + 1, sizeof *p->families);
    p->families[p->n_families].key = kept.family;
    p->families[p->n_families++].metadata = kept;
    bool added;
    map_add(&p->by_family, kept.family, &added)->value.u = p->n_families;
}

void part_take(struct part *p, struct str bytes, int64_t now)
{
    const uint8_t *at = (const uint8_t *)bytes.p, *end = at + bytes.n;
    int64_t oldest = p->store->retention ? now - p->store->retention : INT64_MIN;
    struct pb_field f;
    struct kept_series *before = NULL;
    while (pb_next(&at, end, &f)) {
        if (f.number == FIELD_SERIES)
            before = take_series(p, f.bytes, before, oldest);
        else if (f.number == FIELD_METADATA)
            take_metadata(p, f.bytes);
    }
    if (now - p->swept >= SWEEP_MS || atomic_load_explicit(&p->store->bytes, memory_order_relaxed) + p->index.bytes > p->store->budget)
        part_evict(p, now);
}

/* --- eviction ------------------------------------------------------------------------------------------------------- */

static void gone(struct part *p, uint64_t samples, int64_t to)
{
    p->evicted_samples += samples;
    if (to > p->evicted_to)
        p->evicted_to = to;
    long long from = atomic_load(&p->store->from);
    while (to >= from && !atomic_compare_exchange_weak(&p->store->from, &from, to + 1))
        ;
}

static void drop_first_chunk(struct part *p, struct kept_series *s)
{
    struct chunk *c = s->first;
    s->first = c->next;
    if (s->first == NULL)
        s->last = NULL;
    count(p, -(long long)chunk_memory(c));
    p->samples -= c->n;
    gone(p, c->n, c->t_max);
    chunk_unref(c);
}

static void drop_late(struct part *p, struct kept_series *s, int64_t edge)
{
    uint32_t k = 0;
    while (k < s->n_late && s->late[k].t <= edge)
        k++;
    if (k > 0) {
        gone(p, k, s->late[k - 1].t);
        p->samples -= k;
        s->n_late -= k;
        memmove(s->late, s->late + k, s->n_late * sizeof *s->late);
    }
    for (k = 0; k < s->n_hists && s->hists[k].t <= edge; k++) {
        count(p, -(long long)s->hists[k].message.n);
        mem_free((void *)(uintptr_t)s->hists[k].message.p);
    }
    if (k > 0) {
        gone(p, k, s->hists[k - 1].t);
        p->samples -= k;
        s->n_hists -= k;
        memmove(s->hists, s->hists + k, s->n_hists * sizeof *s->hists);
    }
}

static void rebuild_index(struct part *p)
{
    size_t n = 0;
    index_clear(&p->index);
    for (size_t i = 0; i < p->n; i++)
        if (p->series[i]) {
            struct kept_series *s = p->series[n] = p->series[i];
            s->id = (uint32_t)n++;
            s->next = UINT32_MAX;
            index_add(&p->index, s->labels, s->id);
        }
    p->n = n;
    p->n_gone = 0;
}

static void drop_series(struct part *p, struct kept_series *s)
{
    uint64_t samples = s->open ? s->open->n : 0;
    if (samples > 0)
        gone(p, samples, s->newest);
    p->evicted_series++;
    map_remove(&p->by_labels, label_key(s->labels));
    p->series[s->id] = NULL;
    p->n_alive--;
    p->n_gone++;
    free_series(p, s);
}

/* Everything not newer than `edge` goes: whole chunks that end before it, late samples, series that fell silent before it. */
static void drop_until(struct part *p, int64_t edge)
{
    for (size_t i = 0; i < p->n; i++) {
        struct kept_series *s = p->series[i];
        if (s == NULL)
            continue;
        while (s->first && s->first->t_max <= edge)
            drop_first_chunk(p, s);
        drop_late(p, s, edge);
        if (s->newest <= edge)
            drop_series(p, s);
    }
    if (p->n_gone > 64 && p->n_gone > p->n / 8)
        rebuild_index(p);
}

/* Whole time goes and not single series: the oldest eighth of what is there, until there is room. So that the store stays
 * complete from its edge on, which is what makes it a replica that can be trusted. */
static int64_t oldest_sample(const struct part *p)
{
    int64_t oldest = INT64_MAX;
    for (size_t i = 0; i < p->n; i++) {
        const struct kept_series *s = p->series[i];
        if (s == NULL)
            continue;
        const struct chunk *c = s->first ? s->first : s->open;
        if (c && c->n > 0 && c->t_min < oldest)
            oldest = c->t_min;
        if (s->n_late > 0 && s->late[0].t < oldest)
            oldest = s->late[0].t;
        if (s->n_hists > 0 && s->hists[0].t < oldest)
            oldest = s->hists[0].t;
    }
    return oldest;
}

static void seal_open_before(struct part *p, int64_t edge)
{
    for (size_t i = 0; i < p->n; i++) {
        struct kept_series *s = p->series[i];
        if (s && s->open && s->open->n > 0 && s->open->t_min <= edge)
            seal(p, s);
    }
}

void part_evict(struct part *p, int64_t now)
{
    struct recent *r = p->store;
    p->swept = now;
    if (r->retention)
        drop_until(p, now - r->retention);
    int64_t oldest = oldest_sample(p);
    for (int eighth = 1; eighth <= 8 && oldest < now && atomic_load(&r->bytes) + p->index.bytes > r->budget; eighth++) {
        int64_t edge = oldest + (now - oldest) / 8 * eighth;
        seal_open_before(p, edge);
        drop_until(p, eighth == 8 ? now : edge);
    }
}
