# SPDX-License-Identifier: Apache-2.0
"""Two answers of the query API, held against each other: the status, the error's type and text, the result's type, label
sets, order, times, values (to 1e-12 of the larger one) and both kinds of annotations. Where the release that sluice
follows changed the answer, KNOWN says so.
"""
import collections
import http.client
import json
import re
import urllib.parse

import lib

TOLERANCE = 1e-12
ROUGH = 1e-6 # of deviations and remainders of large numbers: the last bits depend on the order of addition, and
             # Prometheus keeps none in range queries

# Where the newest release, which sluice follows, answers other than 3.5: what differs, in which queries, with which
# words (all of them, from the first to the last), and why.
PLACE = r" \(\d+:\d+\)"
POINT = r".*: at [\d.]+: "
GROUP = (r"execution: found duplicate series for the match group (?P<group>.*) on the (?P<side>left|right) "
         "hand-side of the operation: ")
SAME = ", wanted " + GROUP.replace("?P<group>.*", "?P=group").replace("?P<side>left|right", "?P=side")
KNOWN = [
    ("result", r"\bmad_over_time\(.*\bodd\b", POINT + r"NaN, wanted .*|series only here \[\], only there .*",
     "a NaN in the window makes mad_over_time() NaN"),
    ("result", r"^(?!mad_over_time).*\bmad_over_time\(.*\bodd\b", POINT + ".*|series only .*|times .*",
     "a NaN in the window makes mad_over_time() NaN"),
    ("result", r"\bmad_over_time\(.*\b(ln|log2|log10|sqrt|acos|asin|acosh|atanh)\(", POINT + r"NaN, wanted .*",
     "a NaN in the window makes mad_over_time() NaN"),
    ("result", r"\btimestamp\(\(*\w*(\{[^}]*\})?( offset -.*@|.*@.* offset -)", POINT + ".*|series only .*",
     "(there, and in newer ones, timestamp() loses a negative offset beside @)"),
    ("result", r"\b(std(dev|var)|exp|sinh|cosh)\b.*%", POINT + ".*",
     "(the remainder of a deviation or of an exponential has no digit that can be relied on)"),
    ("result", r"\b(day_of_\w+|days_in_month|hour|minute|month|year)\(.*\b(exp|sinh|cosh)\(", POINT + ".*",
     "(the date of an exponential hangs on its last bit)"),
    ("result", r"\bstd(dev|var)\b.*(==|!=|>|<|>=|<=)|(==|!=|>|<|>=|<=).*\bstd(dev|var)\b",
     POINT + "(0, wanted 1|1, wanted 0)|series only .*|times .*",
     "(a comparison with a deviation hangs on its last bit)"),
    ("result", r"histogram_(quantile|fraction)\(.*\b(avg|sum)\b.*\bi?delta\(", POINT + ".*",
     "(where buckets are negative a quantile of their sum hangs on its last bit)"),
    ("status", r" (==|!=|>|<|>=|<=) on", r"200 , wanted .*many-to-one matching must be explicit.*|"
     r"422 multiple matches for labels: many-to-one matching must be explicit.*, wanted 200 ",
     "it is an error for comparisons, too"),
    ("result", r"\binfo\(", ".*times .*|series only here .*, only there .*",
     "while two info series overlap, steps were left out"),
    ("result", r"^(?!info).*\binfo\(", POINT + ".*",
     "while two info series overlap, steps were left out"),
    ("error", r"\boffset$", r"bad_data: .*expected number, duration, step\(\), or range\(\).*",
     "more may stand after offset"),
    ("error", "", GROUP + r"\[(?P<x>\{.*\}), (?P<y>\{.*\})\](?P<end>;.*)" + SAME + r"\[(?P=y), (?P=x)\](?P=end)",
     "of duplicates, the two are named in order of their text"),
    ("error of a range", "", GROUP + ".*" + SAME.replace("(?P=group)", ".*") + ".*",
     "(there, steps go through what is joined in any order)"),
    ("error", r"\b(top|bottom|limit)k\b",
     "execution: Parameter value is NaN, wanted execution: Scalar value NaN overflows int64",
     "NaN is refused by name"),
    ("error", r"\blimit_ratio\b", "execution: Ratio value is NaN, wanted execution: Ratio value NaN is NaN",
     "NaN is refused by name"),
]
NEWER_NOTES = [
    ("PromQL warning: sort is ineffective for range queries since results are always ordered by labels" + PLACE,
     "sort() says in range queries that it has no effect"),
    ("PromQL warning: conflicting counter resets during histogram (addition|subtraction|aggregation)" + PLACE,
     "resets of histograms that contradict each other are told"),
]

