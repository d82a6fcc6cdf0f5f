// SPDX-License-Identifier: Apache-2.0
/* Targets of objects of Kubernetes, in the shapes of https://kubernetes.io/docs/reference/kubernetes-api/: what the peers of the
 * system test do not have yet, and objects that are not as they should be. */
#include "model/discovery/kubernetes/kube_targets.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

enum { OTHERS_MAX = 4 };

struct kube_fixture {
    struct kube_object *others[OTHERS_MAX]; enum kube_resource resources[OTHERS_MAX]; size_t n;
    size_t asked;
};

static struct kube_object *object_of(enum kube_resource resource, const char *text)
{
    struct arena a;
    struct err err;
    struct json_value_reader reader;
    arena_init(&a, 0);
    json_value_reader_init(&reader, &a);
    if (!json_value_reader_feed(&reader, str_of(text), &err))
        fail_msg("%s", err.text);
    const struct json_value *v = json_value_reader_finish(&reader, &err);
    assert_non_null(v);
    struct kube_object *o = kube_object_new(resource, v);
    json_value_reader_free(&reader);
    arena_free(&a);
    return o;
}

static void fixture_put(struct kube_fixture *f, enum kube_resource resource, const char *text)
{
    f->resources[f->n] = resource;
    f->others[f->n++] = object_of(resource, text);
}

static const struct kube_object *fixture_find(void *arg, enum kube_resource resource, struct str namespace, struct str name)
{
    struct kube_fixture *f = arg;
    struct buf key = {0};
    const struct kube_object *found = NULL;
    f->asked++;
    buf_printf(&key, "%.*s%s%.*s", STR_ARG(namespace), namespace.n > 0 ? "/" : "", STR_ARG(name));
    for (size_t i = 0; i < f->n; i++)
        if (f->resources[i] == resource && str_eq(f->others[i]->key, buf_str(&key)))
            found = f->others[i];
    buf_free(&key);
    return found;
}

static void fixture_clear(struct kube_fixture *f)
{
    while (f->n > 0)
        mem_free(f->others[--f->n]);
}

/* The targets as lines: address, then the labels in their order. */
static struct buf targets_of(struct kube_fixture *f, struct kube_attach attach, enum kube_role role, const char *text)
{
    static const enum kube_resource of_role[] = {
        [KUBE_ROLE_NODE] = KUBE_NODES, [KUBE_ROLE_POD] = KUBE_PODS, [KUBE_ROLE_SERVICE] = KUBE_SERVICES,
        [KUBE_ROLE_ENDPOINTS] = KUBE_ENDPOINTS, [KUBE_ROLE_ENDPOINTSLICE] = KUBE_ENDPOINTSLICES,
        [KUBE_ROLE_INGRESS] = KUBE_INGRESSES};
    struct kube_object *o = object_of(of_role[role], text);
    struct kube_view view = {.attach = attach, .find = fixture_find, .arg = f};
    struct sd_build build;
    struct arena scratch;
    struct buf out = {0};
    assert_non_null(o);
    arena_init(&scratch, 0);
    sd_build_start(&build);
    kube_build_targets(&build, &scratch, role, o, &view);
    for (size_t i = 0; i < build.groups->n; i++) {
        const struct static_group *g = &build.groups->items[i];
        buf_printf(&out, "%.*s", STR_ARG(g->targets.items[0]));
        for (size_t k = 0; k < g->labels.n; k++) {
            struct str name = g->labels.keys[k], meta = STR("__meta_kubernetes_");
            if (str_starts(name, meta))
                name = str_skip(name, meta.n);
            buf_printf(&out, " %.*s=%.*s", STR_ARG(name), STR_ARG(g->labels.values[k]));
        }
        buf_add_char(&out, '\n');
    }
    sd_build_drop(&build);
    arena_free(&scratch);
    mem_free(o);
    return out;
}

static void expect_targets(struct kube_fixture *f, struct kube_attach attach, enum kube_role role, const char *text, const char *targets)
{
    struct buf out = targets_of(f, attach, role, text);
    assert_string_equal(buf_z(&out), targets);
    buf_free(&out);
}

