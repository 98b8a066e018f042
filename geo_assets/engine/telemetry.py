"""What a materialization cost, as flat numbers that Dagster plots over time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from geo_assets.engine.histogram import Histogram
from geo_assets.engine.lag import LIMIT_S, LagSampler

_ALWAYS = ("chunks_done", "chunks_lost", "retries", "bytes_out", "loop_stalls")


class Measure:
    """Counters of one span: the whole run, or one asset."""

    def __init__(self, workers: int, budget: int) -> None:
        self.lag = Histogram()
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.peaks: Counter[str] = Counter()
        self._workers = workers
        self._budget = budget
        self._start = monotonic()
        self._end: float | None = None

    def note_lag(self, seconds: float) -> None:
        """Record how late the loop was; more than 50 ms count as a stall."""
        self.lag.add(seconds)
        self.counts["loop_stalls"] += seconds > LIMIT_S

    def finish(self) -> None:
        """Freeze the wall clock."""
        self._end = monotonic()

    def snapshot(self) -> dict[str, int | float]:
        """Metadata keys `geo_assets/...` to plain numbers; units are in the names.

        `memory_peak_bytes` is the proportional set size (shared pages once) of this process, the
        nursery and all workers together, at its highest; `worker_rss_peak_bytes` the resident size
        of the largest worker; `cpu_utilisation` the CPU time of the workers divided by wall time
        times workers.
        """
        wall = (self._end or monotonic()) - self._start
        values: dict[str, int | float] = {
            "loop_lag_p50_ms": round(self.lag.quantile(0.5) * 1000, 2),
            "loop_lag_p99_ms": round(self.lag.quantile(0.99) * 1000, 2),
            "loop_lag_max_ms": round(self.lag.largest * 1000, 2),
            "wall_s": round(wall, 3),
            "budget_bytes": self._budget,
            "cpu_utilisation": round(self.seconds["cpu"] / max(wall * self._workers, 1e-9), 3),
        }
        values |= dict.fromkeys(_ALWAYS, 0)
        values |= dict(self.counts)
        values |= {f"{name}_s": round(total, 3) for name, total in self.seconds.items()}
        values |= {f"{name}_bytes": peak for name, peak in self.peaks.items()}
        return {f"geo_assets/{name}": value for name, value in values.items()}


class Telemetry:
    """Collects for the whole engine, and beside it for every open `measure`."""

    def __init__(self, workers: int, budget: int) -> None:
        self.total = Measure(workers, budget)
        self._workers = workers
        self._budget = budget
        self._open: list[Measure] = [self.total]
        self._sampler = LagSampler()
        self._sampler.sinks.append(self.total.note_lag)
        self._users = 0
        self.on_measure: Callable[[], None] = lambda: None
        """Called when a measure opens, so that peaks are looked for anew."""

    @contextmanager
    def measure(self) -> Iterator[Measure]:
        """Collect into a measure of its own for the block, typically one materialization.

        Everything that the engine does meanwhile is counted, also for other tasks. The loop's lag
        is sampled inside such blocks only; time in which the loop is stopped is not lag.
        """
        measure = Measure(self._workers, self._budget)
        self._open.append(measure)
        self._sampler.sinks.append(measure.note_lag)
        self.on_measure()
        try:
            with self.sampling():
                yield measure
        finally:
            measure.finish()
            self._open.remove(measure)
            self._sampler.sinks.remove(measure.note_lag)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample the loop's lag for the block; blocks may overlap."""
        self._users += 1
        if self._users == 1:
            self._sampler.start()
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._sampler.stop()

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter: `chunks_done`, `retries`, `retries_<cause>`, `bytes_out`."""
        for measure in self._open:
            measure.counts[name] += number

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage: `fetch`, `compute`, `stage`."""
        start = monotonic()
        try:
            yield
        finally:
            self.spent(stage, monotonic() - start)

    def spent(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        for measure in self._open:
            measure.seconds[stage] += seconds

    def peak(self, name: str, size: int) -> None:
        """Note a size in bytes; the largest is kept: `worker_rss_peak`, `memory_peak`."""
        for measure in tuple(self._open):  # called from the watch's thread
            measure.peaks[name] = max(measure.peaks[name], size)

    def snapshot(self) -> dict[str, int | float]:
        """The numbers of the whole engine so far; see `Measure.snapshot`."""
        return self.total.snapshot()
