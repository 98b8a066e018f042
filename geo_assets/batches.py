"""Many small things handed to a blocking function together, while others are still being made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from geo_assets.engine.scope import finish

I = TypeVar("I")  # noqa: E741
T = TypeVar("T")

WAITING = 500
"""Items that wait to be stored; then those who make more wait too."""

GATHER_S = 0.5
"""How long an item waits for company, seconds."""


class Batches(Generic[I]):
    """Collects items and stores them many at a time, in a thread.

    Args:
        store: Blocks; called by one thread at a time, with items in the order they were put.
    """

    def __init__(self, store: Callable[[Sequence[I]], None]) -> None:
        self._store = store
        self._waiting: asyncio.Queue[I] = asyncio.Queue(WAITING)
        self._hurry = asyncio.Event()
        self._ending = False

    async def put(self, item: I) -> None:
        """Have an item stored soon; waits while too many are waiting already."""
        if self._waiting.qsize() >= WAITING // 2:
            self._hurry.set()
        await self._waiting.put(item)

    async def during(self, work: Awaitable[T]) -> T:
        """Do `work`, which puts items; all of them are stored when this returns or raises.

        That holds for a cancelled work too. If storing fails, the work is cancelled: nobody would
        hear of what it does further.

        Raises:
            Exception: What `store` raised, or else what `work` did.
        """
        writer = asyncio.create_task(self._write())
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await finish(self._end(task, writer))
        writer.result()
        return await task

    async def _end(self, task: asyncio.Future[T], writer: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])
        self._ending = True
        self._hurry.set()
        await asyncio.wait([writer])

    async def _write(self) -> None:
        while not (self._ending and self._waiting.empty()):
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._hurry.wait()
            if not self._ending:
                self._hurry.clear()
            batch = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
            if batch:
                await asyncio.to_thread(self._store, batch)


async def to_the_end(work: Awaitable[T], *, within_s: float) -> T:
    """Await `work`; when this task is cancelled, it may still end within that many seconds."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await finish(_ended(task, within_s))
        raise


async def _ended(task: asyncio.Future[T], within_s: float) -> None:
    await asyncio.wait([task], timeout=within_s)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # looked at: the cancellation is what counts
