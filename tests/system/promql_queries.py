# SPDX-License-Identifier: Apache-2.0
"""Random PromQL over the samples of promql_data. Which construct comes next is decided by how often each was used: rare
ones first, so that all are used about as often.
"""
import collections
import json
import random
import re

from promql_data import BEGIN, SECONDS

SIMPLE = """abs acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn sin sinh sqrt tan
            tanh""".split()
DATES = "day_of_month day_of_week day_of_year days_in_month hour minute month year".split()
OVER_TIME = """avg_over_time changes count_over_time delta deriv idelta increase irate last_over_time mad_over_time
               max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time
               ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time""".split()
OF_HISTOGRAMS = """histogram_avg histogram_count histogram_stddev histogram_stdvar histogram_sum
                   histogram_fraction histogram_quantile""".split()
FUNCTIONS = SIMPLE + DATES + OVER_TIME + OF_HISTOGRAMS + """absent absent_over_time clamp clamp_max clamp_min
    double_exponential_smoothing info label_join label_replace pi predict_linear quantile_over_time round scalar sort
    sort_by_label sort_by_label_desc sort_desc time timestamp vector""".split()
GROUPED = "avg count group max min stddev stdvar sum".split()
WITH_PARAMETER = "bottomk count_values limit_ratio limitk quantile topk".split()
ARITHMETIC = "+ - * / % ^ atan2".split()
COMPARE = "== != > < >= <=".split()
SETS = "and or unless".split()
MODIFIERS = """bool by without on ignoring group_left group_right offset @ @start() @end() subquery unary- string matrix
               wrong""".split()
ALL = FUNCTIONS + GROUPED + WITH_PARAMETER + ARITHMETIC + COMPARE + SETS + MODIFIERS


# Go computes these itself: a last bit may differ, so they are asked of samples only, where no operation makes it a first.
ROUNDED = [name for name in SIMPLE if name not in ("abs", "ceil", "deg", "floor", "rad", "sgn", "sqrt")]


def unwrapped(text):
    """Without a pair of parentheses around it all: of two pairs, releases differ in where they say a note belongs."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return text[1:-1] if i == len(text) - 1 and text[0] == "(" else text
    return text


def unsure(text):
    """Whether its values are so large, or of so many roundings, that a remainder, a minute or an order is anybody's guess."""
    return re.search(rf"\^|\b({'|'.join(ROUNDED)}|std(dev|var)(_over_time)?)\b", text) is not None


def named(name):
    """As it stands in a query: names that are no words are quoted."""
    return name if re.fullmatch(r"[a-zA-Z_]\w*", name) else json.dumps(name)


