"""Doing many small things at once, but never more than a few, and remembering few of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import ParamSpec, TypeVar

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")


class Recent(OrderedDict[A, B]):
    """A dictionary that forgets what was set first when it has more than `limit` keys."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: A, value: B) -> None:
        super().__setitem__(key, value)
        if len(self) > self._limit:
            self.popitem(last=False)


async def each(
    function: Callable[[A], Awaitable[B]], values: Iterable[A], *, limit: int
) -> list[B]:
    """`function` of every value, in their order, at most `limit` at the same time.

    The first error cancels the rest, and is raised when all have ended.
    """
    values = list(values)
    if len(values) < 2:
        return [await function(value) for value in values]
    pending = enumerate(values)
    results: dict[int, B] = {}

    async def work() -> None:
        for index, value in pending:
            results[index] = await function(value)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(values))):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[index] for index in range(len(results))]


async def whole(function: Callable[P, B], *args: P.args, **kwargs: P.kwargs) -> B:
    """`function` in a thread; when cancelled, this returns only after the thread has ended.

    For work on a file that the caller will close: a write that outlives it could hit another
    file that got the same descriptor.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
