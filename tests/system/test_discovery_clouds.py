# SPDX-License-Identifier: Apache-2.0
"""Discovery of containers and machines, beside a real Prometheus and a real vmagent with the same configuration and server."""
import json
import os
import re
import urllib.parse

import ec2
import fakes
from docker import FakeDocker, docker, swarm, without_v4
from lib import *
from test_discovery import same_labels, targets
from test_sigv4 import environment


def jobs(kind, meta, *sections, drop=""):
    """A job for each section: job name, keys. All meta labels of the kind become labels, but those that the peers of the tests do not know yet."""
    return "scrape_configs:\n" + "".join(
        f"- job_name: {name}\n  scrape_interval: 1m\n  {kind}_sd_configs: [{{{keys}}}]\n"
        f"  relabel_configs: [{{action: labelmap, regex: '__meta_{meta}_(.+)'}}, {{action: labeldrop, regex: '{drop or 'none'}'}}]\n" for name, keys in sections)


def peer_agent(config, kind):
    return VMAgent(config, f"-promscrape.{kind}SDCheckInterval=1s", "-remoteWrite.url=http://127.0.0.1:1/")


def failures(sluice, kind):
    return sluice.metric("prometheus_sd_refresh_failures_total", f'mechanism="{kind}"')


def keeps_targets(ours, fake, kind, job, *faults):
    """Each fault, which sets attributes of the fake, is counted, logged (`words`) and loses no target."""
    before = targets(ours, job)
    for fault in faults:
        words = fault.pop("words", "")
        count, good = failures(ours, kind), {name: fake.__dict__[name] for name in fault}
        fake.__dict__.update(fault)
        wait_until(lambda: failures(ours, kind) > count, what=lambda: str(fault))
        wait_until(lambda: words in ours.log(), what=words)
        assert targets(ours, job) == before, f"targets are lost by {fault}"
        fake.__dict__.update(good)
        wait_until(lambda: not re.search(r"^sluice_sd_failing_sources.* [1-9]", ours.get("/metrics").text, re.M))


@waits
def test_docker_sd_finds_what_prometheus_and_vmagent_find():
    daemon = FakeDocker(docker())
    sections = [("first", "host_networking_host: '127.0.0.8:7'", 7), ("every", "match_first_network: false, port: 81, host_networking_host: '127.0.0.9:9'", 13),
                ("filtered", "host_networking_host: 'h:8', port: 82, filters: [{name: label, values: ['a=b', c]}, {name: status, values: [running]}, {name: label, values: [d]}]", 7)]
    config = jobs("docker", "docker", *((name, f"host: 'http://{daemon.address}', basic_auth: {{username: u, password: hidden}}, {keys}")
                                        for name, keys, _ in sections), drop="container_image.*")
    prometheus = Prometheus(config.replace("{host:", "{refresh_interval: 1s, host:"))
    vmagent = peer_agent(config, "docker")
    ours = Sluice(config, "-promscrape.dockerSDCheckInterval=300ms")
    for name, _, n in sections:
        assert len(targets(ours, name)) == n, (name, "the start does not wait for the targets", len(targets(ours, name)))
        same_labels(ours, prometheus, n, name, name)
        same_labels(ours, vmagent, n, name, name)
    assert {"__meta_docker_container_image": "registry.example/web:1", "__meta_docker_container_image_id": "sha256:c100"}.items() <= dict(
        next(meta for meta, labels in targets(ours, "first") if dict(labels)["container_id"] == "c1")).items()
    assert {path for path, filters in daemon.asked if filters} == {"containers/json"}
    assert [filters for _, filters in daemon.asked if filters][0] == {"label": {"a=b": True, "c": True, "d": True}, "status": {"running": True}}
    assert daemon.logins == {"Basic dTpoaWRkZW4="}
    keeps_targets(ours, daemon, "docker", "first", {"status": 500}, {"cut": True}, {"lists": {**daemon.lists, "networks": {"message": "x"}}})
    daemon.lists["containers/json"].pop(0)
    for name, n in ("first", 4), ("every", 7):
        wait_until(lambda: len(targets(ours, name)) == n)
        same_labels(ours, vmagent, n, name, f"{name} after a change")
    assert "hidden" not in ours.log() and "HTTP 500" in ours.log()