static void nodes(void **state UNUSED)
{
    struct kube_fixture f = {.n = 0};
    expect_targets(&f, (struct kube_attach){0}, KUBE_ROLE_NODE,
        "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"a.b/c\":\"x\"}},\"spec\":{\"providerID\":\"p\"},\"status\":{\"addresses\":["
        "{\"type\":\"Hostname\",\"address\":\"h\"},{\"type\":\"ExternalIP\",\"address\":\"1.1.1.1\"},{\"type\":\"ExternalIP\",\"address\":\"2.2.2.2\"}],"
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\"},{\"type\":\"Disk.Pressure\",\"status\":\"True\"}],"
        "\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":10250}}}}",
        "1.1.1.1:10250 node_provider_id=p node_condition_ready=unknown node_condition_disk_pressure=true node_name=n1 "
        "node_label_a_b_c=x node_labelpresent_a_b_c=true instance=n1 node_address_ExternalIP=2.2.2.2 node_address_ExternalIP=1.1.1.1 "
        "node_address_Hostname=h\n");
    expect_targets(&f, (struct kube_attach){0}, KUBE_ROLE_NODE, "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"addresses\":[]}}", "");
}

/* A list may be as long as an object allows. */
static void a_node_with_many_addresses(void **state UNUSED)
{
    enum { MANY = 300000 };
    struct kube_fixture f = {.n = 0};
    struct buf text = {0}, out;
    buf_add_z(&text, "{\"metadata\":{\"name\":\"n\"},\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"1.1.1.1\"}");
    for (size_t i = 0; i < MANY; i++)
        buf_add_z(&text, ",{\"type\":\"T\"}");
    buf_add_z(&text, "]}}");
    out = targets_of(&f, (struct kube_attach){0}, KUBE_ROLE_NODE, buf_z(&text));
    assert_string_equal(buf_z(&out), "1.1.1.1:0 node_name=n instance=n node_address_InternalIP=1.1.1.1\n");
    buf_free(&out);
    buf_free(&text);
}

#define POD "{\"metadata\":{\"name\":\"p\",\"namespace\":\"s\",\"uid\":\"u\",\"ownerReferences\":[{\"kind\":\"X\",\"name\":\"no\"}," \
    "{\"kind\":\"%s\",\"name\":\"o\",\"controller\":true}]},\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}," \
    "\"status\":{\"podIP\":\"10.0.0.1\",\"phase\":\"Running\"}}"

static void owners_of_pods(void **state UNUSED)
{
    struct kube_fixture f = {.n = 0};
    struct buf replica = {0}, job = {0};
    struct kube_attach all = {.deployment = true, .job = true, .cronjob = true};
    buf_printf(&replica, POD, "ReplicaSet");
    buf_printf(&job, POD, "Job");
    fixture_put(&f, KUBE_REPLICASETS, "{\"metadata\":{\"name\":\"o\",\"namespace\":\"s\",\"ownerReferences\":[{\"kind\":\"Deployment\",\"name\":\"d\",\"controller\":true}]}}");
    fixture_put(&f, KUBE_JOBS, "{\"metadata\":{\"name\":\"o\",\"namespace\":\"s\",\"ownerReferences\":[{\"kind\":\"CronJob\",\"name\":\"j\",\"controller\":true}]}}");
#define COMMON "10.0.0.1 namespace=s pod_ip=10.0.0.1 pod_ready=unknown pod_phase=Running pod_node_name=n pod_uid=u pod_name=p "
#define THE_CONTAINER "pod_container_name=c pod_container_image=i pod_container_init=false\n"
    expect_targets(&f, all, KUBE_ROLE_POD, buf_z(&replica),
                   COMMON "pod_controller_kind=ReplicaSet pod_controller_name=o pod_deployment_name=d " THE_CONTAINER);
    expect_targets(&f, all, KUBE_ROLE_POD, buf_z(&job),
                   COMMON "pod_controller_kind=Job pod_controller_name=o pod_job_name=o pod_cronjob_name=j " THE_CONTAINER);
    f.asked = 0;
    expect_targets(&f, (struct kube_attach){0}, KUBE_ROLE_POD, buf_z(&job), COMMON "pod_controller_kind=Job pod_controller_name=o " THE_CONTAINER);
    assert_int_equal(f.asked, 0);
    /* the node does not exist, or a selector excludes it */
    expect_targets(&f, (struct kube_attach){.node = true}, KUBE_ROLE_POD, buf_z(&job), "");
    fixture_clear(&f);
    buf_free(&replica);
    buf_free(&job);
}

