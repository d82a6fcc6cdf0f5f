// SPDX-License-Identifier: Apache-2.0
/* A packed value is one byte of its kind (enum json_token), then
 *
 *   STRING, NUMBER    its text: length as a varint, bytes
 *   OBJECT, ARRAY     the number of its children as a varint, then these; a member's key, as a text, precedes its value
 *
 * A value is packed as far as the table of its resource names its members.
 */
#include "model/discovery/kubernetes/kube_object.h"

#include "base/varint.h"

#include <stdarg.h>

/* ---- what is kept ---- */

/* A member, and which of its members are kept, of an array those of each item; NULL: all. The last one has no name. */
struct kube_field { const char *name; const struct kube_field *fields; };

static const struct kube_field owner_fields[] = {{"kind", NULL}, {"name", NULL}, {"controller", NULL}, {0}};
static const struct kube_field meta_fields[] = {
    {"name", NULL}, {"namespace", NULL}, {"labels", NULL}, {"annotations", NULL}, {0}};
static const struct kube_field pod_meta_fields[] = {
    {"name", NULL}, {"namespace", NULL}, {"labels", NULL}, {"annotations", NULL}, {"uid", NULL},
    {"ownerReferences", owner_fields}, {0}};
static const struct kube_field owned_meta_fields[] = {
    {"name", NULL}, {"namespace", NULL}, {"ownerReferences", owner_fields}, {0}};
static const struct kube_field condition_fields[] = {{"type", NULL}, {"status", NULL}, {0}};

static const struct kube_field node_spec_fields[] = {{"providerID", NULL}, {0}};
static const struct kube_field node_status_fields[] = {
    {"addresses", NULL}, {"conditions", condition_fields}, {"daemonEndpoints", NULL}, {0}};
static const struct kube_field node_fields[] = {
    {"metadata", meta_fields}, {"spec", node_spec_fields}, {"status", node_status_fields}, {0}};
static const struct kube_field namespace_fields[] = {{"metadata", meta_fields}, {0}};

static const struct kube_field port_fields[] = {{"name", NULL}, {"containerPort", NULL}, {"protocol", NULL}, {0}};
static const struct kube_field container_fields[] = {{"name", NULL}, {"image", NULL}, {"ports", port_fields}, {0}};
static const struct kube_field container_status_fields[] = {{"name", NULL}, {"containerID", NULL}, {0}};
static const struct kube_field pod_spec_fields[] = {
    {"nodeName", NULL}, {"containers", container_fields}, {"initContainers", container_fields}, {0}};
static const struct kube_field pod_status_fields[] = {
    {"phase", NULL}, {"podIP", NULL}, {"hostIP", NULL}, {"conditions", condition_fields},
    {"containerStatuses", container_status_fields}, {"initContainerStatuses", container_status_fields}, {0}};
static const struct kube_field pod_fields[] = {
    {"metadata", pod_meta_fields}, {"spec", pod_spec_fields}, {"status", pod_status_fields}, {0}};

static const struct kube_field service_spec_fields[] = {
    {"clusterIP", NULL}, {"externalName", NULL}, {"type", NULL}, {"ports", NULL}, {"loadBalancerIP", NULL},
    {"ipFamilies", NULL}, {"ipFamilyPolicy", NULL}, {0}};
static const struct kube_field service_status_fields[] = {{"loadBalancer", NULL}, {0}};
static const struct kube_field service_fields[] = {
    {"metadata", meta_fields}, {"spec", service_spec_fields}, {"status", service_status_fields}, {0}};
static const struct kube_field endpoints_fields[] = {{"metadata", meta_fields}, {"subsets", NULL}, {0}};
static const struct kube_field slice_fields[] = {
    {"metadata", meta_fields}, {"addressType", NULL}, {"endpoints", NULL}, {"ports", NULL}, {0}};
static const struct kube_field ingress_spec_fields[] = {{"ingressClassName", NULL}, {"tls", NULL}, {"rules", NULL}, {0}};
static const struct kube_field ingress_fields[] = {{"metadata", meta_fields}, {"spec", ingress_spec_fields}, {0}};
static const struct kube_field owned_fields[] = {{"metadata", owned_meta_fields}, {0}};

static const struct kube_field *const resource_fields[KUBE_RESOURCES_N] = {
    [KUBE_NODES] = node_fields,         [KUBE_NAMESPACES] = namespace_fields, [KUBE_PODS] = pod_fields,
    [KUBE_SERVICES] = service_fields,   [KUBE_ENDPOINTS] = endpoints_fields,  [KUBE_ENDPOINTSLICES] = slice_fields,
    [KUBE_INGRESSES] = ingress_fields,  [KUBE_REPLICASETS] = owned_fields,    [KUBE_JOBS] = owned_fields};