def test_docker_by_its_socket():
    path = f"{folder()}/docker.sock"
    daemon = FakeDocker(docker(), path)
    # circles of containers that use each other's networks have none, and names of labels that become equal are one
    daemon.lists["containers/json"] += [{**daemon.lists["containers/json"][4], "Id": id, "HostConfig": {"NetworkMode": f"container:{of}"}} for id, of in (("o1", "o2"), ("o2", "o1"))]
    daemon.lists["containers/json"].append(without_v4())
    daemon.lists["containers/json"][1]["Labels"] = {"a.b": "1", "a-b": "2"}
    config = jobs("docker", "docker", ("j", f"host: 'unix://{path}', basic_auth: {{username: u, password: hidden}}"))
    ours = Sluice(config, "-promscrape.dockerSDCheckInterval=300ms")
    assert len(targets(ours)) == 8
    assert [dict(meta)["__address__"] for meta, labels in targets(ours) if dict(labels)["container_id"] == "c4"] == ["localhost"]
    assert [dict(labels)["network_ip"] for _, labels in targets(ours) if dict(labels)["instance"] == "[fd00::3]:9300"] == ["fd00::3"], "as newer Prometheus"
    assert daemon.logins == {None}, "options of the HTTP client concern no socket"
    assert [dict(labels)["container_label_a_b"] for _, labels in targets(ours) if dict(labels)["container_id"] == "c2"] in (["1"], ["2"])
    keeps_targets(ours, daemon, "docker", "j", {"status": 503}, {"cut": True})
    daemon.stop()
    os.unlink(path)
    before = failures(ours, "docker")
    wait_until(lambda: failures(ours, "docker") > before + 1)
    assert len(targets(ours)) == 8
    wait_until(lambda: f"cannot connect to the Unix socket {path}: No such file or directory" in ours.log())


@waits
def test_a_short_list_that_makes_too_many_targets_is_a_failure():
    """400 networks, 400 ports and labels of 20 KiB are 3 GiB of targets."""
    daemon = FakeDocker(docker())
    config = jobs("docker", "docker", ("j", f"host: 'http://{daemon.address}', match_first_network: false"))
    ours = Sluice(config, "-promscrape.dockerSDCheckInterval=300ms")
    few, usual = targets(ours, "j"), list(daemon.lists["containers/json"])
    bomb = {**usual[0], "Id": "bomb", "Labels": {"a": "x" * 20480}, "Ports": [{"Type": "tcp", "PrivatePort": 1000 + i} for i in range(400)],
            "NetworkSettings": {"Networks": {f"n{i}": {"IPAddress": f"10.0.{i // 250}.{i % 250}", "NetworkID": f"n{i}"} for i in range(400)}}}
    daemon.lists["containers/json"] = usual + [bomb]
    wait_until(lambda: "need too much memory" in ours.log(), 60, "the refusal")
    assert targets(ours, "j") == few
    assert ours.memory_kib()["VmHWM"] < 450 << 10, ours.memory_kib()
    daemon.lists["containers/json"] = usual
    wait_until(lambda: "service discovery responds again" in ours.log(), 60, "the usual list")


@waits
def test_dockerswarm_sd_finds_what_prometheus_and_vmagent_find():
    manager = FakeDocker(swarm())
    manager.lists["services"].pop()
    sections = [("services", "role: services", 4), ("tasks", "role: tasks, port: 81", 7), ("nodes", "role: nodes, port: 9100", 3),
                ("filtered", "role: tasks, filters: [{name: desired-state, values: [running]}]", 7)]
    config = jobs("dockerswarm", "dockerswarm", *((name, f"host: 'http://{manager.address}', {keys}") for name, keys, _ in sections))
    prometheus = Prometheus(config.replace("{host:", "{refresh_interval: 1s, host:"))
    # for workers and tasks vmagent has more labels of nodes: node_engine_version and an empty node_manager_*
    vmagent = peer_agent(config.replace("'none'", "'node_(engine|manager).*'"), "dockerswarm")
    ours = Sluice(config, "-promscrape.dockerswarmSDCheckInterval=300ms")
    assert len(targets(ours, "tasks")) == 7, "the start does not wait for the targets"
    for name, _, n in sections:
        same_labels(ours, prometheus, n, name, name)
    bare = Sluice(config.replace("'none'", "'node_(engine|manager).*'"), "-promscrape.dockerswarmSDCheckInterval=300ms", name="bare")
    for name, _, n in sections:
        same_labels(bare, vmagent, n, name, name)
    assert {path for path, filters in manager.asked if filters} == {"tasks"}
    assert {path for path, _ in manager.asked} == {"tasks", "services", "nodes", "networks"}
    keeps_targets(ours, manager, "dockerswarm", "tasks", {"status": 503}, {"cut": True}, {"lists": {**manager.lists, "nodes": {}}})
    prometheus.stop()  # the following services end it: a service of a plugin, and one of the host's network
    manager.lists["services"] += swarm()["services"][1:]
    manager.lists["services"][0]["Endpoint"]["VirtualIPs"][0]["Addr"] = ""
    for name, n in ("services", 3), ("tasks", 7):
        wait_until(lambda: len(targets(ours, name)) == n, what=lambda: (name, len(targets(ours, name))))
        same_labels(bare, vmagent, n, name, f"{name} of a plugin and without an address")


