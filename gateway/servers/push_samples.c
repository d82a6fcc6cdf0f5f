// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/push_samples.h"

#include "base/hash.h"
#include "gateway/servers/registry.h"

/* Of equal values topk and bottomk take any. What is left of almost equal values are rounding errors, which have no
 * relation to those of another program: 0 here and 1e-16 there. */
static bool push_has_one_result(struct str text)
{
    static const char *const inexact[] = {"topk", "bottomk", "limitk", "limit_ratio", " - ", " % ", "stddev", "stdvar",
                                          "delta(", "deriv(", "predict_linear(", "mad_over_time("};
    for (size_t i = 0; i < LEN(inexact); i++)
        if (str_find_str(text, str_of(inexact[i])) < text.n)
            return false;
    return true;
}

void push_sample_offer(struct server_health *h, const struct push_sample *s)
{
    struct push_samples *p = &h->pushed;
    if ((atomic_fetch_add(&p->n_evaluated, 1) + 1) % PUSH_SAMPLED != 0 || s->text.n > PUSH_SAMPLE_TEXT ||
        !push_has_one_result(s->text))
        return;
    mutex_lock(&h->mutex);
    buf_clear(&p->text);
    buf_add_str(&p->text, s->text);
    p->sample = *s;
    atomic_store(&p->waits, true);
    mutex_unlock(&h->mutex);
}

bool push_sample_take(struct server_health *h, struct arena *a, struct push_sample *out)
{
    struct push_samples *p = &h->pushed;
    bool waits = false;
    if (!atomic_load(&p->waits))
        return false;
    mutex_lock(&h->mutex);
    waits = atomic_exchange(&p->waits, false);
    if (waits) {
        *out = p->sample;
        out->text = arena_str(a, buf_str(&p->text));
    }
    mutex_unlock(&h->mutex);
    return waits;
}

void push_disprove(struct server_health *h, struct str text)
{
    struct push_samples *p = &h->pushed;
    if (push_is_disproved(h, text))
        return;
    if (atomic_exchange(&p->version, atomic_load(&h->version)) != atomic_load(&h->version))
        atomic_store(&p->n_disproved, 0);
    unsigned n = atomic_load(&p->n_disproved);
    atomic_store(&p->disproved[n % PUSH_DISPROVED], hash_bytes(text.p, text.n));
    atomic_store(&p->n_disproved, n + 1);
}

bool push_is_disproved(const struct server_health *h, struct str text)
{
    const struct push_samples *p = &h->pushed;
    unsigned n = atomic_load(&p->n_disproved);
    if (n == 0 || atomic_load(&p->version) != atomic_load(&h->version))
        return false;
    bool found = n >= PUSH_DISPROVED;
    for (unsigned i = 0; i < n && !found; i++)
        found = atomic_load(&p->disproved[i]) == hash_bytes(text.p, text.n);
    return found;
}
