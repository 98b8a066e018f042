"""The watch: a thread that holds running chunks to their time and memory.

A thread, because Dagster stops the event loop while it handles what an asset yields, and the
workers go on meanwhile. It only samples and kills; what a kill means is settled on the loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from geo_assets.engine.budget import Lease, MemoryBudget
from geo_assets.engine.memory import proportional, sizes
from geo_assets.errors import WorkerError, WorkerMemory, WorkerTimeout

PERIOD_S = 0.05
_NEW_PEAK = 4 << 20
_PROPORTIONAL_EVERY_S = 0.25

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Running:
    """One chunk in one worker."""

    chunk: str
    lease: Lease
    base: int
    """Anonymous bytes of the worker at the start."""
    timeout_s: float
    deadline: float
    verdict: WorkerError | None = None
    """Why it was killed."""


@dataclass(slots=True, eq=False)
class Watched:
    """One living worker process."""

    pid: int
    peak_name: str = ""
    """What its resident size is noted as, beside that of all."""
    running: Running | None = None


class Watch:
    """Samples every worker twenty times a second and kills what broke its limits.

    Args:
        budget: Gives or refuses the memory that running chunks turn out to need.
        note: Told the sizes in bytes, from the watch's thread: `worker_rss_peak` is the resident
            size of one worker, `memory_peak` the proportional set size of this process, nursery
            and workers together (what they really occupy, shared pages counted once).
        use: Told after every round the bytes that running chunks use, and hold of the budget.
        tick: Called after every round, for other things to sample.
    """

    def __init__(
        self,
        budget: MemoryBudget,
        *,
        note: Callable[[str, int], None] = lambda _name, _size: None,
        use: Callable[[int, int], None] = lambda _used, _held: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.nursery = os.getpid()
        """Process id of the nursery, which counts towards the total; ours until there is one."""
        self._budget = budget
        self._note = note
        self._use = use
        self._tick = tick
        self._workers: set[Watched] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._nudge = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="geo-watch", daemon=True)
        self._largest_sum = 0
        self._next_total = 0.0

    def start(self) -> None:
        """Begin sampling."""
        self._thread.start()

    def stop(self) -> None:
        """End sampling and wait for the thread; blocking for at most one round."""
        self._stopped = True
        self._nudge.set()
        self._thread.join()

    def look_anew(self) -> None:
        """Measure the total again at once, whatever the largest one was."""
        self._largest_sum = 0
        self._next_total = 0.0
        self._nudge.set()

    def add(self, worker: Watched) -> None:
        """Watch a new worker, and look at it at once: a run may be over before the next round."""
        with self._lock:
            self._workers.add(worker)
        self._nudge.set()

    def remove(self, worker: Watched) -> None:
        """Forget a worker; it will not be killed from here any more."""
        with self._lock:
            self._workers.discard(worker)

    def begin(self, worker: Watched, chunk: str, lease: Lease, base: int, timeout: float) -> None:
        """A chunk starts in this worker."""
        with self._lock:
            worker.running = Running(chunk, lease, base, timeout, monotonic() + timeout)

    def end(self, worker: Watched) -> WorkerError | None:
        """The chunk has ended, or the worker has; the verdict if it was killed."""
        with self._lock:
            running, worker.running = worker.running, None
        return running.verdict if running else None

    def _loop(self) -> None:
        while not self._stopped:
            self._nudge.wait(PERIOD_S)
            self._nudge.clear()
            try:
                with self._lock:
                    self._round()
                self._tick()
            except Exception:  # noqa: BLE001 - a thread that ended here would end all limits unseen
                _log.exception("a round of the watch failed")

    def _round(self) -> None:
        now, total, used = monotonic(), 0, 0
        for worker in self._workers:
            try:
                resident, anonymous = sizes(worker.pid)
            except OSError:
                continue
            total += resident
            self._note("worker_rss_peak", resident)
            if worker.peak_name:
                self._note(worker.peak_name, resident)
            if worker.running is not None and worker.running.verdict is None:
                used += max(0, anonymous - worker.running.base)
                self._judge(worker, worker.running, anonymous, now)
        self._use(used, self._budget.held)
        for pid in self._others():
            with contextlib.suppress(OSError):
                total += sizes(pid)[0]
        if total > self._largest_sum + _NEW_PEAK and now >= self._next_total:
            self._largest_sum = total
            self._next_total = now + _PROPORTIONAL_EVERY_S
            self._measure_total()

    def _others(self) -> set[int]:
        return {os.getpid(), self.nursery}

    def _judge(self, worker: Watched, running: Running, anonymous: int, now: float) -> None:
        if now > running.deadline:
            running.verdict = WorkerTimeout(
                f"A chunk ends within {running.timeout_s:g} s",
                "no end",
                running.chunk,
                "Its worker was killed. Use smaller cells, or declare a longer timeout.",
            )
        elif not self._budget.grow(running.lease, anonymous - running.base):
            running.verdict = WorkerMemory(
                "A chunk stays within the memory budget of "
                f"{self._budget.total >> 20} MiB together with those that run beside it",
                f"{(anonymous - running.base) >> 20} MiB instead of the predicted "
                f"{running.lease.predicted >> 20} MiB",
                running.chunk,
                "Its worker was killed. Use smaller cells, or raise GEO_ASSETS_MEMORY.",
            )
        if running.verdict is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def _measure_total(self) -> None:
        total = 0
        for pid in (*self._others(), *(worker.pid for worker in self._workers)):
            with contextlib.suppress(OSError):
                total += proportional(pid)
        self._note("memory_peak", total)
