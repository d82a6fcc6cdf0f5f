# SPDX-License-Identifier: Apache-2.0
"""Which queries could be answered without raw samples: those of which each target, at each step, has a replica that lacks
nothing in what the step reads. This is known from what the replicas of a layout (layouts.py) lack; sluice must find it out.

By definition (docs/concepts.md) everything else is merged from raw samples: where no replica is complete, and of series
that do not come from targets, where none is complete for all targets of its group. An instant selector needs the newest
scrape only. VictoriaMetrics evaluates nothing, and Prometheus 2 not all.
"""
import bisect
import json
import re

from promql_data import BEGIN, SECONDS

READS_MORE = ("timestamp", "absent", "start_timestamp")  # than the value of an instant selector


def selectors_of(node, lookback, ends):
    """What the selectors of an expression read for the step at t: {"fixed": at the same time for all steps, "from", "to":
    beside t, "newest": since when the newest sample matters; None: all of them do}."""
    kind = node.get("type")

    def time_of(n):
        at = {"start": ends[0], "end": ends[1]}.get(n["startOrEnd"], n["timestamp"])
        return at is not None, (at or 0) - n["offset"]
    if kind in ("vectorSelector", "matrixSelector"):
        fixed, to = time_of(node)
        return [{"matchers": node["matchers"], "fixed": fixed, "from": to - (node.get("range") or lookback) + 1, "to": to,
                 "newest": to if kind == "vectorSelector" else None}]
    children = [c for v in node.values() for c in (v if isinstance(v, list) else [v]) if isinstance(c, dict) and "type" in c]
    found = [s for child in children for s in selectors_of(child, lookback, ends)]
    if kind == "subquery":
        fixed, by = time_of(node)
        for s in (s for s in found if not s["fixed"]):
            s.update(fixed=fixed, to=s["to"] + by)
            s["from"] += by - node["range"] + 1
            s["newest"] = None if s["newest"] is None else s["newest"] + by - node["range"] + 1
    if kind == "call" and node["func"]["name"] in READS_MORE:
        for s in found:
            s["newest"] = None
    return found


def matches(labels, matchers):
    test = {"=": lambda v, w: v == w, "!=": lambda v, w: v != w, "=~": lambda v, w: re.fullmatch(w, v, re.DOTALL),
            "!~": lambda v, w: not re.fullmatch(w, v, re.DOTALL)}
    return all(test[m["type"]](labels.get(m["name"], ""), m["value"]) for m in matchers)


def milliseconds(text):
    """Of a parameter: seconds or a duration."""
    units = {"": 1000, "ms": 1, "s": 1000, "m": 60000, "h": 3600000}
    return int(sum(float(n) * units[unit] for n, unit in re.findall(r"([0-9.]+)(ms|[smh]?)", text)))


def any_within(times, first, last):
    return bisect.bisect_left(times, first) < bisect.bisect_right(times, last)


class Replicas:
    """What each replica of a layout lacks: times of scrapes by target, and of samples of other series."""

    def __init__(self, layout, data, holes, irregular):
        self.able = [k for k, kind in enumerate(layout.kinds) if kind != "vm"]
        self.trusts, self.holes, self.lost = layout.trusts, holes, {}
        self.series = [(labels, [t for t, _ in samples], "instance" in labels and labels["__name__"] not in irregular)
                       for labels, samples in data.series]
        self.offsets = data.offsets

    def lacks(self, labels):
        """(the times of all scrapes of the target with these labels, of each replica those that it lacks)"""
        target = {k: labels[k] for k in ("job", "instance", "sg") if k in labels}
        key = json.dumps(target)
        if key not in self.lost:
            begin = 1000 * BEGIN + self.offsets[target["job"], target["instance"]]
            times = range(begin, 1000 * (BEGIN + SECONDS), 15000)
            up = {"__name__": "up", **target}
            self.lost[key] = times, [[t for t in times if self.holes and self.holes.lacks(k, up, t)] for k in self.able]
        return self.lost[key]

    def is_complete(self, labels, first, last, newest):
        """Has one of them all scrapes of the target in this time, or the newest one?"""
        times, lost = self.lacks(labels)
        first = first if newest is None else times[max(bisect.bisect_right(times, newest) - 1, 0)]
        return any(not any_within(one, first, last) for one in lost)

    def is_complete_beside(self, targets, first, last):
        """Is one of them between scrapes that it has, of each target, all of this time?"""
        lost = [self.lacks(labels)[1] for labels in targets]
        return any(not any(any_within(one[k], first - 14999, last + 14999) for one in lost) for k in range(len(self.able)))

    def selects_complete(self, selector, steps):
        """Is one complete, at each of these steps, for everything that the selector reads?"""
        selected = [one for one in self.series if matches(one[0], selector["matchers"])]
        return all(self.reads_complete(selector, selected, t) for t in (steps[:1] if selector["fixed"] else steps))

    def reads_complete(self, selector, selected, t):
        by = 0 if selector["fixed"] else t
        first, last = selector["from"] + by, selector["to"] + by
        newest = None if selector["newest"] is None else selector["newest"] + by
        for labels, times, of_target in selected:
            if not any_within(times, first, last):
                continue
            if of_target:
                complete = self.is_complete(labels, first, last, newest)
            elif "instance" in labels and self.trusts:  # exporters' timestamps
                complete = self.is_complete_beside([labels], first, last)
            else:
                complete = self.trusts and self.is_complete_beside(
                    [up for up, _, _ in self.series if up["__name__"] == "up" and up.get("sg") == labels.get("sg")], first, last)
            if not complete:
                return False
        return True

    def suffice(self, tree, params):
        """Do single replicas have all that the query reads? tree: of /api/v1/parse_query."""
        start, end, step = (int(round(1000 * float(params[k]))) for k in ("start", "end", "step")) if "start" in params else \
            (int(round(1000 * float(params["time"]))),) * 2 + (1,)
        lookback = milliseconds(params.get("lookback_delta", "5m"))
        return all(self.selects_complete(s, range(start, end + 1, step)) for s in selectors_of(tree, lookback, (start, end)))