def test_invalid_docker_hosts_are_errors():
    def refused(sd, words):
        sluice = Sluice(f"scrape_configs: [{{job_name: j, {sd}}}]\n", start=False)
        sluice.start()
        assert sluice.wait_exit(10) == 1 and words in sluice.log(), (words, sluice.log())
    refused("docker_sd_configs: [{}]", 'missing required key "host"')
    refused("docker_sd_configs: [{host: 'ftp://x'}]", 'docker_sd_config.host: "ftp://x" is none of unix:///PATH, tcp://HOST:PORT')
    refused("docker_sd_configs: [{host: 'unix://'}]", 'docker_sd_config.host: "unix://" names no path of a socket')
    refused("dockerswarm_sd_configs: [{host: 'tcp://x:1', role: pods}]", "dockerswarm_sd_config.role")
    refused("docker_sd_configs: [{host: 'tcp://x:1', filters: [{name: label}]}]", 'missing required key "values"')


@waits
def test_ec2_sd_finds_what_prometheus_and_vmagent_find():
    amazon = ec2.FakeEC2(*ec2.pages())
    amazon.keys["AK"] = ("a/secret+", "")
    sections = [("all", "", 4), ("filtered", "port: 9100, filters: [{name: 'tag:env', values: [qa, 'a b']}, {name: vpc-id, values: [v]}]", 4)]
    config = jobs("ec2", "ec2", *((name, f"region: eu-west-1, endpoint: 'http://{amazon.address}/', access_key: AK, secret_key: a/secret+, {keys}")
                                  for name, keys, _ in sections))
    prometheus, vmagent = Prometheus(config), peer_agent(config, "ec2")
    ours = Sluice(config, "-promscrape.ec2SDCheckInterval=300ms")
    assert len(targets(ours, "all")) == 4, "the start does not wait for the targets"
    for name, _, n in sections:
        same_labels(ours, prometheus, n, name, name)
        same_labels(ours, vmagent, n, name, name)
    forms = [form for access, form in amazon.asked_ec2 if access == "AK"]
    assert len(forms) == len(amazon.asked_ec2) and {form["Action"] for form in forms} == {"DescribeAvailabilityZones", "DescribeInstances"}
    assert {"Filter.1.Name": "tag:env", "Filter.1.Value.1": "qa", "Filter.1.Value.2": "a b", "Filter.2.Name": "vpc-id", "Filter.2.Value.1": "v",
            "MaxResults": "1000", "NextToken": "page+1"}.items() <= next(f for f in forms if "NextToken" in f and "Filter.1.Name" in f).items()
    zones = sum(form["Action"] == "DescribeAvailabilityZones" for form in forms)
    keeps_targets(ours, amazon, "ec2", "all", {"status": 503, "words": "HTTP 503: RequestLimitExceeded: Slow down"}, {"cut": True},
                  {"text": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "words": "document type declaration"},
                  {"text": "<html/>", "words": "the response has no DescribeInstancesResponse"}, {"text": "{}"}, {"pages": ()}, {"keys": {"AK": ("another", "")}})
    assert zones == 2 == sum(form["Action"] == "DescribeAvailabilityZones" for _, form in amazon.asked_ec2), "zones are listed once"
    assert "a/secret+" not in ours.log() and "a/secret+" not in ours.get("/config").text
    amazon.pages = ec2.with_ipv6()
    wait_until(lambda: len(targets(ours, "all")) == 2)
    six = {dict(labels)["instance_id"]: dict(labels) for _, labels in targets(ours, "all")}
    assert (six["i-6"]["ipv6_addresses"], six["i-6"]["primary_ipv6_addresses"], six["i-6"]["default_ipv6_address"]) == (",fd00::6,fd00::7,", ",,,fd00::7,", "fd00::7")
    assert (six["i-7"]["instance"], six["i-7"]["default_ipv6_address"]) == ("[fd00::8]:80", "fd00::8")


