"""What a materialization cost, as flat numbers that Dagster plots over time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from geo_assets.engine import log
from geo_assets.engine.lag import LagSampler
from geo_assets.engine.measure import Measure, Share
from geo_assets.engine.pool import SLOTS_TOLD
from geo_assets.engine.trace import ChunkTrace, current
from geo_assets.engine.worker import Account

_log = logging.getLogger(__name__)
_share: ContextVar[Share | None] = ContextVar("geo_assets_share", default=None)
_apart: ContextVar[bool] = ContextVar("geo_assets_apart", default=False)

LONG_S = 1.0
"""A chunk that took a worker so long, in seconds, is told at level INFO, a shorter one at DEBUG:
thousands of lines of small ones tell nobody anything."""


class Telemetry:
    """Collects for the whole engine, for every open `measure`, and for the partition at work."""

    def __init__(self, workers: int, budget: int) -> None:
        self.total = Measure(workers, budget)
        self.on_measure: Callable[[], None] = lambda: None
        """Called when a measure opens, so that peaks are looked for anew."""
        self.on_chunk: list[Callable[[ChunkTrace], None]] = []
        """Told every chunk that has ended, in its task."""
        self._workers = workers
        self._budget = budget
        self._open: list[Measure] = [self.total]
        self._sampler = LagSampler()
        self._sampler.sinks.append(self.total.note_lag)
        self._users = 0
        self._queued: Counter[str] = Counter()

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
    def own(self) -> Iterator[Share]:
        """Collect what this task and the tasks that it starts cost, and nothing else."""
        share = Share()
        token = _share.set(share)
        try:
            yield share
        finally:
            share.finish()
            _share.reset(token)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Count what this task does in the engine's total alone, and in no measure that is open."""
        token = _apart.set(True)
        try:
            yield
        finally:
            _apart.reset(token)

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

    @contextmanager
    def chunk(self, name: str) -> Iterator[ChunkTrace]:
        """Follow one chunk through the block."""
        trace = ChunkTrace(chunk=name, fields=log.bound())
        token = current.set(trace)
        try:
            yield trace
            self.count("chunks_done")
            self.count("bytes_out", trace.bytes_out)
        except BaseException as error:
            trace.error = getattr(error, "kind", type(error).__name__)
            raise
        finally:
            current.reset(token)
            trace.ended = monotonic()
            for sink in self._sinks():
                sink.add_trace(trace)
            for listener in self.on_chunk:
                listener(trace)
            if not trace.error:
                _tell(trace)

    def chunk_cost(self, account: Account, worker: str, slot: int) -> None:
        """Take note of what a chunk cost its worker."""
        self.spent("cpu", account.cpu_s)
        if slot <= SLOTS_TOLD:
            for measure in self._measures():
                measure.seconds[f"worker_{slot}_cpu"] += account.cpu_s
        if (trace := current.get()) is not None:
            trace.worker = worker
            trace.cpu_s += account.cpu_s

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter: `chunks_done`, `retries`, `retries_<cause>`, `bytes_out`."""
        for sink in self._sinks():
            sink.counts[name] += number

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage (`fetch`, `stage`), and to the chunk at work."""
        begin = monotonic()
        try:
            yield
        finally:
            end = monotonic()
            self.spent(stage, end - begin)
            if (trace := current.get()) is not None:
                trace.marks.append((stage, begin, end))

    @contextmanager
    def waiting(self, stage: str) -> Iterator[None]:
        """Count a chunk as waiting before a stage for the block."""
        begin = monotonic()
        self._queued[stage] += 1
        for measure in self._measures():
            name = f"{stage}_queue"
            measure.highs[name] = max(measure.highs[name], self._queued[stage])
        try:
            yield
        finally:
            self._queued[stage] -= 1
            self.spent(f"{stage}_wait", monotonic() - begin)

    def spent(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        for sink in self._sinks():
            sink.seconds[stage] += seconds

    def traffic(self, read: int, written: int) -> None:
        """Count one request to an object store and the bytes it moved."""
        for sink in self._sinks():
            sink.counts["requests"] += 1
            sink.counts["bytes_read"] += read
            sink.counts["bytes_written"] += written

    def peak(self, name: str, size: int) -> None:
        """Note a size in bytes; the largest is kept: `worker_rss_peak`, `chunk_peak`."""
        for sink in self._sinks():  # the watch's thread has no partition
            sink.peaks[name] = max(sink.peaks[name], size)

    def memory(self, used: int, held: int) -> None:
        """Note the bytes that chunks use and hold now; called from the watch's thread."""
        for measure in tuple(self._open):
            measure.note_memory(used, held)

    def snapshot(self) -> dict[str, int | float]:
        """The numbers of the whole engine so far; see `Measure.snapshot`."""
        return self.total.snapshot()

    def _measures(self) -> list[Measure]:
        return [self.total] if _apart.get() else self._open

    def _sinks(self) -> list[Share]:
        share = _share.get()
        return [*self._measures()] if share is None else [*self._measures(), share]


def _tell(trace: ChunkTrace) -> None:
    level = logging.INFO if trace.spent("compute") >= LONG_S else logging.DEBUG
    if _log.isEnabledFor(level):
        _log.log(level, "chunk done in %s: %s", trace.worker, trace.told())
