// SPDX-License-Identifier: Apache-2.0
#include "writer/send/origins.h"

#include "base/http/via.h"

enum { ID_DIGITS = 16 };

static bool origin_parse(struct str s, uint64_t *id)
{
    *id = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *id = *id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return s.n == ID_DIGITS;
}

/* Its item, a new one, or the one that has not been seen for longest. */
static unsigned origin_slot(struct origins *o, uint64_t id)
{
    unsigned oldest = 0;
    for (unsigned i = 0; i < o->n; i++) {
        if (o->items[i].id == id)
            return i;
        if (o->items[i].seen < o->items[oldest].seen)
            oldest = i;
    }
    return o->n < ORIGINS_MAX ? o->n++ : oldest;
}

void origins_note(struct origins *o, struct str via, int64_t now)
{
    unsigned read = 0;
    for (struct str item; via.n > 0 && read < ORIGINS_MAX; read++) {
        uint64_t id;
        str_cut(&via, ',', &item);
        if (!origin_parse(str_trim(item), &id))
            continue;
        unsigned i = origin_slot(o, id);
        o->items[i].id = id;
        o->items[i].seen = now;
    }
}

void origins_header(const struct origins *o, const char *id, int64_t now, struct buf *out)
{
    buf_printf(out, VIA_HEADER ": %s", id);
    for (unsigned i = 0; i < o->n; i++)
        if (now - o->items[i].seen < ORIGIN_MS)
            buf_printf(out, ", %016llx", (unsigned long long)o->items[i].id);
}