static void balancers(void **state UNUSED)
{
    struct kube_fixture f = {.n = 0};
    const char *service = "{\"metadata\":{\"name\":\"lb\",\"namespace\":\"s\"},\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"c\","
        "\"loadBalancerIP\":\"old\",\"ports\":[{\"port\":1}]},\"status\":{\"loadBalancer\":{\"ingress\":%s}}}";
    static const struct { const char *ingress, *ip; } cases[] = {
        {"[]", "old"}, {"null", "old"}, {"[{\"hostname\":\"h\"}]", "old"}, {"[{\"ip\":\"a\"},{\"hostname\":\"h\"},{\"ip\":\"b\"}]", "a,b"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf text = {0}, wanted = {0};
        buf_printf(&text, service, cases[i].ingress);
        buf_printf(&wanted, "lb.s.svc:1 namespace=s service_name=lb service_port_number=1 service_type=LoadBalancer service_cluster_ip=c "
                   "service_loadbalancer_ip=%s\n", cases[i].ip);
        expect_targets(&f, (struct kube_attach){0}, KUBE_ROLE_SERVICE, buf_z(&text), buf_z(&wanted));
        buf_free(&text);
        buf_free(&wanted);
    }
}

/* Of a service with addresses of both families. */
static void slices_of_the_second_family(void **state UNUSED)
{
    struct kube_fixture f = {.n = 0};
    fixture_put(&f, KUBE_SERVICES, "{\"metadata\":{\"name\":\"d\",\"namespace\":\"s\"},\"spec\":{\"ipFamilyPolicy\":\"PreferDualStack\",\"ipFamilies\":[\"IPv6\",\"IPv4\"]}}");
    const char *slice = "{\"addressType\":\"%s\",\"metadata\":{\"name\":\"d-1\",\"namespace\":\"s\",\"labels\":{\"kubernetes.io/service-name\":\"d\"}},"
        "\"endpoints\":[{\"addresses\":[\"%s\"]}],\"ports\":[{\"name\":\"\",\"port\":null},{\"port\":80}]}";
    struct buf four = {0}, six = {0}, out;
    buf_printf(&four, slice, "IPv4", "10.0.0.1");
    buf_printf(&six, slice, "IPv6", "fd00::1");
    expect_targets(&f, (struct kube_attach){0}, KUBE_ROLE_ENDPOINTSLICE, buf_z(&four), "");
    out = targets_of(&f, (struct kube_attach){0}, KUBE_ROLE_ENDPOINTSLICE, buf_z(&six));
    assert_non_null(strstr(buf_z(&out), "[fd00::1] namespace=s service_name=d endpointslice_address_type=IPv6"));
    assert_non_null(strstr(buf_z(&out), "\n[fd00::1]:80 "));
    buf_free(&out);
    buf_free(&four);
    buf_free(&six);
    fixture_clear(&f);
}

static void hosts_of_ingresses(void **state UNUSED)
{
    struct kube_fixture f = {.n = 0};
    static const struct { const char *host, *scheme; } cases[] = {
        {"a.b", "https"}, {"x.a.b", "http"}, {"x.c.d", "https"}, {"c.d", "http"}, {"y.x.c.d", "http"}, {"xc.d", "http"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf text = {0}, wanted = {0};
        buf_printf(&text, "{\"metadata\":{\"name\":\"i\",\"namespace\":\"s\"},\"spec\":{\"tls\":[{},{\"hosts\":[\"a.b\",\"*.c.d\"]}],"
                   "\"rules\":[{\"host\":\"%s\",\"http\":{\"paths\":[]}},{\"host\":\"%s\"}]}}", cases[i].host, cases[i].host);
        buf_printf(&wanted, "%s namespace=s ingress_name=i ingress_scheme=%s ingress_host=%s ingress_path=/\n", cases[i].host, cases[i].scheme,
                   cases[i].host);
        expect_targets(&f, (struct kube_attach){0}, KUBE_ROLE_INGRESS, buf_z(&text), buf_z(&wanted));
        buf_free(&text);
        buf_free(&wanted);
    }
}

/* Members of other types than documented cost labels, not more. */
static void objects_of_other_shapes(void **state UNUSED)
{
    static const char *const values[] = {"null", "true", "7", "\"x\"", "[]", "{}", "[null,[[]],{\"a\":1}]", "{\"a\":{\"b\":[]},\"ports\":{\"x\":1}}"};
    static const char *const shapes[] = {
        "{\"metadata\":{\"name\":\"o\",\"namespace\":%s,\"labels\":%s,\"ownerReferences\":%s},\"spec\":%s,\"status\":%s}",
        "{\"metadata\":{\"name\":\"o\",\"namespace\":\"s\"},\"spec\":{\"containers\":%s,\"ports\":%s,\"rules\":%s,\"tls\":%s},"
        "\"status\":{\"podIP\":\"1\",\"addresses\":%s}}",
        "{\"metadata\":{\"name\":\"o\"},\"subsets\":%s,\"endpoints\":%s,\"ports\":%s,\"addressType\":%s,\"status\":{\"conditions\":%s}}",
        "{\"metadata\":{\"name\":\"o\"},\"subsets\":[{\"addresses\":[{\"ip\":%s,\"targetRef\":%s}],\"ports\":[{\"port\":%s}]}],"
        "\"endpoints\":[{\"addresses\":%s,\"conditions\":%s}],\"ports\":[{\"port\":1}]}"};
    struct kube_fixture f = {.n = 0};
    struct kube_attach all = {true, true, true, true, true};
    for (size_t i = 0; i < LEN(shapes); i++)
        for (size_t v = 0; v < LEN(values); v++)
            for (int role = KUBE_ROLE_NODE; role <= KUBE_ROLE_INGRESS; role++) {
                struct buf text = {0}, out;
                const char *x = values[v];
                struct str rest = str_of(shapes[i]), piece;
                for (bool first = true; str_cut(&rest, '%', &piece); first = false)
                    buf_printf(&text, "%s%.*s", first ? "" : x, STR_ARG(first ? piece : str_skip(piece, 1)));
                out = targets_of(&f, all, (enum kube_role)role, buf_z(&text));
                buf_free(&text);
                buf_free(&out);
            }
    assert_true(f.asked > 0);
}

static void what_targets_do_not_show_is_no_change(void **state UNUSED)
{
    struct kube_object *a = object_of(KUBE_PODS, "{\"metadata\":{\"name\":\"p\",\"namespace\":\"s\",\"resourceVersion\":\"1\"},\"spec\":{\"volumes\":[1]},"
                                                 "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastProbeTime\":null}]}}");
    struct kube_object *b = object_of(KUBE_PODS, "{\"metadata\":{\"name\":\"p\",\"namespace\":\"s\",\"resourceVersion\":\"2\"},\"spec\":{},"
                                                 "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastProbeTime\":1}]}}");
    struct kube_object *c = object_of(KUBE_PODS, "{\"metadata\":{\"name\":\"p\",\"namespace\":\"s\"},\"spec\":{},"
                                                 "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
    assert_true(str_is(a->key, "s/p"));
    assert_true(kube_object_equal(a, b));
    assert_false(kube_object_equal(a, c));
    assert_null(object_of(KUBE_PODS, "{\"metadata\":{\"namespace\":\"s\"}}"));
    assert_null(object_of(KUBE_PODS, "[]"));
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes), cmocka_unit_test(a_node_with_many_addresses), cmocka_unit_test(owners_of_pods), cmocka_unit_test(balancers),
        cmocka_unit_test(slices_of_the_second_family), cmocka_unit_test(hosts_of_ingresses),
        cmocka_unit_test(objects_of_other_shapes), cmocka_unit_test(what_targets_do_not_show_is_no_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