# Queries that decide the order of an instant result. Prometheus returns all others in the order of its index; sluice,
# which has no single index, sorts them by labels.
LIMITED = "results truncated due to limit"
DECIDES_ORDER = re.compile(r"[\s(+-]*(sort\w*|topk|bottomk)\b")
# Queries with instant results in an order that Prometheus itself does not keep from one time to the next (it goes
# through a Go map), or where series with equal values may stand in any order.
UNORDERED = r"\b(count_values|info|histogram_quantile|histogram_fraction)\b|\[\w+:"
DEVIATIONS = r"\bstd(dev|var)(_over_time)?\b|%|\bmad_over_time\b"
OF_TIMES = r"\bstd(dev|var)\b.*\bt(s_of_|imestamp\b)"


class Server:
    """One connection that stays open."""

    def __init__(self, url):
        self.address, self.connection = urllib.parse.urlsplit(url).netloc, None

    def ask(self, path, params):
        for last in (False, True):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=60)
            try:
                self.connection.request("POST", path, urllib.parse.urlencode(params),
                                        {"Content-Type": "application/x-www-form-urlencoded"})
                response = self.connection.getresponse()
                return response.status, json.loads(response.read())
            except (http.client.HTTPException, OSError):
                self.connection = None
                if last:
                    raise


def numbers_differ(a, b, tolerance=TOLERANCE):
    x, y = lib.number(a), lib.number(b)
    return not (x == y or (x != x and y != y) or abs(x - y) <= tolerance * max(abs(x), abs(y)))


def roughly_differ(a, b):
    """Deviations of what is nearly equal are nothing but rounding: of tanh() of large counters 1e-12, in any order."""
    return numbers_differ(a, b, ROUGH) and not abs(lib.number(a)) + abs(lib.number(b)) < 1e-10


def deviations_of_times_differ(a, b):
    """A nanosecond is 1e-6 of a deviation of some milliseconds: that is how exact a double is that counts seconds."""
    return numbers_differ(a, b, 1e-3)


def histograms_differ(a, b):
    mine, theirs = a.get("buckets", []), b.get("buckets", [])
    return numbers_differ(a["count"], b["count"]) or numbers_differ(a["sum"], b["sum"]) or len(mine) != len(theirs) or \
        any(x[0] != y[0] or any(numbers_differ(u, v) for u, v in zip(x[1:], y[1:])) for x, y in zip(mine, theirs))


def points_differ(a, b, differ):
    if [t for t, _ in a] != [t for t, _ in b]:
        return f"times {[t for t, _ in a][:6]} ({len(a)}), wanted {[t for t, _ in b][:6]} ({len(b)})"
    for (t, x), (_, y) in zip(a, b):
        if differ(x, y):
            return f"at {t}: {x}, wanted {y}"
    return None


def series_differ(a, b, floats_differ):
    for key, differ in (("value", floats_differ), ("values", floats_differ), ("histogram", histograms_differ),
                        ("histograms", histograms_differ)):
        if (key in a) != (key in b):
            return f"{key} only {'here' if key in a else 'there'}"
        if key in a:
            mine, wanted = ([s[key]] if key in ("value", "histogram") else s[key] for s in (a, b))
            why = points_differ(mine, wanted, differ)
            if why:
                return why
    return None


def results_differ(query, a, b, limited=False):
    """limited: both returned the first series of their order only, which is not the same order (see DECIDES_ORDER)."""
    if a["resultType"] != b["resultType"]:
        return f"type {a['resultType']}, wanted {b['resultType']}"
    if a["resultType"] == "scalar":
        return points_differ([a["result"]], [b["result"]], numbers_differ)
    if a["resultType"] == "string":
        return None if a["result"] == b["result"] else f"{a['result']}, wanted {b['result']}"
    mine, wanted = ([json.dumps(s["metric"], sort_keys=True) for s in x["result"]] for x in (a, b))
    limited = limited and a["resultType"] == "vector"
    if len(mine) != len(wanted) if limited else sorted(mine) != sorted(wanted):
        return f"series only here {sorted(set(mine) - set(wanted))[:3]}, only there {sorted(set(wanted) - set(mine))[:3]}"
    order = [sorted(s["metric"].items()) for s in a["result"]]
    if DECIDES_ORDER.match(query) and mine != wanted and not re.search(UNORDERED, query):
        return f"order {mine[:4]}, wanted {wanted[:4]}"
    if not re.search(r"sort|topk|bottomk", query) and order != sorted(order):
        return f"not sorted by labels: {mine[:4]}"
    theirs = dict(zip(wanted, b["result"]))
    differ = deviations_of_times_differ if re.search(OF_TIMES, query) else \
        roughly_differ if re.search(DEVIATIONS, query) else numbers_differ
    for labels, s in zip(mine, a["result"]):
        if limited and labels not in theirs:
            continue
        why = series_differ(s, theirs[labels], differ)
        if why:
            return f"{labels}: {why}"
    return None


