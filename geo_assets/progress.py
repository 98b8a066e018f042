"""How far the work of this process is: who watches it, and when it is worth a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeAlias

Watch: TypeAlias = Callable[[tuple[str, ...], str | None, int, int], None]
"""Called with asset, partition, chunks done and chunks in all, on the event loop's thread."""

FIRST_S = 5.0
"""Seconds after which a log is told for the first time how far the work is."""
EVERY_S = 30.0
"""Seconds between two such lines."""

_watches: list[Watch] = []


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Tell `watch` of every chunk that is done in this process during the block."""
    _watches.append(watch)
    try:
        yield
    finally:
        _watches.remove(watch)


def watched(
    asset: tuple[str, ...], partition: str | None, progress: Callable[[int, int], None]
) -> Callable[[int, int], None]:
    """`progress` of one partition, which also tells everyone who watches."""

    def both(done: int, total: int) -> None:
        progress(done, total)
        for watch in tuple(_watches):
            watch(asset, partition, done, total)

    return both


class Pace:
    """Tells how far the work is, at a calm interval, with its rate and the time left.

    Work that is over within the first seconds is told once, at its end. Counting that begins
    anew, as that of chunks which are merged, is timed anew.

    Args:
        tell: Takes a line; must not block.
        what: What is counted: `chunks`, `partitions`.
        clock: Seconds that only grow.
    """

    def __init__(
        self, tell: Callable[[str], None], what: str, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._tell = tell
        self._what = what
        self._clock = clock
        self._began = clock()
        self._next = self._began + FIRST_S
        self._before = 0
        self._total = -1

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Take note of `done` of `total`; what was done before the first call sets no rate."""
        now = self._clock()
        if total != self._total:
            self._began = self._began if self._total < 0 else now
            self._total, self._before = total, done - 1
        if total < 2 or (done < total and now < self._next):
            return
        self._next = now + EVERY_S
        spent, fresh = now - self._began, max(1, done - self._before)
        text = f"{done} of {total} {self._what} done ({done / total:.0%})"
        if spent > 0:
            text += f", {fresh / spent:.2g}/s" if fresh < 10 * spent else f", {fresh / spent:.0f}/s"
        if done < total:
            text += f", about {duration(spent / fresh * (total - done))} left"
        else:
            text += f", in {duration(spent)}"
        self._tell(text + note)


def duration(seconds: float) -> str:
    """`4.1 s`, `3 min 12 s` or `2 h 05 min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
