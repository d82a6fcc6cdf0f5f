# SPDX-License-Identifier: Apache-2.0
"""One of a thousand pushed expressions is evaluated once more, by its server and from that server's samples."""
from lib import *
from misbehaving import END, Healthy
from test_upstream import group, groups


class Adding(Healthy):
    """Its sums are `more` than those of its samples."""
    more = 0

    def response(self, path, form):
        right = super().response(path, form)
        if form.get("query", "").startswith("sum"):
            for s in right["data"]["result"]:
                s["value"][1] = str(float(s["value"][1]) + self.more)
        return right


def test_a_server_that_evaluates_otherwise_is_found():
    wrong, right = Adding(), Adding()
    wrong.more = 1
    sluice = Sluice(groups(*(group(name, server, labels={"sg": name}) for name, server in (("wrong", wrong), ("right", right)))))
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)

    def ask(name):
        data = sluice.data("/api/v1/query", {"query": f'sum(m{{sg="{name}"}})', "time": END, "explain": 1})
        return float(data["result"][0]["value"][1]), data["explain"].get("abandoned")
    assert ask("wrong") == (3 * END + 1, None) and ask("right") == (3 * END, None)
    for _ in range(999):
        ask("wrong")
    wait_until(lambda: sluice.metric("sluice_upstream_push_checks_failed_total") == 1, 20)
    assert ask("wrong") == (3 * END, "a check has shown that a server computes it differently")
    assert "evaluates an expression differently" in sluice.log()
    for _ in range(999):
        ask("right")
    wait_until(lambda: sluice.metric("sluice_upstream_push_checks_total") == 2, 20)
    assert ask("right") == (3 * END, None) and sluice.metric("sluice_upstream_push_checks_failed_total") == 1
