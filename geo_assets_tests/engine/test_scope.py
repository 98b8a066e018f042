"""Signals become a cancellation, cleanup runs, handlers come back."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from geo_assets.engine.scope import finish, interruptible


class Interrupted(BaseException):
    """Stands for Dagster's interruption."""


@pytest.fixture(autouse=True)
def marked():
    """Handlers of our own, which every test must find again at its end."""

    def handler(number, frame):
        raise AssertionError

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    yield handler
    for number, old in before.items():
        assert signal.getsignal(number) is handler
        signal.signal(number, old)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_cleans_up_and_raises(number):
    cleaned = []

    async def main():
        try:
            async with interruptible(Interrupted):
                try:
                    os.kill(os.getpid(), number)
                    await asyncio.sleep(30)
                finally:
                    await asyncio.sleep(0.01)
                    cleaned.append(True)
        except Interrupted:
            await asyncio.sleep(0.01)  # the task is not cancelled any more
            return asyncio.current_task().cancelling()

    assert asyncio.run(main()) == 0
    assert cleaned == [True]


def test_a_second_signal_does_not_break_the_cleanup():
    cleaned = []

    async def main():
        async with interruptible(Interrupted):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(30)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0.05)
                cleaned.append(True)

    with pytest.raises(Interrupted):
        asyncio.run(main())
    assert cleaned


def test_a_signal_in_the_last_moment_counts():
    async def main():
        try:
            async with interruptible(Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0)
        except Interrupted:
            await asyncio.sleep(0.01)
            return True

    assert asyncio.run(main())


def test_an_error_of_the_cleanup_is_the_cause():
    async def main():
        async with interruptible(Interrupted):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(30)
            finally:
                raise OSError("cleanup")

    with pytest.raises(Interrupted) as caught:
        asyncio.run(main())
    assert isinstance(caught.value.__cause__, OSError)


def test_cancellation_by_others_stays_what_it_is():
    async def main():
        async def inner():
            async with interruptible(Interrupted):
                await asyncio.sleep(30)

        task = asyncio.create_task(inner())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


def test_scopes_nest_and_share():
    async def main():
        ended = []

        async def inner(name):
            try:
                async with interruptible(Interrupted), interruptible(Interrupted):
                    await asyncio.sleep(30)
            except Interrupted:
                ended.append(name)

        tasks = [asyncio.create_task(inner(n)) for n in range(3)]
        await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait(tasks)
        return ended

    assert sorted(asyncio.run(main())) == [0, 1, 2]


def test_in_another_thread_it_does_nothing():
    done = []

    async def main():
        async with interruptible(Interrupted):
            done.append(True)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert done


async def test_finish_is_not_interrupted():
    done = []

    async def cleanup():
        await asyncio.sleep(0.05)
        done.append(True)

    task = asyncio.create_task(finish(cleanup()))
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.005)
    await asyncio.wait([task])
    assert task.cancelled()
    assert done
    assert await finish(asyncio.sleep(0, "value")) == "value"
    with pytest.raises(KeyError):
        await finish(failing())


async def failing():
    raise KeyError