def test_ec2_keys_come_from_the_machine_the_container_and_roles():
    """The region, too, which the metadata service has; a page that names itself, and missing permission to list zones."""
    amazon = ec2.FakeEC2(*ec2.pages())
    amazon.zones = False
    amazon.keys["AKSET"] = ("s", "")
    write_file("identity", "web.identity.token\n")
    config = lambda more="": jobs("ec2", "ec2", ("j", f"endpoint: 'http://{amazon.address}', {more}"))
    sts = {"AWS_ENDPOINT_URL_STS": amazon.url + "/sts", "AWS_REGION": "eu-west-1"}
    programs = {
        "AKMACHINE": Sluice(config(), "-promscrape.ec2SDCheckInterval=300ms", name="machine",
                            env=environment(AWS_EC2_METADATA_DISABLED="", AWS_EC2_METADATA_SERVICE_ENDPOINT=amazon.url)),
        "AKCONTAINER": Sluice(config(), name="container", env=environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=amazon.url + "/keys", AWS_REGION="eu-west-1")),
        "AKPOD": Sluice(config(), name="pod", env=environment(**sts, AWS_WEB_IDENTITY_TOKEN_FILE=f"{folder()}/identity", AWS_ROLE_ARN="arn:aws:iam::1:role/pod")),
        "AKASSUMED": Sluice(config("access_key: AKSET, secret_key: s, external_id: ext, role_arn: 'arn:aws:iam::1:role/assumed'"), name="role", env=environment(**sts))}
    for access, program in programs.items():
        assert len(targets(program)) == 4, (access, program.log())
        assert "availability_zone_id" not in dict(targets(program)[0][1])
        assert {scope for path, key, scope in amazon.used if path == "/" and key == access} == {
            "eu-north-1/ec2/aws4_request" if access == "AKMACHINE" else "eu-west-1/ec2/aws4_request"}
        assert dict(targets(program)[0][1])["region"] == ("eu-north-1" if access == "AKMACHINE" else "eu-west-1")
    assert [form["ExternalId"] for _, form in amazon.asked if "ExternalId" in form] == ["ext"]
    machine = programs["AKMACHINE"]
    amazon.zones = True
    wait_until(lambda: dict(targets(machine)[0][1]).get("availability_zone_id") == "euw1-az1", what="zones are listed as soon as that is allowed")
    amazon.endless = True
    wait_until(lambda: "the pages of the list lead back to an earlier one" in machine.log())
    amazon.text = "<DescribeInstancesResponse><a b='" + "x" * (24 << 20)
    wait_until(lambda: "a tag or comment is longer than 64 KiB" in machine.log())
    assert len(targets(machine)) == 4
    wrong = Sluice(config("access_key: AKSET, secret_key: another, region: r"), name="wrong", env=environment())
    assert targets(wrong) == [] and "HTTP 401: AuthFailure: AWS was not able to validate the <keys>" in wrong.log() and "another" not in wrong.log()
    none = Sluice(config(), name="none", env=environment())
    assert targets(none) == [] and none.metric("sluice_sd_failing_sources", 'config="j"') == 1 and "no AWS credentials" in none.log()


def test_invalid_ec2_sections_are_errors():
    def refused(sd, words):
        sluice = Sluice(f"scrape_configs: [{{job_name: j, ec2_sd_configs: [{sd}]}}]\n", start=False)
        sluice.start()
        assert sluice.wait_exit(10) == 1 and words in sluice.log(), (words, sluice.log())
    refused("{access_key: a}", "access_key and secret_key must be set together")
    refused("{basic_auth: {username: u}}", "keep one kind of credentials")
    refused("{sigv4: {}}", "set access_key, secret_key, profile and role_arn beside it")
    refused("{endpoint: 'http://'}", "ec2_sd_config.endpoint: ")
    refused("{external_id: e}", "external_id is set without role_arn")


