# SPDX-License-Identifier: Apache-2.0
"""The manifests in deploy/ fit the schema of Kubernetes' API: every field exists there and has its type, none is missing.
The schema is that from which the models of Debian's python3-kubernetes are generated; they are read, not run."""
import ast
import glob
import os
import re

from lib import *
from packages import unpack

try:
    import yaml
except ImportError:
    yaml = None

SCALARS = {"str": str, "int": int, "float": (int, float), "bool": bool, "datetime": str}


class Schema:
    def __init__(self):
        self.folder, self.models = f"{unpack('python3-kubernetes')}/usr/lib/python3/dist-packages/kubernetes/client/models", {}

    def model(self, name):
        """{field: (type, whether it is required)}; None: there is no such model."""
        if name not in self.models:
            path = f"{self.folder}/{re.sub('(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()}.py"
            self.models[name] = self.read(path) if os.path.exists(path) else None
        return self.models[name]

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        types, names = (ast.literal_eval(re.search(rf"    {table} = (\{{.*?\}})", text, re.S)[1])
                        for table in ("openapi_types", "attribute_map"))
        required = set(re.findall(r"^        self\.(\w+) = \1$", text, re.M))  # others are set if they are not None
        return {names[field]: (kind, field in required) for field, kind in types.items()}

    def faults(self, value, kind, where):
        """What does not fit, each with its place."""
        of = re.fullmatch(r"list\[(.*)\]|dict\(str, (.*)\)", kind)
        if kind == "object":
            return []
        if kind in SCALARS:
            fits = isinstance(value, SCALARS[kind]) and (kind == "bool" or not isinstance(value, bool))
            return [] if fits else [f"{where}: {value!r} is no {kind}"]
        if not isinstance(value, list if of and of[1] else dict):
            return [f"{where}: {value!r} is no {kind}"]
        if of:
            items = enumerate(value) if of[1] else value.items()
            return [fault for key, item in items for fault in self.faults(item, of[1] or of[2], f"{where}[{key}]")]
        return self.faults_of_fields(value, self.model(kind), where)

    def faults_of_fields(self, value, fields, where):
        found = [f"{where}.{name} does not exist" for name in value if name not in fields]
        found += [f"{where}.{name} is missing" for name, (_, required) in fields.items() if required and name not in value]
        for name, item in value.items():
            if name in fields:
                found += self.faults(item, fields[name][0], f"{where}.{name}")
        return found

    def faults_of_manifest(self, manifest):
        kind = "V" + manifest["apiVersion"].rpartition("/")[2][1:] + manifest["kind"]
        return self.faults(manifest, kind, manifest["kind"]) if self.model(kind) else [f"there is no {kind}"]


def manifests():
    if yaml is None:
        raise Skip("python3-yaml")
    found = []
    for path in [f"{ROOT}/deploy/kubernetes.yml", *glob.glob(f"{ROOT}/deploy/*/kubernetes.yml")]:
        with open(path, encoding="utf-8") as f:
            found += [(os.path.relpath(path, ROOT), d) for d in yaml.safe_load_all(f)]
    return found


def test_manifests_fit_the_schema():
    schema, all_of_them = Schema(), manifests()
    wrong = [f"{path}: {fault}" for path, manifest in all_of_them for fault in schema.faults_of_manifest(manifest)]
    assert not wrong, "\n".join(wrong)
    assert len(all_of_them) >= 16 and {"StatefulSet", "Job", "ConfigMap"} <= {m["kind"] for _, m in all_of_them}


def test_faults_of_manifests_are_found():
    schema, pods = Schema(), next(m for _, m in manifests() if m["kind"] == "StatefulSet")
    container = pods["spec"]["template"]["spec"]["containers"][0]
    container["argz"] = container.pop("args")
    del container["name"], pods["spec"]["selector"]
    pods["spec"]["replicas"] = "three"
    pods["spec"]["template"]["spec"]["volumes"] = {}
    at = "StatefulSet.spec.template.spec"
    assert sorted(schema.faults_of_manifest(pods)) == sorted([
        "StatefulSet.spec.selector is missing", "StatefulSet.spec.replicas: 'three' is no int",
        f"{at}.containers[0].argz does not exist", f"{at}.containers[0].name is missing", f"{at}.volumes: {{}} is no list[V1Volume]"])
    assert schema.faults_of_manifest({"apiVersion": "apps/v1", "kind": "Nothing"}) == ["there is no V1Nothing"]
