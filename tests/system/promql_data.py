# SPDX-License-Identifier: Apache-2.0
"""Random samples for PromQL: counters with resets, gauges, gaps, stale markers, odd numbers, classic and native
histograms, at several intervals. Values are multiples of 1/64, so that sums do not depend on the order of addition.
"""
import collections
import random

import wire

BEGIN = 1_700_006_400          # of the samples, in seconds; a multiple of two hours, where Prometheus cuts its blocks
SECONDS = 7200


class Data:
    """series: [(labels, [(ms, value or Histogram)])]; kinds: metric -> kind."""

    def __init__(self, seed):
        self.r = random.Random(f"data {seed}")
        self.series, self.kinds = [], {}
        for job, instances in (("api", 3), ("db", 2), ("web", 1)):
            for i in range(instances):
                self.target({"job": job, "instance": f"{job}-{i}:9100"}, i)
        for n in range(4):
            self.add("odd", {"n": f"{n}", "text": 'é世 "q" \\'}, self.odd(30), "odd")
            self.add("short", {"pod": f"p{n}"}, self.part(self.gauge(15, 0, 50), n / 5, n / 5 + 0.4), "gauge")
            self.add("sparse", {"step": f"{n}"}, self.gauge(200 + 40 * n, -5, 5, jitter=9000), "gauge")
            self.add("mixed", {"n": f"{n}"}, self.mixed(n), "mixed")
            self.add("http.requests", {"service.name": f"shop {n}", "n": f"{n}"}, self.counter(20, 30, gaps=0.02), "utf8")
            self.add("shape", {"n": f"{n}"}, self.reshaped(n), "native")
            self.add("level", {"n": f"{n}"}, self.levels(n), "level")

    def add(self, name, labels, samples, kind):
        self.series.append(({"__name__": name, **labels}, samples))
        self.kinds[name] = kind

    def target(self, base, i):
        for code in ("200", "404", "500"):
            for method in ("GET", "POST"):
                self.add("requests_total", {**base, "code": code, "method": method}, self.counter(15, 9), "counter")
        for mode in ("idle", "user"):
            self.add("cpu_seconds_total", {**base, "mode": mode}, self.counter(30, 15, 1 / 64, gaps=0.01), "counter")
        self.add("temperature", base, self.gauge(15, -40, 90, jitter=400), "gauge")
        self.add("memory_bytes", {**base, "kind": "rss"}, self.gauge(60, 1 << 20, 1 << 33, gaps=0.02), "gauge")
        self.add("queue_length", base, self.gauge(30, 0, 6, stale=0.03, whole=True), "gauge")
        self.add("up", base, self.gauge(15, 0, 1, stale=0.005, whole=True), "gauge")
        self.add("build_info", {**base, "version": f"1.{i % 2}"}, self.constant(60, 1), "info")
        for half, release in ((0, "old"), (0.5, "new")):
            self.add("target_info", {**base, "release": release}, self.part(self.constant(60, 1), half, half + 0.5),
                     "info")
        self.classic(base)
        self.add("size", {**base, "path": "/"}, self.histograms(15, 3, whole=True), "native")
        self.add("size", {**base, "path": "/x"}, self.histograms(30, 1, gaps=0.02), "native")
        self.add("weight", base, self.histograms(60, -53), "native")

    def times(self, step, jitter=0):
        offset = self.r.randrange(step * 1000)
        for t in range(BEGIN * 1000 + offset, (BEGIN + SECONDS) * 1000, step * 1000):
            yield t + (self.r.randint(0, jitter) if jitter else 0)

    def counter(self, step, most, unit=1, gaps=0.0):
        v, out, skip = 0, [], 0
        for t in self.times(step):
            v = 0 if self.r.random() < 0.006 else v + self.r.randint(0, most)
            skip = self.r.randint(3, 40) if not skip and self.r.random() < gaps else max(skip - 1, 0)
            if not skip:
                out.append((t, v * unit))
        return out

    def gauge(self, step, low, high, jitter=0, gaps=0.0, stale=0.0, whole=False):
        out, skip = [], 0
        for t in self.times(step, jitter):
            if skip:
                skip -= 1
                continue
            if self.r.random() < gaps:
                skip = self.r.randint(3, 40)
            if self.r.random() < stale:
                out.append((t, wire.STALE))
                skip = self.r.randint(0, 20)
                continue
            out.append((t, self.r.randint(low, high) if whole else self.r.randint(low * 64, high * 64) / 64))
        return out

    def constant(self, step, v):
        return [(t, v) for t in self.times(step)]

    def odd(self, step):
        strange = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-300, -1e300, 1e21, 123456789012345680.0)
        return [(t, self.r.choice(strange) if self.r.random() < 0.15 else self.r.randint(-600, 600) / 64)
                for t in self.times(step)]

    @staticmethod
    def part(samples, begin, end):
        low, high = (1000 * (BEGIN + share * SECONDS) for share in (begin, end))
        return [s for s in samples if low <= s[0] < high]

    def mixed(self, n):
        """Floats for a while, then histograms; the first is always a float, the last changes back for a while."""
        floats, hists = self.gauge(30, 0, 9), self.histograms(30, 2)
        if n == 0:
            return floats
        cut = 1000 * (BEGIN + n * SECONDS // 4)
        out = [s for s in floats if s[0] < cut] + [s for s in hists if s[0] >= cut]
        return out if n < 3 else sorted(dict(out + self.part(floats, 0.85, 0.9)).items())

    def classic(self, base):
        bounds = ("0.1", "0.5", "1", "2.5", "10", "+Inf")
        counts, total = [0] * len(bounds), 0.0
        buckets, sums = [[] for _ in bounds], []
        for t in self.times(15):
            if self.r.random() < 0.004:
                counts, total = [0] * len(bounds), 0.0
            for _ in range(self.r.randint(0, 9)):
                at = min(int(abs(self.r.gauss(1.5, 1.6))), len(bounds) - 1)
                counts = [c + (i >= at) for i, c in enumerate(counts)]
                total += self.r.randint(0, 640) / 64
            for samples, c in zip(buckets, counts):
                samples.append((t, c))
            sums.append((t, total))
        for bound, samples in zip(bounds, buckets):
            self.add("latency_bucket", {**base, "le": bound}, samples, "bucket")
        self.add("latency_count", base, buckets[-1], "counter")
        self.add("latency_sum", base, sums, "counter")

    def histograms(self, step, schema, gaps=0.0, whole=False, both=False):
        """Counting up, with resets to half. schema -53 has custom bounds. Counts are large: extrapolation of small
        ones differs between releases."""
        below = {at: 3000 + self.r.randint(0, 999) for at in range(-2, 3)} if both else {}
        some = {at: 5000 + self.r.randint(0, 999) for at in (range(5) if schema == -53 else (-6, -5, 0, 1, 2, 7, 11))}
        out, counts, total, zeros, skip = [], some, 99999.0, 0 if schema == -53 else 100, 0
        for t in self.times(step):
            if self.r.random() < 0.006:
                counts, total, zeros = {at: n // 2 for at, n in counts.items()}, total // 2, zeros // 2
                below = {at: n // 2 for at, n in below.items()}
            for _ in range(self.r.randint(0, 6)):
                at = self.r.randint(0, 4) if schema == -53 else self.r.randint(-6, 12)
                counts[at] = counts.get(at, 0) + 1
                total += self.r.randint(0, 640) / 64
            for at in below:
                below[at] += self.r.randint(0, 1)
            total += 1 / 64 # no two are equal: chunks of Prometheus may tell equal ones apart by their layout
            zeros += schema != -53 and self.r.random() < 0.2
            skip = self.r.randint(3, 40) if not skip and self.r.random() < gaps else max(skip - 1, 0)
            if not skip:
                out.append((t, Histogram(schema, dict(counts), zeros, total, whole, dict(below))))
        return out

    def reshaped(self, n):
        """Buckets on both sides, and halfway another resolution."""
        first, second = self.histograms(30, 3 - n, both=True), self.histograms(30, n, both=True)
        return self.part(first, 0, 0.5) + self.part(second, 0.5, 1)

    def levels(self, n):
        """Histograms that go up and down, said to be gauges. (Not for rate() and increase(), whose extrapolation below zero
        has changed.)"""
        samples = self.histograms(30, n % 3, gaps=0.01)
        values = [h for _, h in samples]
        self.r.shuffle(values)
        return [(t, h._replace(gauge=True)) for (t, _), h in zip(samples, values)]

    def requests(self, samples_each=4000):
        """Bodies of remote write, in order of time. The first sample of a series goes alone: so both sides meet the
        series in the same order, which is that of instant answers. So does a sample of "mixed", since Prometheus takes
        the floats of a request before its histograms."""
        rows = sorted(((t, i, v) for i, (_, samples) in enumerate(self.series) for t, v in samples),
                      key=lambda row: row[:2])
        labels = [b"".join(wire.field(1, wire.field(1, k) + wire.field(2, l[k])) for k in sorted(l))
                  for l, _ in self.series]
        mixed = {i for i, (l, _) in enumerate(self.series) if l["__name__"] == "mixed"}
        met, body = set(), []
        for t, i, v in rows:
            alone = i not in met or i in mixed
            if body and (alone or len(body) == samples_each):
                yield b"".join(body)
                body = []
            body.append(wire.field(1, labels[i] + sample(t, v)))
            if alone:
                met.add(i)
                yield body.pop()
        yield b"".join(body)


class Histogram(collections.namedtuple("Histogram", "schema counts zeros sum whole below gauge", defaults=({}, False))):
    """counts, below: {index: observations}, of positive and of negative values; whole: sent as integers."""

    def encode(self, t):
        total = sum(self.counts.values()) + sum(self.below.values()) + self.zeros
        out = wire.field(1, total) if self.whole else wire.field(2, float(total))
        out += wire.field(3, self.sum) + wire.field(4, zigzag(self.schema)) + wire.field(5, 0.0 if self.schema == -53 else 0.001)
        out += wire.field(6, self.zeros) if self.whole else wire.field(7, float(self.zeros))
        out += self.side(self.below, 8) + self.side(self.counts, 11)
        if self.gauge:
            out += wire.field(14, 3)
        out += wire.field(15, t)
        if self.schema == -53:
            out += wire.field(16, b"".join(wire.field(0, bound)[1:] for bound in (0.5, 1.0, 2.0, 4.0)))
        return out

    def side(self, counts, first):
        """The fields of the spans and, behind them, of differences of whole counts or of counts."""
        spans, before = [], -1
        for i in sorted(counts):
            if spans and i == before + 1:
                spans[-1][1] += 1
            else:
                spans.append([i - before - 1 if spans else i, 1])
            before = i
        in_order = [counts[i] for i in sorted(counts)]
        out = b"".join(wire.field(first, wire.field(1, zigzag(offset)) + wire.field(2, n)) for offset, n in spans)
        if not in_order:
            return out
        if self.whole:
            deltas = [b - a for a, b in zip([0] + in_order, in_order)]
            return out + wire.field(first + 1, b"".join(wire.varint(zigzag(d)) for d in deltas))
        return out + wire.field(first + 2, b"".join(wire.field(0, float(c))[1:] for c in in_order))


def zigzag(n):
    return n << 1 ^ n >> 63


def sample(t, v):
    if isinstance(v, Histogram):
        return wire.field(4, v.encode(t))
    return wire.field(2, wire.field(1, float(v)) + wire.field(2, t))