class FakeGoogle(fakes.Fake):
    """Compute Engine and the metadata server of a machine: https://cloud.google.com/compute/docs/reference/rest/v1/instances/list and
    .../aggregatedList, /metadata/querying-metadata. zones: {zone: [instance]}; an access token is good for `uses` requests."""

    def __init__(self, zones):
        self.zones, self.status, self.uses, self.cut, self.tokens, self.asked, self.endless = zones, 200, 1000, False, {}, [], False
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query))
        if path.startswith("/computeMetadata/v1/"):
            if request.headers.get("Metadata-Flavor") != "Google" or request.headers.get("Authorization"):
                return request.reply(403)
            if path.endswith("/token"):
                token = f"ya29.{len(self.tokens)}"
                self.tokens[token] = self.uses
                return request.reply(200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 3599, "scopes": query["scopes"]}).encode())
            known = {"project/project-id": "my-project", "instance/zone": "projects/12345/zones/europe-west1-b"}
            return request.reply(200, json.dumps(known[path[20:]]).encode()) if query.get("alt") == "json" else request.reply(400)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self.tokens.get(token, 0) < 1:
            return request.reply(401, b'{"error":{"code":401,"status":"UNAUTHENTICATED"}}')
        self.tokens[token] -= 1
        with self.lock:
            self.asked.append((path, query))
        if self.status != 200:
            return request.reply(self.status, b'{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}')
        project, kind, *zone = path.removeprefix("/compute/v1/projects/").removesuffix("/instances").split("/")
        names = zone if kind == "zones" else list(self.zones)
        every = [(zone, i) for zone in names for i in self.zones.get(zone, [])]
        at = int(query.get("pageToken", "p0")[1:])  # two to a page
        page = every[at:at + 2]
        if kind == "aggregated":
            items = {f"zones/{zone}": {"instances": [i for z, i in page if z == zone]} for zone in names}
            items["regions/empty"] = {"warning": {"code": "NO_RESULTS_ON_PAGE"}}
        else:
            items = [i for _, i in page]
        doc = {"kind": "compute#instanceList", "id": f"projects/{project}", "items": items}
        if at + 2 < len(every) or self.endless:
            doc["nextPageToken"] = f"p{2 - at}" if self.endless else f"p{at + 2}"
        if not items:
            del doc["items"]
        text = json.dumps(doc).encode()
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:len(text) // 2])
            request.close_connection = True
            return None
        return request.reply(200, text, Content_Type="application/json; charset=UTF-8")


def google_instance(id, zone, ip, **more):
    url = "https://www.googleapis.com/compute/v1/projects/my-project"
    return {"kind": "compute#instance", "id": id, "name": f"vm-{id}", "status": "RUNNING", "zone": f"{url}/zones/{zone}", "machineType": f"{url}/zones/{zone}/machineTypes/e2",
            "networkInterfaces": [{"name": "nic0", "network": f"{url}/global/networks/default", "subnetwork": f"{url}/subnetworks/s", "networkIP": ip}],
            "tags": {"fingerprint": "x"}, "metadata": {"fingerprint": "x"}, **more}


