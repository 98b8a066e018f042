"""Doing many small things at once, but never more than a few."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def each(
    function: Callable[[A], Awaitable[B]], values: Iterable[A], *, limit: int
) -> list[B]:
    """`function` of every value, in their order, at most `limit` at the same time.

    The first error cancels the rest, and is raised when all have ended.
    """
    pending = enumerate(values)
    results: dict[int, B] = {}

    async def work() -> None:
        for index, value in pending:
            results[index] = await function(value)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[index] for index in range(len(results))]
