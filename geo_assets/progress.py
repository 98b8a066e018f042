"""Who watches chunks being done in this process: the command line, for its live line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Watch: TypeAlias = Callable[[tuple[str, ...], str | None, int, int], None]
"""Called with asset, partition, chunks done and chunks in all, on the event loop's thread."""

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