def test_gce_sd_lists_zones_with_the_tokens_of_the_machine():
    full = google_instance("1", "b", "127.40.0.1", tags={"items": ["http", "https"]}, labels={"team-name": "a"},
                           metadata={"items": [{"key": "ssh.keys", "value": "v"}, {"key": "none"}]})
    full["networkInterfaces"][0] |= {"ipv6Address": "fd00::1", "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "natIP": "127.41.0.1"}],
                                     "ipv6AccessConfigs": [{"type": "DIRECT_IPV6", "externalIpv6": "fd00::41"}]}
    full["networkInterfaces"].append({"name": "nic.1", "network": "n", "networkIP": "127.42.0.1"})
    google = FakeGoogle({"europe-west1-b": [full, google_instance("2", "b", "127.40.0.2"), google_instance("3", "b", "127.40.0.3")],
                         "europe-west1-c": [google_instance("18446744073709551615", "c", "127.40.0.4"), {**google_instance("5", "c", ""), "networkInterfaces": []}], "none": []})
    config = jobs("gce", "gce", ("machine", ""), ("all", "project: other, zone: '*', tag_separator: '|', port: 9100"),
                  ("some", "project: p, zone: [europe-west1-c, none, europe-west1-b], filter: 'labels.team-name = a'"))
    ours = Sluice(config, "-promscrape.gceSDCheckInterval=300ms", env={"HOME": folder(), "GCE_METADATA_HOST": google.address,
                  "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"http://{google.address}/compute/v1/"})
    assert [len(targets(ours, job)) for job in ("machine", "all", "some")] == [3, 4, 4], "the start does not wait for the targets"
    url = "https://www.googleapis.com/compute/v1/projects/my-project"
    assert dict(targets(ours, "machine")[0][1]) == {
        "job": "machine", "instance": "127.40.0.1:80", "instance_id": "1", "instance_name": "vm-1", "instance_status": "RUNNING", "interface_ipv4_nic0": "127.40.0.1",
        "interface_ipv4_nic_1": "127.42.0.1", "internal_ipv6": "fd00::1", "label_team_name": "a", "machine_type": f"{url}/zones/b/machineTypes/e2", "metadata_ssh_keys": "v",
        "network": f"{url}/global/networks/default", "private_ip": "127.40.0.1", "project": "my-project", "public_ip": "127.41.0.1", "public_ipv6": "fd00::41",
        "subnetwork": f"{url}/subnetworks/s", "tags": ",http,https,", "zone": f"{url}/zones/b"}
    every = {dict(labels)["instance_id"]: dict(labels) for _, labels in targets(ours, "all")}
    assert set(every) == {"1", "2", "3", "18446744073709551615"} and every["1"]["tags"] == "|http|https|" and every["1"]["instance"] == "127.40.0.1:9100"
    assert {(path, q.get("filter"), q["maxResults"]) for path, q in google.asked} == {
        ("/compute/v1/projects/my-project/zones/europe-west1-b/instances", None, "500"), ("/compute/v1/projects/other/aggregated/instances", None, "500"),
        *((f"/compute/v1/projects/p/zones/{z}/instances", "labels.team-name = a", "500") for z in google.zones)}
    keeps_targets(ours, google, "gce", "some", {"status": 429, "words": "HTTP 429"}, {"cut": True}, {"endless": True, "words": "lead back to an earlier one"})
    google.zones["europe-west1-b"].pop()
    wait_until(lambda: [len(targets(ours, job)) for job in ("machine", "all", "some")] == [2, 3, 3])
    assert "ya29" not in ours.log()
    alone = Sluice(jobs("gce", "gce", ("j", "")), env={"HOME": folder(), "GCE_METADATA_HOST": f"127.0.0.1:{free_port()}"}, name="alone")
    assert targets(alone) == [] and "cannot determine the project of the machine; set `project`" in alone.log()


class FakeAzure(fakes.Fake):
    """The Resource Manager and the server of tokens: https://learn.microsoft.com/en-us/rest/api/compute/virtual-machines/list-all,
    .../virtual-machine-scale-sets/list-all, .../virtualnetwork/network-interfaces/get. lists: {path: [item]}, one item a page; interfaces: {id: interface}."""

    def __init__(self, lists, interfaces):
        self.lists, self.interfaces, self.status, self.cut, self.link, self.tokens, self.asked = lists, interfaces, 200, False, None, [], set()
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query))
        if "oauth2" in path:
            form = dict(urllib.parse.parse_qsl(body.decode())) | query
            self.tokens.append((path, form, request.headers.get("Metadata")))
            if form.get("client_secret", "s3cret") != "s3cret":
                return request.reply(401, b'{"error":"invalid_client"}')
            return request.reply(200, json.dumps({"access_token": "eyJ0", "token_type": "Bearer", "expires_in": "3599", "expires_on": "9999999999"}).encode())
        if request.headers.get("Authorization") != "Bearer eyJ0":
            return request.reply(401, b'{"error":{"code":"AuthenticationFailed"}}')
        with self.lock:
            self.asked.add((path, query.get("api-version"), query.get("$expand")))
        if self.status != 200:
            return request.reply(self.status, b'{"error":{"code":"TooManyRequests"}}', Retry_After=1)
        if path in self.interfaces:
            doc = self.interfaces[path]
        elif path in self.lists:
            at, items = int(query.get("$skiptoken", 0)), self.lists[path]
            doc = {"value": items[at:at + 1]}
            if at + 1 < len(items):
                doc["nextLink"] = self.link or f"http://{self.address}{path}?api-version={query['api-version']}&$skiptoken={at + 1}"
        else:
            return request.reply(404, b'{"error":{"code":"ResourceNotFound"}}')
        text = json.dumps(doc).encode()
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:len(text) // 2])
            request.close_connection = True
            return None
        return request.reply(200, text, Content_Type="application/json; charset=utf-8")


AZURE = "/subscriptions/sub/resourceGroups/rg-1/providers/"


def azure_machine(name, *interfaces, under=AZURE + "Microsoft.Compute/virtualMachines/", **more):
    return {"id": under + name, "name": name, "type": "Microsoft.Compute/virtualMachines", "location": "westeurope", **more,
            "properties": {"vmId": "x", "hardwareProfile": {"vmSize": "Standard_B1s"}, "storageProfile": {"osDisk": {"osType": "Linux"}},
                           "osProfile": {"computerName": "host-" + name}, "networkProfile": {"networkInterfaces": [{"id": i, "properties": {"primary": True}} for i in interfaces]}}}


def azure_interface(*addresses, primary=True):
    return {"properties": {"primary": primary, "ipConfigurations": [{"name": "c", "properties": {"privateIPAddress": a, **(
        {"publicIPAddress": {"id": "p", "properties": {"ipAddress": public}}} if public else {})}} for a, public in addresses]}}


