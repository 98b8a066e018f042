"""Items are stored together and in order; nothing that was put is lost, whatever ends the work."""

from __future__ import annotations

import asyncio
import threading

import pytest

from geo_assets import batches
from geo_assets.batches import Batches, to_the_end


class Sink:
    """Keeps what is stored, batch by batch, and sees whether two threads store at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self._busy = threading.Lock()
        self._error = error

    def __call__(self, items) -> None:
        assert self._busy.acquire(blocking=False), "one thread at a time"
        try:
            if self._error is not None:
                raise self._error
            self.batches.append(list(items))
        finally:
            self._busy.release()

    @property
    def items(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


async def put_all(collected: Batches[int], number: int) -> str:
    for item in range(number):
        await collected.put(item)
    return "done"


async def test_all_is_stored_in_order_and_in_few_batches():
    sink = Sink()
    collected = Batches(sink)
    assert await collected.during(put_all(collected, 3000)) == "done"
    assert sink.items == list(range(3000))
    assert len(sink.batches) < 60
    assert max(map(len, sink.batches)) <= batches.WAITING


async def test_an_item_does_not_wait_long_for_company():
    sink = Sink()
    collected = Batches(sink)

    async def work() -> None:
        await collected.put(1)
        while not sink.items:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.01)

    await asyncio.wait_for(collected.during(work()), 10)


@pytest.mark.parametrize("error", [ValueError("no"), None], ids=["failed", "cancelled"])
async def test_what_was_put_is_stored_when_the_work_ends_early(error):
    sink = Sink()
    collected = Batches(sink)
    ready = asyncio.Event()

    async def work() -> None:
        await put_all(collected, 10)
        ready.set()
        if error is not None:
            raise error
        try:
            await asyncio.sleep(60)
        finally:
            await collected.put(10)  # what ends in the last moment is told too

    task = asyncio.ensure_future(collected.during(work()))
    await ready.wait()
    if error is None:
        task.cancel()
    with pytest.raises(ValueError if error else asyncio.CancelledError):
        await task
    assert sink.items == list(range(10 if error else 11))


async def test_a_failing_store_cancels_the_work():
    collected: Batches[int] = Batches(Sink(OSError("the database is gone")))
    ended: list[str] = []

    async def work() -> None:
        try:
            await put_all(collected, 10)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(OSError, match="the database is gone"):
        await asyncio.wait_for(collected.during(work()), 10)
    assert ended == ["cancelled"]


async def test_a_failing_store_ends_work_that_waits_for_room():
    collected: Batches[int] = Batches(Sink(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        await asyncio.wait_for(collected.during(put_all(collected, 10 * batches.WAITING)), 10)


async def test_a_commit_under_way_may_end_when_its_task_is_cancelled():
    begun, done = asyncio.Event(), []

    async def commit() -> None:
        begun.set()
        await asyncio.sleep(0.05)
        done.append(1)

    task = asyncio.ensure_future(to_the_end(commit(), within_s=10))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]


async def test_but_not_for_ever():
    begun, ended = asyncio.Event(), []

    async def commit() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(1)
            raise

    task = asyncio.ensure_future(to_the_end(commit(), within_s=0.02))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert ended == [1]
