"""What became of one chunk, step by step: for its log line, the timeline and spans."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic

KEPT = 24
"""The longest chunks that a measure remembers."""


@dataclass(slots=True, kw_only=True)
class ChunkTrace:
    """One chunk on its way; times are of the monotonic clock, in seconds."""

    chunk: str
    fields: Mapping[str, str] = field(default_factory=dict)
    """Correlation: run, asset, partition."""
    began: float = field(default_factory=monotonic)
    ended: float = 0.0
    marks: list[tuple[str, float, float]] = field(default_factory=list)
    """Stage (`fetch`, `compute`, `stage`), begin and end; what lies between is waiting."""
    worker: str = ""
    """The last worker that had it."""
    cpu_s: float = 0.0
    peak_bytes: int = 0
    bytes_out: int = 0
    error: str = ""
    """Kind of the error that it was given up for."""

    @property
    def seconds(self) -> float:
        """From taken to done, waiting included."""
        return self.ended - self.began

    def spent(self, stage: str) -> float:
        """Seconds in one stage, all attempts together."""
        return sum(end - begin for name, begin, end in self.marks if name == stage)

    def told(self) -> str:
        """One line for the log."""
        stages = dict.fromkeys(name for name, _, _ in self.marks)
        parts = [f"{name} {self.spent(name):.3f} s" for name in stages]
        waited = self.seconds - sum(self.spent(name) for name in stages)
        parts.append(f"waited {max(0.0, waited):.3f} s")
        return (
            f"{', '.join(parts)}; CPU {self.cpu_s:.3f} s, peak {self.peak_bytes >> 20} MiB, "
            f"{self.bytes_out} bytes"
        )


current: ContextVar[ChunkTrace | None] = ContextVar("geo_assets_trace", default=None)
"""The chunk that a task works on."""


class Longest:
    """The chunks that took longest, at most `KEPT`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, ChunkTrace]] = []
        self._serial = itertools.count()

    def add(self, trace: ChunkTrace) -> None:
        """Take note of a chunk that has ended."""
        item = (trace.seconds, next(self._serial), trace)
        if len(self._heap) < KEPT:
            heapq.heappush(self._heap, item)
        elif item[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, item)

    def traces(self) -> list[ChunkTrace]:
        """In the order in which they began."""
        return sorted((trace for _, _, trace in self._heap), key=lambda trace: trace.began)
