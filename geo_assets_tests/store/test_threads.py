"""Work in threads: results, errors, cancellation, and as many loops as there are."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref

import pytest

from geo_assets.store import threads
from geo_assets.store.threads import in_thread


async def test_results_and_errors_come_back_to_who_asked():
    def work(number: int) -> int:
        if number % 7 == 0:
            raise OSError(number, "no")
        return number

    found = await asyncio.gather(
        *(in_thread(lambda n=n: work(n)) for n in range(200)), return_exceptions=True
    )
    for number, value in enumerate(found):
        if number % 7 == 0:
            assert isinstance(value, OSError)
            assert value.errno == number
        else:
            assert value == number


async def test_the_loop_goes_on_meanwhile():
    begun, go = threading.Event(), threading.Event()

    def wait() -> str:
        begun.set()
        assert go.wait(10)
        return "done"

    task = asyncio.ensure_future(in_thread(wait))
    assert await asyncio.to_thread(begun.wait, 10)
    assert await in_thread(lambda: 1) == 1
    go.set()
    assert await task == "done"


async def test_a_cancelled_task_ends_at_once_and_its_thread_later():
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(10)
        ended.set()

    task = asyncio.ensure_future(in_thread(wait))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    go.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert await in_thread(lambda: 2) == 2


async def test_a_loop_that_was_closed_meanwhile_harms_nobody():
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(10)

    async def leave() -> None:
        task = asyncio.ensure_future(in_thread(wait))
        assert await asyncio.to_thread(begun.wait, 10)
        task.cancel()

    await asyncio.to_thread(lambda: asyncio.run(leave()))
    go.set()
    assert await in_thread(lambda: 3) == 3


async def test_an_idle_thread_keeps_nothing_alive():
    class Big:
        def size(self) -> int:
            return 1

    big = Big()
    gone = weakref.ref(big)
    assert await in_thread(big.size) == 1
    del big
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        await asyncio.sleep(0.01)
    assert gone() is None


def test_a_forked_process_has_threads_of_its_own():
    async def work() -> int:
        return await asyncio.wait_for(in_thread(lambda: 0), 10)

    asyncio.run(work())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = asyncio.run(work())
        finally:
            os._exit(code)
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_more_threads_than_stated():
    async def many() -> None:
        await asyncio.gather(*(in_thread(lambda: None) for _ in range(100)))

    asyncio.run(many())
    named = [thread for thread in threading.enumerate() if thread.name.startswith("geo-files-")]
    assert 0 < len(named) <= threads.NUMBER
