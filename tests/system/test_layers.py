# SPDX-License-Identifier: Apache-2.0
"""tests/layers.sh finds each kind of offence: every one is planted into a copy of the tree."""
import os
import shutil
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYERS = ["base", "model", "promql", "scraper", "writer", "gateway"]


def layers(tree):
    done = subprocess.run(["sh", os.path.join(ROOT, "tests/layers.sh"), tree], capture_output=True, text=True,
                          env={**os.environ, "OUT": "objects"})
    return done.returncode, done.stdout


def put(tree, path, text, mode="w"):
    path = os.path.join(tree, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode) as f:
        f.write(text)


def compile_planted(tree, name, text):
    put(tree, f"{name}.c", text)
    os.makedirs(os.path.join(tree, "objects", os.path.dirname(name)), exist_ok=True)
    subprocess.run(["cc", "-c", "-o", f"objects/{name}.o", f"{name}.c"], cwd=tree, check=True)


def test_layers_finds_calls_in_a_circle():
    for layer in LAYERS:
        with tempfile.TemporaryDirectory() as tree:
            compile_planted(tree, f"{layer}/one/planted", "void up(void); void down(void) { up(); }\n")
            compile_planted(tree, f"{layer}/two/planted", "void up(void) { }\n")
            assert layers(tree) == (0, "")
            compile_planted(tree, f"{layer}/two/planted", "void down(void); void up(void) { down(); }\n")
            code, out = layers(tree)
            assert code == 1 and f"{layer}: objects of directories call each other in a cycle: {layer}/" in out, out
            put(tree, f"{layer}/two/planted.c", "void up(void) { }\n")
            os.utime(os.path.join(tree, f"objects/{layer}/two/planted.o"), (0, 0))  # compiled from what was there before
            assert layers(tree) == (0, "")


OFFENCES = [
    ("promql/eval/eval.c", '#include "writer/writer.h"\n', "must not include writer/writer.h"),
    ("gateway/lane.c", '#include "writer/writer_internal.h"\n', "include writer/writer.h, not writer/writer_internal.h"),
    ("promql/ast/print.c", '#include "promql/eval/eval_internal.h"\n', "promql: directories include each other in a cycle"),
    ("gateway/http/http.c", '#include "gateway/lane.h"\n', "gateway: directories include each other in a cycle"),
    ("model/discovery/files/file_sd.c", '#include "scraper/jobs/job.h"\n', "must not include scraper/jobs/job.h"),
    ("base/map.c", '#include "base/os/loop.h"\n', "base: directories include each other in a cycle"),
    ("model/labels.c", '#include "no/such.h"\n', "no/such.h does not exist"),
    ("scraper/page/page.c", "#include <curl/curl.h>\n", "<curl/curl.h> belongs to"),
    ("model/labels.c", "static void planted_twice(void)\n{\n}\n", None),
    ("model/matcher.c", "static void planted_twice(void)\n{\n}\n", "static planted_twice() is also in model/labels.c"),
    ("model/labels.c", "void planted_global(void)\n{\n}\n", None),
    ("base/map.h", "int planted_declared(int a,\n                     int b);\n", None),
    ("model/matcher.c", "static void planted_global(void)\n{\n}\n",
     "static planted_global() has the name of a function of model/labels.c"),
    ("model/matcher.c", "static void planted_declared(void)\n{\n}\n",
     "static planted_declared() has the name of a function of base/map.h"),
    ("model/labels.c", "struct planted {\n    int n;\n};\n", None),
    ("model/matcher.c", "struct planted {\n    int n;\n};\n", "the tag planted is also defined in model/labels.c"),
    ("scraper/jobs/job.c", """
struct planted_conf {
    int64_t read, planted_unread; /* ms */
    struct { bool planted_switch; } inner;
};
static const struct conf_section planted_section = {"planted", sizeof(struct planted_conf)};
static int64_t planted_use(struct planted_conf *c)
{
    c->planted_unread = offsetof(struct planted_conf, planted_unread); /* c->planted_unread */
    return c->read + strlen("c->planted_switch");
}
""", "planted_conf.planted_unread is set and never read"),
    ("scraper/jobs/job.h", "", "planted_conf.planted_switch is set and never read"),
    ("writer/sink.c", "\n" * 600, "split it by subject (at most 600)"),
    ("tools/stray.c", "int stray;\n", "no archive builds it"),
]


def test_layers_finds_planted_offences():
    with tempfile.TemporaryDirectory() as tree:
        for layer in LAYERS:
            shutil.copytree(os.path.join(ROOT, layer), os.path.join(tree, layer))
        code, out = layers(tree)
        assert code == 0, out
        for path, text, _ in OFFENCES:
            put(tree, path, text, "a")
        for i in range(26):
            put(tree, f"model/many/file_{i}.c", f"int file_{i};\n")
        code, out = layers(tree)
        assert code == 1
        for path, _, message in OFFENCES:
            assert message is None or message in out, f"{path}: {message} not in\n{out}"
        assert out.count("never read") == 2, out
        assert "model/many: 26 sources" in out