static const struct kube_field *find_field(const struct kube_field *fields, struct str name)
{
    for (; fields->name; fields++)
        if (str_is(name, fields->name))
            return fields;
    return NULL;
}

/* ---- packing ---- */

static void pack_number(struct buf *out, uint64_t n)
{
    uint8_t bytes[VARINT_MAX];
    buf_add(out, bytes, (size_t)(varint_put(bytes, n) - bytes));
}

static void pack_text(struct buf *out, struct str text)
{
    pack_number(out, text.n);
    buf_add_str(out, text);
}

static void pack_value(struct buf *out, const struct json_value *v, const struct kube_field *fields);

static void pack_members(struct buf *out, const struct json_value *v, const struct kube_field *fields)
{
    size_t n = 0;
    for (const struct json_value *m = v->first; m; m = m->next)
        n += fields == NULL || find_field(fields, m->key) != NULL;
    pack_number(out, n);
    for (const struct json_value *m = v->first; m; m = m->next) {
        const struct kube_field *field = fields ? find_field(fields, m->key) : NULL;
        if (fields && field == NULL)
            continue;
        pack_text(out, m->key);
        pack_value(out, m, field ? field->fields : NULL);
    }
}

static void pack_value(struct buf *out, const struct json_value *v, const struct kube_field *fields)
{
    buf_add_char(out, (char)v->kind);
    if (v->kind == JSON_OBJECT) {
        pack_members(out, v, fields);
    } else if (v->kind == JSON_ARRAY) {
        pack_number(out, v->n);
        for (const struct json_value *item = v->first; item; item = item->next)
            pack_value(out, item, fields);
    } else if (v->kind == JSON_STRING || v->kind == JSON_NUMBER) {
        pack_text(out, v->text);
    }
}

struct kube_object *kube_object_new(enum kube_resource resource, const struct json_value *item)
{
    struct str namespace = json_value_scalar(kube_at(item, "metadata", "namespace", NULL));
    struct str name = json_value_scalar(kube_at(item, "metadata", "name", NULL));
    struct buf packed = {0};
    if (name.n == 0)
        return NULL;
    pack_value(&packed, item, resource_fields[resource]);
    size_t key = namespace.n + (namespace.n > 0) + name.n;
    struct kube_object *o = mem_alloc(sizeof *o + packed.n + key);
    char *at = (char *)o->packed + packed.n;
    *o = (struct kube_object){.key = {at, key}, .size = (uint32_t)packed.n};
    memcpy(o->packed, packed.p, packed.n);
    if (namespace.n > 0) {
        memcpy(at, namespace.p, namespace.n);
        at[namespace.n] = '/';
    }
    memcpy(at + key - name.n, name.p, name.n);
    buf_free(&packed);
    return o;
}

bool kube_object_equal(const struct kube_object *a, const struct kube_object *b)
{
    return str_eq(a->key, b->key) && str_eq(str_n(a->packed, a->size), str_n(b->packed, b->size));
}

size_t kube_object_bytes(const struct kube_object *o) { return mem_block(sizeof *o + o->size + o->key.n); }

/* ---- unpacking: what pack_value has written ---- */

struct unpacker { const uint8_t *at, *end; struct arena *arena; };

static size_t unpack_number(struct unpacker *u)
{
    uint64_t n = 0;
    u->at = varint_get(u->at, u->end, &n);
    return (size_t)n;
}

static struct str unpack_text(struct unpacker *u)
{
    size_t n = unpack_number(u);
    struct str text = str_n(u->at, n);
    u->at += n;
    return text;
}

static void unpack_value(struct unpacker *u, struct json_value *to)
{
    to->kind = (enum json_token)*u->at++;
    if (to->kind == JSON_STRING || to->kind == JSON_NUMBER)
        to->text = unpack_text(u);
    if (to->kind != JSON_OBJECT && to->kind != JSON_ARRAY)
        return;
    to->n = unpack_number(u);
    struct json_value *items = ARENA_ARRAY(u->arena, struct json_value, to->n);
    for (size_t i = 0; i < to->n; i++) {
        if (to->kind == JSON_OBJECT)
            items[i].key = unpack_text(u);
        unpack_value(u, &items[i]);
        items[i].next = i + 1 < to->n ? &items[i + 1] : NULL;
    }
    to->first = to->n > 0 ? items : NULL;
}

const struct json_value *kube_object_value(const struct kube_object *o, struct arena *a)
{
    struct unpacker u = {o->packed, o->packed + o->size, a};
    struct json_value *value = ARENA_NEW(a, struct json_value);
    unpack_value(&u, value);
    return value;
}

/* ---- reading ---- */

const struct json_value *kube_at(const struct json_value *v, ...)
{
    va_list names;
    const char *name;
    va_start(names, v);
    while (v && (name = va_arg(names, const char *)) != NULL)
        v = json_value_get(v, name);
    va_end(names);
    return v;
}