class Queries:
    """Texts; uses counts every construct of ALL that was put into one."""
    DURATIONS = "7s 45s 1m 90s 2m 5m 7m30s 10m 20m 1h 1h23m 3h".split()
    STEPS = ["", "7s", "13s", "30s", "1m", "1m17s", "2m", "11m"] # of subqueries

    def __init__(self, data, seed):
        self.r, self.data = random.Random(f"queries {seed}"), data
        self.uses = collections.Counter({name: 0 for name in ALL})
        self.vectors = [(self.selected, 3), (self.over_time, 4), (self.mapped, 11), (self.aggregated, 4),
                        (self.aggregated_with, 3.2), (self.with_number, 3), (self.two_sides, 4), (self.joined, 1.3),
                        (self.set_operation, 2), (self.histogram, 3.8), (self.of_labels, 2.8), (self.rare, 2)]

    def use(self, name):
        self.uses[name] += 1
        return name

    def rarest(self, names):
        return self.use(min(names, key=lambda name: (self.uses[name] + 1) * (0.2 + self.r.random())))

    def maybe(self, chance):
        return self.r.random() < chance

    def one(self, *choices):
        return self.r.choice(choices)

    # Selectors.

    def metric(self, *kinds):
        return self.r.choice([m for m, kind in sorted(self.data.kinds.items()) if kind in kinds])

    def matchers(self, metric):
        of_metric = [labels for labels, _ in self.data.series if labels["__name__"] == metric]
        out = []
        while self.maybe(0.3):
            k, v = self.r.choice(sorted(self.r.choice(of_metric).items())[1:] or [("job", "")])
            pattern = re.sub(r"([.+*?()\[\]{}|^$\\])", r"\\\1", v)
            op, text = self.one(("=", v), ("=~", pattern), ("=~", f"{pattern[:1]}.*"), ("=~", f".*{pattern[-1:]}|x"),
                                ("!=", "none"), ("!~", f"{pattern}x"), ("=~", ".+"), ("!=", v))
            out.append(f"{named(k)}{op}{json.dumps(text, ensure_ascii=False)}")
        return out

    def selector(self, *kinds, metric=None):
        metric = metric or self.metric(*(kinds or ("counter", "gauge", "gauge", "info", "odd", "bucket", "mixed", "utf8")))
        matchers = self.matchers(metric)
        if self.maybe(0.05) or named(metric) != metric:
            return "{" + ", ".join([json.dumps(metric)] + matchers) + "}"
        return metric + ("{" + ",".join(matchers) + "}" if matchers else self.one("", "", "{}"))

    def shifted(self):
        """What may stand behind a selector."""
        out = ""
        if self.maybe(0.08):
            out += f" {self.use('offset')} {self.one('1m', '5m', '-3m', '-90s', '1h', '30', '-1h', '1500ms', '1d', '-7m31s')}"
        if self.maybe(0.08):
            at = self.rarest(["@", "@start()", "@end()"])
            moment = self.moment() if self.maybe(0.9) else self.one(0, -5, 1e9)
            out += f" @ {moment:.3f}" if at == "@" else f" @ {at[1:]}"
        return out

    def moment(self):
        """Some lie before the first or behind the last sample."""
        low, high = (1200, SECONDS - 300) if self.maybe(0.94) else (-900, SECONDS + 900)
        return BEGIN + self.r.randint(low, high) + self.one(0, 0, 0.5, 0.123)

    def window(self):
        return self.one(*self.DURATIONS)

    def matrix(self, depth, *kinds):
        if depth > 0 and self.maybe(0.15):
            self.use("subquery")
            return f"({self.vector(depth - 1)})[{self.window()}:{self.one(*self.STEPS)}]{self.shifted()}"
        return f"{self.selector(*kinds)}[{self.window()}]{self.shifted()}"

    # Vectors.

    def vector(self, depth):
        if depth <= 0:
            leaf = self.selected(0) if self.maybe(0.6) else self.over_time(0)
            return f"{self.rarest(ROUNDED)}({self.selected(0)})" if self.maybe(0.4) else leaf
        makers, weights = zip(*self.vectors)
        return self.r.choices(makers, weights)[0](depth)

    def selected(self, _depth):
        return self.selector() + self.shifted()

    def over_time(self, depth):
        name = self.rarest(OVER_TIME + ["quantile_over_time", "predict_linear", "double_exponential_smoothing"])
        kinds = ("counter",) if name in ("rate", "increase", "irate", "resets") and self.maybe(0.7) else ()
        if name == "double_exponential_smoothing":
            return f"{name}({self.matrix(depth)}, {self.one(0.1, 0.5, 0.9)}, {self.one(0.2, 0.7)})"
        histograms = self.one("native", "native", "native" if name in ("rate", "increase") else "level")
        window = self.matrix(depth, *(kinds or ((histograms,) if self.maybe(0.12) else ())))
        if name == "quantile_over_time":
            return f"{name}({self.quantile()}, {window})"
        if name == "predict_linear":
            return f"{name}({window}, {self.one('60', '3600', '-300', '1h')})"
        return f"{name}({window})"

    def quantile(self):
        return self.one("0", "0.1", "0.5", "0.9", "0.99", "1", "0.25", "-0.1", "1.2", "NaN")

    def mapped(self, depth):
        name = self.rarest(DATES + [name for name in SIMPLE if name not in ROUNDED] + ["clamp", "clamp_max", "clamp_min", "round", "timestamp", "sort", "sort_desc",
                                             "unary-"])
        inner = self.vector(depth - 1)
        if name == "unary-":
            return f"-({inner})"
        if name in ("sort", "sort_desc") and unsure(inner):
            inner = self.selected(0)
        if name in DATES and (self.maybe(0.7) or unsure(inner)):
            return f"{name}()" if self.maybe(0.3) else f"{name}(timestamp({self.selected(0)}) * {self.one(1, 1.3, 7)})"
        extra = {"clamp": ", -2, " + self.scalar(0), "clamp_max": ", " + self.scalar(0), "clamp_min": ", 0.5",
                 "round": self.one("", ", 0.25", ", 7", ", 1e-3")}.get(name, "")
        return f"{name}({inner}{extra})"

    def labels(self, *more):
        return sorted(self.r.sample(["job", "instance", "code", "method", "mode", "path", "n", '"service.name"', *more],
                                    self.one(0, 1, 1, 2, 3)))

    def grouping(self):
        if self.maybe(0.2):
            return ""
        return f" {self.rarest(['by', 'without'])} ({', '.join(self.labels())})"

    def aggregated(self, depth):
        name = self.rarest(GROUPED)
        if self.maybe(0.12):
            return f"{name}{self.grouping()} ({self.selector('native', 'mixed')})"
        inner = unwrapped(self.vector(depth - 1))
        return f"{name}({inner}){self.grouping()}" if self.maybe(0.2) else f"{name}{self.grouping()} ({inner})"

    def aggregated_with(self, depth):
        name = self.rarest(WITH_PARAMETER)
        parameter = {"bottomk": self.one("1", "2", "5"), "topk": self.one("1", "3", "5", "100"),
                     "limitk": self.one("1", "2", "4"), "limit_ratio": self.one("0.3", "0.8", "-0.4", "1", "-1"),
                     "quantile": self.quantile(), "count_values": self.one('"value"', '"job"')}[name]
        if name in ("topk", "bottomk"): # of equal values any may be chosen
            inner = self.one("temperature", "memory_bytes", "deriv(temperature[5m])", "avg_over_time(memory_bytes[10m])",
                             "short", "sparse")
        elif name == "count_values":
            inner = self.selector(metric=self.one("queue_length", "up", "build_info", "requests_total"))
        else: # in range queries Prometheus keeps no order of what it computes, so that limitk takes any
            inner = self.selector() if name == "limitk" else unwrapped(self.vector(depth - 1))
        return f"{name}{self.grouping()} ({parameter}, {inner})"

    def operator(self):
        """And the bool that may follow a comparison."""
        op = self.rarest(ARITHMETIC + COMPARE)
        if op in COMPARE and self.maybe(0.5):
            return f"{op} {self.use('bool')}"
        return op

    def with_number(self, depth):
        op = self.operator()
        sides = [self.vector(depth - 1), self.scalar(depth - 1)]
        if op == "%" and any(map(unsure, sides)):
            sides = [self.selected(0), "2.5"]
        if op.split()[0] in COMPARE and "bool" not in op:
            sides[1] = {"==": "1", "<": "1000", "<=": "1e6"}.get(op, "0.5")
        elif self.maybe(0.4):
            sides.reverse()
        return f"({sides[0]} {op} {sides[1]})"

    def two_sides(self, depth):
        op = self.operator()
        text = self.pair(op, depth)
        if op.split()[0] in COMPARE and re.search(r"\bstd(dev|var)", text): # where two are equal, the last bit would decide
            text = self.pair(self.rarest(["+", "-", "*"]), depth)
        return text

    def pair(self, op, depth):
        how = self.r.random()
        if how < 0.4: # the same series through two functions
            metric = self.metric("counter", "gauge")
            left, right = (f"{self.rarest(OVER_TIME)}({self.selector(metric=metric)}[{self.window()}])" for _ in "ab")
            return f"({left} {op} {right})"
        labels = ", ".join(self.labels())
        if how < 0.7:
            left, right = (f"{self.rarest(GROUPED)} {self.use('by')} ({labels}) ({unwrapped(self.vector(depth - 1))})" for _ in "ab")
            return f"({left} {op} {right})"
        if how < 0.95:
            metric = self.metric("counter", "gauge")
            match = self.rarest(["on", "ignoring"])
            by = "job, instance, code, method, mode, kind, pod, step" if match == "on" else "nothing"
            return f"({metric} {op} {match} ({by}) {self.selector(metric=metric)}{self.shifted()})"
        sides = [self.vector(depth - 1) for _ in "ab"]
        if any(re.search(r"count_values|\[\w+:", side) for side in sides): # which of two duplicates is met first is chance
            sides = [self.selected(0), self.over_time(0)]
        return f"({sides[0]} {op} {self.rarest(['on', 'ignoring'])} ({labels}) {sides[1]})"

    def joined(self, depth):
        op, side = self.operator(), self.rarest(["group_left", "group_right"])
        many = self.one("requests_total", "rate(cpu_seconds_total[5m])", "latency_bucket", "memory_bytes", "temperature")
        one = self.one("build_info", "up", "temperature", f"sum by (job, instance) ({self.selector('counter')})")
        extra = self.one("", "", "(version)", "(version, kind)")
        match = f"{self.use('on')} (job, instance)" if self.maybe(0.8) else \
            f"{self.use('ignoring')} (code, method, mode, le, kind, version)"
        sides = (many, one) if side == "group_left" else (one, many)
        return f"({sides[0]} {op} {match} {side} {extra} {sides[1]})"

    def set_operation(self, depth):
        op = self.rarest(SETS)
        match = f" {self.rarest(['on', 'ignoring'])} ({', '.join(self.labels())})" if self.maybe(0.4) else ""
        if self.maybe(0.5):
            metric = self.metric("counter", "gauge")
            return f"({self.selector(metric=metric)} {op}{match} {self.selector(metric=metric)}{self.shifted()})"
        return f"({self.vector(depth - 1)} {op}{match} {self.vector(depth - 1)})"

    def histogram(self, depth):
        name = self.rarest(OF_HISTOGRAMS)
        if name in ("histogram_quantile", "histogram_fraction"):
            inner = self.one(self.classic_input, self.native_input)()
            parameter = self.quantile() if name == "histogram_quantile" else self.one("0.2, 3", "-Inf, 1", "2, 1", "0.7, +Inf")
            return f"{name}({parameter}, {inner})"
        return f"{name}({self.native_input() if self.maybe(0.95) else self.vector(depth - 1)})"

    def classic_input(self):
        inner = self.one("latency_bucket", "latency_bucket", 'latency_bucket{job="api"}', 'latency_bucket{instance=~".*0:.*"}')
        if self.maybe(0.8):
            inner = f"{self.rarest(['rate', 'increase'])}({inner}[{self.window()}])"
        return f"{self.use('sum')} {self.use('by')} (le{self.one('', ', job', ', job, instance')}) ({inner})" \
            if self.maybe(0.6) else inner

    def native_input(self):
        kind = self.one("native", "native", "native", "level")
        inner = self.selector(kind)
        if self.maybe(0.6):
            names = ["rate", "increase", "delta", "last_over_time"][2 * (kind == "level"):]
            inner = f"{self.rarest(names)}({inner}[{self.window()}])"
        if self.maybe(0.3):
            inner = f"({inner} {self.rarest(['*', '/'])} {self.one(2, 0.5)})"
        return f"{self.rarest(['sum', 'avg'])}{self.grouping()} ({inner})" if self.maybe(0.4) else inner

    def of_labels(self, depth):
        name = self.rarest(["label_replace", "label_join", "sort_by_label", "sort_by_label_desc", "info"])
        inner = self.vector(depth - 1)
        if name == "info":
            wanted = self.one("", ', {release=~".+"}', ', {release="new"}')
            return f"info({self.one('temperature', 'up', 'memory_bytes', 'rate(requests_total[5m])')}{wanted})"
        if name == "label_join":
            return f'{name}({inner}, "{self.one("all", "job")}", "{self.one("-", "")}", "job", "instance")'
        if name == "label_replace":
            return f'{name}({inner}, "{self.one("new", "job", "__name__")}", "{self.one("$1", "x-${1}", "", "$2$1")}", ' \
                   f'"{self.one("instance", "job", "gone")}", "{self.one("(.*)", "([a-z]+)-(.*)", "api.*")}")'
        by = self.one('"job"', '"instance", "code"', '"n", "mode"')
        if " or " in inner: # there is no order of series with a label and series without one in Prometheus
            inner = self.selected(0)
        return f"{name}({inner}, {by})"

    def rare(self, depth):
        name = self.rarest(["absent", "absent_over_time", "vector"])
        nothing = self.one('nothing{job="x", n=~"1"}', 'up{job="gone"}', self.selector())
        if name == "absent":
            return f"absent({nothing if self.maybe(0.8) else self.vector(depth - 1)})"
        if name == "absent_over_time":
            return f"absent_over_time({nothing}[{self.window()}])"
        return f"vector({self.scalar(depth - 1)})"

    def scalar(self, depth):
        kind = self.r.random()
        if depth <= 0 or kind < 0.5:
            if self.maybe(0.25):
                return f"{self.rarest(['pi', 'time'])}()"
            return self.one("0", "1", "2.5", "-3", "0x1f", "1e3", "1_000", "Inf", "NaN", "0.5", "1m")
        if kind < 0.8:
            self.use("scalar")
            return f"scalar({self.one(self.selector(metric='temperature'), f'sum({unwrapped(self.vector(depth - 1))})', 'sparse')})"
        sides = [self.scalar(depth - 1) for _ in "ab"]
        op = self.rarest([op for op in ARITHMETIC if op != "%"] if any(map(unsure, sides)) else ARITHMETIC)
        return f"({sides[0]} {op} {sides[1]})"

    # Whole queries.

    WRONG = ["sum(", "rate({v})", "{v} + on(job", "foo{{", "sum by (job {v}", "topk({v})", "{v}[5m]", "histogram_quantile({v})",
             "{v} and 1", "1 > 2", "nofunc({v})", "{v} offset", "{v} @ foo", "label_replace({v}, \"a\", \"b\", \"c\", \"(\")",
             "{{}}", "{{job=~\".*\"}}", "rate({m}[0s])", "sum({v}) by", "{v} == bool on(job) group_left group_right {v}",
             "requests_total * on(job) requests_total", "up * on(instance) group_left requests_total",
             "count_values(\"bad label\xff\", up)", "count_values(\"\", up)", "-\"text\"", "scalar(1)", "vector({v})",
             "{m}[5m:]", "{m}[5m", "1 + ", "clamp({v}, 1)", "bool 1", "{v} bool + 1", "\"open", "up{{job='x'", "!{v}",
             "sum without(", "time(1)", "label_join(up, \"~\", \"\", \"a\")", "sum(up, up)", "limit_ratio(2, up)", "topk(NaN, vector(1))",
             "predict_linear({v}, 1)", "round(up, up)", "absent(1)", "up[1d:0s]", "1 unless up", "up{{job=~\"(\"}}", "5 5"]

    def query(self):
        """(text, whether a range query can be asked of it)"""
        kind, depth = self.r.random(), self.one(0, 1, 1, 2, 2, 3)
        if kind < 0.03:
            self.use("matrix")
            return self.matrix(depth, *(("native", "mixed") if self.maybe(0.3) else ())), self.maybe(0.1)
        if kind < 0.06:
            self.use("wrong")
            return self.r.choice(self.WRONG).format(v=self.selector(), m=self.metric("gauge", "counter")), True
        if kind < 0.08:
            self.use("string")
            return json.dumps(self.one("", "text", "é\n", "a\"b<&>")), self.maybe(0.1)
        if kind < 0.1:
            return self.scalar(max(depth, 1)), True
        if kind < 0.14:
            inner = self.vector(depth)
            inner = self.selected(0) if unsure(inner) else inner
            return f"{self.rarest(['sort', 'sort_desc'])}({inner})", self.maybe(0.3)
        return self.vector(depth), True

    def request(self):
        """(path, parameters)"""
        text, ranged = self.query()
        more = self.further(text)
        if not ranged or self.maybe(0.5):
            return "/api/v1/query", {"query": text, "time": f"{self.moment():.3f}", **more}
        step = self.one(15, 30, 60, 60, 37, 113, 300, 7.5, 1, 900, 3600)
        begin = self.moment() - 600
        return "/api/v1/query_range", {"query": text, "start": f"{begin:.3f}", "step": f"{step}",
                                       "end": f"{begin + step * self.r.randint(0, 40):.3f}", **more}

    def further(self, text):
        """Parameters that few requests have, some of them wrong. A limit only where the order is known."""
        out = {}
        if self.maybe(0.06):
            out["lookback_delta"] = self.one("10s", "1m", "20m", "2h", "90", "7.5")
        if self.maybe(0.04) and not re.search(r"limitk|info|count_values|histogram_|sort|topk|bottomk|\[\w+:", text):
            out["limit"] = self.one("1", "2", "7", "1000", "0")
        if self.maybe(0.01):
            out.update(self.one({"time": "yesterday", "start": "now"}, {"timeout": "soon"}, {"lookback_delta": "-1m"},
                                {"limit": "many"}, {"limit": "-1"}, {"step": "0"}, {"step": "-1"}, {"step": "0.001"},
                                {"end": f"{BEGIN - 9000}"}, {"step": "x"}, {"query": ""}))
        return out
