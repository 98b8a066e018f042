"""Threads that wait for the disk on behalf of an event loop, at little cost for each wait.

Like `asyncio.to_thread`, at a fraction of its overhead: there are no two futures to link, and one
call wakes the loop for all that has ended by then. A small partition takes some twenty such waits.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

NUMBER = 16
"""Flushes of a disk that are waited for at the same time cost about as much as one."""


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`, which blocks; called in a thread, without the context of this task.

    If the task is cancelled, the thread still comes to its end.
    """
    return await _pool.submit(work)


class _Pool:
    """Threads that live as long as the process; started one by one, with the first jobs."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Any, _Replies]] = queue.SimpleQueue()
        self._replies: WeakKeyDictionary[asyncio.AbstractEventLoop, _Replies] = WeakKeyDictionary()
        self._started = 0

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        replies = self._replies.get(loop)
        if replies is None:
            replies = self._replies[loop] = _Replies()
        if self._started < NUMBER:
            self._started += 1
            name = f"geo-files-{self._started}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((work, future, replies))
        return future

    def _serve(self) -> None:
        while True:
            work, future, replies = self._jobs.get()
            try:
                replies.give(future, work(), None)
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                replies.give(future, None, error)
            del work, future, replies  # an idle thread shall keep nothing alive


class _Replies:
    """What ended since one loop has looked the last time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._ended: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []

    def give(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        with self._guard:
            first = not self._ended
            self._ended.append((future, result, error))
        if first:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                future.get_loop().call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._guard:
            ended, self._ended = self._ended, []
        for future, result, error in ended:
            if future.done():  # its task was cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


_pool = _Pool()


def _renew() -> None:
    """A forked process has the pool's state and none of its threads."""
    global _pool  # noqa: PLW0603 - the one pool of this process
    _pool = _Pool()


os.register_at_fork(after_in_child=_renew)
