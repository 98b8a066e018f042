"""The memory budget: bytes that all running chunks may use together.

A chunk states its predicted bytes and waits until they are free. Admission is strictly first in,
first out, so a large chunk is never overtaken for ever by small ones. While it runs, what is
measured counts: a chunk that grows past its lease takes from what is free, and when nothing is
free it is refused and its worker is killed. So the sum of all leases never exceeds the total.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from geo_assets.errors import ConfigError

SMALLEST_LEASE = 1 << 20
_RATIO_BOUNDS = (0.5, 3.0)


@dataclass(slots=True, eq=False, kw_only=True)
class Lease:
    """Bytes that one running chunk holds."""

    kernel: str
    predicted: int
    """What the chunk stated, in bytes."""
    held: int
    """What it holds now, in bytes: grows with what is measured."""
    open: bool = True
    """It has not been given back."""
    refused: bool = False
    """It wanted to grow and there was no room, although others held some of it."""
    peak: int = 0
    """The most that was measured, in bytes above the worker's resting size; 0 is unknown."""


class Corrections:
    """The ratio of measured to predicted bytes of each kernel.

    It follows a larger value at once and a smaller one slowly, and stays between 0.5 and 3, so
    that one odd chunk neither starves the pool nor overbooks it.
    """

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def ratio(self, kernel: str) -> float:
        """The factor for the next prediction of that kernel."""
        return self._ratios.get(kernel, 1.0)

    def learn(self, kernel: str, *, predicted: int, seen: int) -> None:
        """Take one finished chunk into account, in bytes."""
        low, high = _RATIO_BOUNDS
        found = min(max(seen / max(predicted, SMALLEST_LEASE), low), high)
        old = self.ratio(kernel)
        self._ratios[kernel] = found if found > old else 0.9 * old + 0.1 * found


@dataclass(slots=True, eq=False)
class _Waiter:
    size: int
    granted: asyncio.Future[None] = field(default_factory=asyncio.Future)


class MemoryBudget:
    """Admission by bytes and by number of workers, first in, first out.

    `lease` belongs to the event loop; `grow` may be called from any thread.
    """

    def __init__(self, total: int, slots: int) -> None:
        self.total = total
        """Bytes that all leases together may hold."""
        self.slots = slots
        """Leases at one time."""
        self.peak = 0
        """The most bytes that were ever held."""
        self.corrections = Corrections()
        self._held = 0
        self._leases = 0
        self._lock = threading.Lock()
        self._queue: deque[_Waiter] = deque()

    @property
    def held(self) -> int:
        """Bytes that the running chunks hold."""
        return self._held

    @property
    def waiting(self) -> int:
        """Chunks that wait to be admitted."""
        return len(self._queue)

    def check(self, predicted: int, where: str = "") -> None:
        """Refuse what can never be admitted.

        Raises:
            ConfigError: `predicted` bytes are more than the whole budget.
        """
        if predicted > self.total:
            mib = -(-predicted // (1 << 20))
            raise ConfigError(
                f"A chunk fits into the memory budget of {_mib(self.total)}",
                f"a prediction of {_mib(predicted)}",
                where,
                f"Use smaller cells, or set GEO_ASSETS_MEMORY to at least {mib}M.",
            )

    @asynccontextmanager
    async def lease(
        self, predicted: int, *, kernel: str = "", alone: bool = False, where: str = ""
    ) -> AsyncIterator[Lease]:
        """Hold bytes and one slot for the duration of the block.

        Args:
            predicted: Bytes the chunk needs on top of the worker's resting size.
            kernel: Whose correction applies.
            alone: Take the whole budget, so that nothing else runs meanwhile.
            where: The chunk's name, for the message.

        Raises:
            ConfigError: More than the whole budget is predicted.
        """
        self.check(predicted, where)
        expected = int(predicted * self.corrections.ratio(kernel))
        size = self.total if alone else min(self.total, max(expected, SMALLEST_LEASE))
        await self._admit(size)
        lease = Lease(kernel=kernel, predicted=predicted, held=size)
        try:
            yield lease
        finally:
            if lease.peak:
                self.corrections.learn(kernel, predicted=predicted, seen=lease.peak)
            self._release(lease)

    def grow(self, lease: Lease, seen: int) -> bool:
        """Take note that a chunk uses `seen` bytes; False if the budget has no room for that."""
        with self._lock:
            if not lease.open:
                return True
            lease.peak = max(lease.peak, seen)
            more = seen - lease.held
            if more <= 0:
                return True
            if self._held + more > self.total:
                lease.refused = lease.held < self.total
                return False
            lease.held += more
            self._held += more
            self.peak = max(self.peak, self._held)
            return True

    async def _admit(self, size: int) -> None:
        if not self._queue and self._take(size):
            return
        waiter = _Waiter(size)
        self._queue.append(waiter)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancelled():
                with suppress(ValueError):
                    self._queue.remove(waiter)
                self._wake()
            else:  # granted in the same moment
                self._release(Lease(kernel="", predicted=0, held=size))
            raise

    def _take(self, size: int) -> bool:
        with self._lock:
            if self._leases >= self.slots or self._held + size > self.total:
                return False
            self._leases += 1
            self._held += size
            self.peak = max(self.peak, self._held)
            return True

    def _release(self, lease: Lease) -> None:
        with self._lock:
            lease.open = False
            self._leases -= 1
            self._held -= lease.held
        self._wake()

    def _wake(self) -> None:
        while self._queue:
            first = self._queue[0]
            if not first.granted.cancelled():
                if not self._take(first.size):
                    return
                first.granted.set_result(None)
            self._queue.popleft()


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
