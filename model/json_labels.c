// SPDX-License-Identifier: Apache-2.0
#include "model/json_labels.h"

void json_labels_start(struct json_labels *l)
{
    l->bytes.max = LABELS_MAX_BYTES;
    buf_clear(&l->bytes);
}

void json_labels_name(struct json_labels *l, struct str name)
{
    buf_clear(&l->name);
    buf_add_str(&l->name, name);
}

void json_labels_add(struct json_labels *l, struct str name, struct str value)
{
    if (value.n > 0)
        labels_append(&l->bytes, name, value);
}

void json_labels_value(struct json_labels *l, struct str value) { json_labels_add(l, buf_str(&l->name), value); }

bool json_labels_end(struct json_labels *l, struct labels *out, struct err *err)
{
    const uint8_t *p = (const uint8_t *)l->bytes.p;
    struct label label;
    struct str name;
    if (l->bytes.over)
        return err_set(err, ERR_BAD_GATEWAY, "a series has more than %d bytes of labels", LABELS_MAX_BYTES);
    if (l->bytes.n == 0) {
        *out = (struct labels){0};
        return true;
    }
    if (labels_check(p, l->bytes.n, out))
        return true;
    struct labels_iter it = {p, p + l->bytes.n};
    builder_start(&l->builder, (struct labels){0});
    while (labels_next_checked(&it, &label))
        builder_add(&l->builder, label.name, label.value);
    if (builder_duplicate(&l->builder, &name))
        return err_set(err, ERR_BAD_GATEWAY, "a series has the duplicate label \"%.*s\"", STR_ARG(name));
    buf_clear(&l->sorted);
    *out = builder_append(&l->builder, &l->sorted);
    return labels_check(out->p, out->n, out) || err_set(err, ERR_BAD_GATEWAY, "a series has invalid labels");
}

void json_labels_free(struct json_labels *l)
{
    buf_free(&l->name);
    buf_free(&l->bytes);
    buf_free(&l->sorted);
    builder_free(&l->builder);
}