def sorting_differs(query, ours, theirs):
    """Of sort() the values must come in the same order, whatever stands beside equal ones."""
    if ours["resultType"] != "vector" or not re.match(r"sort(_desc)?\(", query):
        return None
    mine, wanted = ([s["value"][1] for s in x["result"] if "value" in s] for x in (ours, theirs))
    bad = next((i for i, (x, y) in enumerate(zip(mine, wanted)) if numbers_differ(x, y)), None)
    return None if bad is None else f"at place {bad}: {mine[bad]}, wanted {wanted[bad]}"


def notes_differ(a, b):
    for kind in ("warnings", "infos"):
        mine, wanted = sorted(a.get(kind, [])), sorted(b.get(kind, []))
        cut = any("more" in note and "omitted" in note for note in wanted)
        if (len(mine) != len(wanted)) if cut else (mine != wanted):
            return f"{kind} {mine}, wanted {wanted}"
    return None


def answers_differ(query, ours, theirs):
    """None, or (what: status, error, result or notes, why)."""
    (status, a), (wanted, b) = ours, theirs
    if status != wanted:
        return "status", f"{status} {a.get('error', '')}, wanted {wanted} {b.get('error', '')}"
    if a["status"] == "error":
        same = (a["errorType"], a["error"]) == (b["errorType"], b["error"])
        return None if same else ("error", f"{a['errorType']}: {a['error']}, wanted {b['errorType']}: {b['error']}")
    limited = LIMITED in a.get("warnings", []) and LIMITED in b.get("warnings", [])
    why = results_differ(query, a["data"], b["data"], limited) or sorting_differs(query, a["data"], b["data"])
    if why:
        return "result", why
    why, (older, reason) = notes_differ(a, b), without_newer_notes(a, b)
    return None if not why else ("notes", why) if notes_differ(older, b) else ("newer notes", reason)


def without_newer_notes(a, b):
    """The notes of a but for those that the older release does not have, and why it has not."""
    newer = {note: reason for note in a.get("warnings", []) if note not in b.get("warnings", [])
             for pattern, reason in NEWER_NOTES if re.fullmatch(pattern, note)}
    rest = [note for note in a.get("warnings", []) if note not in newer]
    return {"warnings": rest, "infos": a.get("infos", [])}, "; ".join(sorted(set(newer.values())))


def known(what, query, why):
    if what == "newer notes":
        return why
    return next((reason for kind, pattern, words, reason in KNOWN
                 if kind == what and re.search(pattern, query) and re.fullmatch(words, why, re.DOTALL)), None)


class Comparison:
    """Asks both and keeps count."""

    def __init__(self, ours, theirs):
        self.ours, self.theirs = Server(ours), Server(theirs)
        self.asked = self.filled = self.errors = 0
        self.known, self.wrong = collections.Counter(), []

    def compare(self, path, params):
        ours, theirs = self.ours.ask(path, params), self.theirs.ask(path, params)
        self.asked += 1
        self.errors += theirs[1]["status"] == "error"
        self.filled += theirs[1]["status"] == "success" and bool(theirs[1]["data"]["result"])
        found = answers_differ(params["query"], ours, theirs)
        if found is None:
            return
        reason = known(found[0], params["query"], found[1])
        if not reason and path.endswith("_range"):
            reason = known(f"{found[0]} of a range", params["query"], found[1])
        if reason:
            self.known[reason] += 1
        else:
            self.wrong.append((path, params, *found))

    def report(self):
        for path, params, what, why in self.wrong[:40]:
            rest = " ".join(f"{k}={v}" for k, v in params.items() if k != "query")
            print(f"{what}: {params['query']}\n    {path.split('/')[-1]} {rest}\n    {why[:900]}")
        for reason, n in self.known.items():
            print(f"{n} differ as the newest release does: {reason}")
        print(f"{self.asked} queries, {self.filled} with an answer that is not empty, {self.errors} errors, "
              f"{sum(self.known.values())} differ as they should, {len(self.wrong)} differ")