@waits
def test_azure_sd_finds_what_vmagent_finds():
    nic, sets = AZURE + "Microsoft.Network/networkInterfaces/", AZURE + "Microsoft.Compute/virtualMachineScaleSets/"
    vms = [azure_machine("a", nic + "a2", nic + "a1", tags={"team.name": "x", "b": ""}), azure_machine("b", nic + "b"), azure_machine("none")]
    in_set = azure_machine("set_0", sets + "set/virtualMachines/0/networkInterfaces/n", under=sets + "set/virtualMachines/")
    compute = "/subscriptions/sub%s/providers/Microsoft.Compute/virtualMachine%s"
    azure = FakeAzure({compute % ("", "s"): vms, compute % ("", "ScaleSets"): [{"id": sets + "set", "name": "set"}, {"id": sets + "empty", "name": "empty"}],
                       sets + "set/virtualMachines": [in_set], sets + "empty/virtualMachines": [],
                       compute % ("/resourceGroups/rg", "s"): vms[1:], compute % ("/resourceGroups/rg", "ScaleSets"): []},
                      {nic + "a1": azure_interface(("127.50.0.1", "127.51.0.1")), nic + "a2": azure_interface(("127.50.0.9", None), primary=False),
                       nic + "b": azure_interface(("127.50.0.2", None)), in_set["properties"]["networkProfile"]["networkInterfaces"][0]["id"]: azure_interface(("127.50.0.3", None))})
    os.environ["AZURE_ENVIRONMENT_FILEPATH"] = write_file("stack.json", json.dumps(
        {"name": "s", "activeDirectoryEndpoint": f"http://{azure.address}/", "resourceManagerEndpoint": f"http://{azure.address}"}))
    config = jobs("azure", "azure", *((name, f"environment: AzureStackCloud, subscription_id: sub, tenant_id: ten, client_id: cli, client_secret: s3cret, {keys}")
                                      for name, keys in (("all", ""), ("group", "resource_group: rg, port: 9100"))))
    vmagent = peer_agent(config, "azure")
    ours = Sluice(config, "-promscrape.azureSDCheckInterval=300ms")
    assert len(targets(ours, "all")) == 3, "the start does not wait for the targets"
    for name, n in ("all", 3), ("group", 1):
        same_labels(ours, vmagent, n, name, name)
    path, form, _ = next(t for t in azure.tokens if "v2.0" in t[0])
    assert path == "/ten/oauth2/v2.0/token" and form["client_id"] == "cli" and form["scope"] == f"http://{azure.address}/.default", (path, form)
    assert (nic + "b", "2021-08-01", "ipConfigurations/publicIPAddress") in azure.asked
    keeps_targets(ours, azure, "azure", "all", {"status": 429, "words": "HTTP 429"}, {"cut": True}, {"link": "http://127.0.0.9/x", "words": "leads to another server"},
                  {"link": f"http://{azure.address}/subscriptions/sub/providers/Microsoft.Compute/virtualMachines?api-version=2019-07-01&x=y", "words": "lead back to an earlier one"},
                  {"lists": {}, "words": "HTTP 404"})
    del azure.interfaces[nic + "b"]
    wait_until(lambda: (len(targets(ours, "all")), len(targets(ours, "group"))) == (2, 0), what="an interface that does not exist any more is no target")
    azure.interfaces[nic + "a1"] = azure_interface(("", None), ("127.50.0.4", None), ("127.50.0.5", "127.51.0.5"))
    wait_until(lambda: [dict(labels)["instance"] for _, labels in targets(ours, "all")] == ["127.50.0.3:80", "127.50.0.4:80"], what="the first private address")
    assert "s3cret" not in ours.log() and "eyJ0" not in ours.log()
    machine = Sluice(jobs("azure", "azure", ("j", "environment: azurestackcloud, subscription_id: sub, authentication_method: SDK")),
                     env={"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://{azure.address}"}, name="machine")
    assert len(targets(machine)) == 2
    assert azure.tokens[-1][1] == {"api-version": "2018-02-01", "resource": f"http://{azure.address}"} and azure.tokens[-1][2] == "true", azure.tokens[-1]


