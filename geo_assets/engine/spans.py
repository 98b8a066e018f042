"""Where a run says what it is at; nothing listens unless an export is switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeAlias

Opener: TypeAlias = Callable[[str, str], AbstractContextManager[object]]
"""Given a kind (`asset`, `partition`) and a name, opens a span for a block."""

openers: list[Opener] = []


@contextmanager
def span(kind: str, name: str) -> Iterator[None]:
    """Say that the block is about the asset or partition of that name."""
    if not openers:
        yield
        return
    with ExitStack() as stack:
        for opener in openers:
            stack.enter_context(opener(kind, name))
        yield
