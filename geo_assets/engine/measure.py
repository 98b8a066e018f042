"""Counters of one span of time, or of one partition."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from time import monotonic

from geo_assets.engine.histogram import Histogram
from geo_assets.engine.lag import LIMIT_S
from geo_assets.engine.series import Series
from geo_assets.engine.trace import ChunkTrace, Longest

_ALWAYS = ("chunks_done", "chunks_lost", "retries", "requests", "bytes_read", "bytes_written",
           "bytes_out")  # fmt: skip
_MAIN = {"wall_s", "cpu_s", "chunks_done", "bytes_out"}
_STAGES = ("fetch", "compute", "stage", "cpu")


class Share:
    """What belongs to one partition alone, however many are made at the same time.

    Only what its own chunks and requests cost is in it, so the shares of a run add up; the loop's
    lag and the memory of all workers belong to nobody and are in the run's `Measure`.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.peaks: Counter[str] = Counter()
        self.began = monotonic()
        self._end: float | None = None

    @property
    def wall_s(self) -> float:
        """Seconds since it was opened, until it was finished."""
        return (self._end or monotonic()) - self.began

    def finish(self) -> None:
        """Freeze the wall clock."""
        self._end = monotonic()

    def add_trace(self, trace: ChunkTrace) -> None:
        """Take note of a chunk that has ended; a share keeps none."""

    def snapshot(self) -> dict[str, int | float]:
        """Metadata keys `geo_assets/...` to plain numbers; units are in the names.

        `fetch_s`, `compute_s`, `stage_s` add up over chunks that ran at the same time, `_wait_s`
        likewise is time in the queue before; `cpu_s` is that of the workers. `chunk_peak_bytes`
        is what the largest chunk used on top of a resting worker. `bytes_read`, `bytes_written`
        and `requests` are of object stores, `bytes_out` of the chunks' files. What is zero is left
        out, apart from the main numbers: in a run of thousands of partitions each one is paid for.
        """
        return _named({k: v for k, v in self._numbers().items() if v or k in _MAIN})

    def _numbers(self) -> dict[str, int | float]:
        values: dict[str, int | float] = {"wall_s": round(self.wall_s, 3)}
        values |= dict.fromkeys(_ALWAYS, 0)
        values |= dict(self.counts)
        values |= {f"{stage}_s": 0.0 for stage in _STAGES}
        values |= {f"{name}_s": round(total, 3) for name, total in self.seconds.items()}
        values |= {f"{name}_bytes": peak for name, peak in self.peaks.items()}
        return values


class Measure(Share):
    """Everything that the engine did in a span of time: a whole run, or one asset."""

    def __init__(self, workers: int, budget: int) -> None:
        super().__init__()
        self.lag = Histogram()
        self.highs: Counter[str] = Counter()
        self.lag_curve = Series()
        """How late the loop was, seconds."""
        self.memory_curve = Series()
        """Bytes that the running chunks used together, on top of resting workers."""
        self.longest = Longest()
        self.budget = budget
        """Bytes that chunks may use together."""
        self.workers = workers
        """Chunks that may compute at the same time."""
        self._held = 0.0
        self._samples = 0

    @property
    def chunks(self) -> int:
        """Chunks that ended, done or given up."""
        return self.counts["chunks_done"] + self.counts["chunks_lost"]

    def note_lag(self, seconds: float) -> None:
        """Record how late the loop was; more than 50 ms count as a stall."""
        self.lag.add(seconds)
        self.lag_curve.add(seconds)
        self.counts["loop_stalls"] += seconds > LIMIT_S

    def note_memory(self, used: int, held: int) -> None:
        """Record bytes that chunks use and bytes that they hold of the budget."""
        self.memory_curve.add(used)
        self._held += held
        self._samples += 1

    def add_trace(self, trace: ChunkTrace) -> None:
        """Take note of a chunk that has ended."""
        self.longest.add(trace)

    def snapshot(self) -> dict[str, int | float]:
        """As of a share, and what belongs to the whole process.

        `memory_peak_bytes` is the proportional set size (shared pages once) of this process, the
        nursery and all workers together, at its highest; `worker_rss_peak_bytes` the resident size
        of the largest worker, `worker_1_rss_peak_bytes` that of whichever process was the first
        worker; `cpu_utilisation` the CPU time of the workers divided by wall time times workers;
        `budget_use` the share of the budget that was held, on average; `fetch_queue` and its like
        the most chunks that waited at the same time.
        """
        values: dict[str, int | float] = {
            "loop_lag_p50_ms": round(self.lag.quantile(0.5) * 1000, 2),
            "loop_lag_p99_ms": round(self.lag.quantile(0.99) * 1000, 2),
            "loop_lag_max_ms": round(self.lag.largest * 1000, 2),
            "loop_stalls": 0,
            "budget_bytes": self.budget,
            "budget_use": round(self._held / max(self._samples * self.budget, 1), 3),
            "cpu_utilisation": round(
                self.seconds["cpu"] / max(self.wall_s * self.workers, 1e-9), 3
            ),
        }
        return _named(values | self.highs | self._numbers())


def _named(values: Mapping[str, int | float]) -> dict[str, int | float]:
    return {f"geo_assets/{name}": value for name, value in values.items()}