def test_invalid_azure_sections_are_errors():
    def refused(sd, words):
        sluice = Sluice(f"scrape_configs: [{{job_name: j, azure_sd_configs: [{sd}]}}]\n", start=False, env={"AZURE_ENVIRONMENT_FILEPATH": "/none"})
        sluice.start()
        assert sluice.wait_exit(10) == 1 and words in sluice.log(), (words, sluice.log())
    refused("{}", 'missing required key "subscription_id"')
    refused("{subscription_id: a, tenant_id: b, client_id: c}", "azure_sd_config.client_secret: required for authentication_method OAuth")
    refused("{subscription_id: a, authentication_method: Magic}", '"Magic" is none of OAuth, ManagedIdentity, WorkloadIdentity, SDK')
    refused("{subscription_id: a, authentication_method: SDK, environment: Mars}", '"Mars" is none of AzurePublicCloud')
    refused("{subscription_id: a, authentication_method: SDK, environment: AzureStackCloud}", "AZURE_ENVIRONMENT_FILEPATH /none")
    refused("{subscription_id: a, authentication_method: SDK, bearer_token: b}", "keep one kind of credentials")


class FakeAgent(fakes.Fake):
    """https://developer.hashicorp.com/consul/api-docs/agent; services: {id: service}, checks: {id: check}."""

    def __init__(self, services, checks):
        self.services, self.checks, self.status, self.cut, self.tokens, self.asked = services, checks, 200, False, set(), set()
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        with self.lock:
            if request.headers["User-Agent"].startswith("sluice"):
                self.tokens.add(request.headers.get("X-Consul-Token"))
                self.asked.add((path, query))
            found = {"/v1/agent/self": {"Config": {"Datacenter": "dc1", "NodeName": "n1"}, "Member": {"Addr": "127.60.0.1"}, "Meta": {"rack.no": "7"}},
                     "/v1/agent/services": self.services, "/v1/agent/checks": self.checks}.get(path)
            if found is None:  # of vmagent, by name
                found = [{"Service": s, "Checks": [c for c in self.checks.values() if c["ServiceID"] in ("", s["ID"])]}
                         for s in self.services.values() if s["Service"] == path.rsplit("/", 1)[1]]
        text = json.dumps(found).encode()
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:len(text) // 2])
            request.close_connection = True
            return None
        return request.reply(self.status, text if self.status == 200 else b"scripted", Content_Type="application/json")


@waits
def test_consulagent_sd_finds_what_vmagent_finds():
    def service(id, name, port, *tags, address="", **more):
        return {"ID": id, "Service": name, "Tags": list(tags), "Meta": {"redis.version": "4"}, "Port": port, "Address": address, "Datacenter": "dc1", "EnableTagOverride": False,
                "TaggedAddresses": {"lan_ipv4": {"Address": "127.60.0.9", "Port": port}}, "Weights": {"Passing": 1, "Warning": 1}, **more}
    agent = FakeAgent({"w1": service("w1", "web", 80, "a", "k=v", address="127.60.0.2"), "w2": service("w2", "web", 81), "d1": service("d1", "db", 90, "x"),
                       "far": service("far", "web", 82, Datacenter="dc2")},
                      {"serfHealth": {"CheckID": "serfHealth", "Status": "passing", "ServiceID": ""}, "c1": {"CheckID": "c1", "Status": "warning", "ServiceID": "w1"},
                       "c2": {"CheckID": "c2", "Status": "critical", "ServiceID": "d1"}})
    # vmagent lists an instance of any datacenter under a name that its own datacenter has
    sections = [("all", "tag_separator: '|'", 3), ("named", "services: [db, none], namespace: ns, filter: 'Meta.env == 1'", 1)]
    config = jobs("consulagent", "consulagent", *((name, f"server: '{agent.address}', token: hidden, {keys}") for name, keys, _ in sections))
    far = agent.services.pop("far")
    vmagent = peer_agent(config, "consulagent")
    ours = Sluice(config, "-promscrape.consulagentSDCheckInterval=300ms")
    assert len(targets(ours, "all")) == 3, "the start does not wait for the targets"
    for name, _, n in sections:
        same_labels(ours, vmagent, n, name, name)
    assert agent.tokens == {"hidden"} and agent.asked == {("/v1/agent/self", ""), ("/v1/agent/checks", ""), ("/v1/agent/services", ""),
                                                          ("/v1/agent/services", "ns=ns&filter=Meta.env%20%3D%3D%201")}, agent.asked
    keeps_targets(ours, agent, "consulagent", "all", {"status": 500, "words": "HTTP 500"}, {"cut": True}, {"checks": [], "words": "is not a map of services or checks"})
    agent.services["far"] = far
    del agent.services["w1"]
    agent.checks["m"] = {"CheckID": "_service_maintenance:w2", "Status": "critical", "ServiceID": "w2"}
    wait_until(lambda: [(dict(t)["service_id"], dict(t)["health"]) for _, t in targets(ours, "all")] == [("w2", "maintenance"), ("d1", "critical")])
    assert "hidden" not in ours.log()
