"""Structured cancellation: a signal cancels the task, cleanup runs, then the caller's error.

Dagster turns SIGINT and SIGTERM into an exception raised in the middle of whatever the main thread
does, and a coroutine never hears of it. Inside `interruptible` the signals cancel the task
instead, so that `finally` blocks and context managers run as asyncio promises.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Scope:
    task: asyncio.Task[Any]
    hit: bool = False


@dataclass(slots=True, eq=False)
class _Takeover:
    """The handlers of one loop while at least one scope is open on it."""

    loop: asyncio.AbstractEventLoop
    before: dict[signal.Signals, Any] = field(default_factory=dict)
    scopes: list[_Scope] = field(default_factory=list)

    def install(self) -> None:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:  # one that was not installed from Python cannot be put back
                self.before[number] = handler
                self.loop.add_signal_handler(number, self.interrupt, number)

    def restore(self) -> None:
        for number, handler in self.before.items():
            if not self.loop.is_closed():
                self.loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def interrupt(self, number: signal.Signals) -> None:
        fresh = [scope for scope in self.scopes if not scope.hit]
        if not fresh:
            _log.warning("already stopping, %s is ignored", number.name)
            return
        _log.warning("%s: stopping", number.name)
        for scope in fresh:
            scope.hit = True
        for task in {scope.task for scope in fresh}:
            task.cancel(f"interrupted by {number.name}")


_takeovers: dict[asyncio.AbstractEventLoop, _Takeover] = {}


@asynccontextmanager
async def interruptible(
    raise_as: type[BaseException] = KeyboardInterrupt,
) -> AsyncIterator[None]:
    """Turn SIGINT and SIGTERM into a cancellation of the current task, for the block.

    After the block has cleaned up, `raise_as()` is raised. A second signal during the cleanup is
    ignored. Handlers are put back exactly as they were. Scopes nest; outside the main thread,
    where no signal arrives, this does nothing.

    The block belongs to one task: an async generator that Dagster drives gets a new task for every
    item, so it must not yield inside the block; `interruptible_items` is for that.

    Args:
        raise_as: Raised without arguments when a signal ended the block.
    """
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    takeover = _takeovers.get(loop)
    if takeover is None:
        takeover = _takeovers[loop] = _Takeover(loop)
        takeover.install()
    scope = _Scope(task)
    takeover.scopes.append(scope)
    cause: BaseException | None = None
    try:
        yield
        if scope.hit:  # the block ended before it met the cancellation: take it off the task
            await asyncio.sleep(0)
    except BaseException as error:
        if not scope.hit:
            raise
        cause = error
    finally:
        takeover.scopes.remove(scope)
        if not takeover.scopes:
            del _takeovers[loop]
            takeover.restore()
    if scope.hit:
        task.uncancel()
        raise raise_as from cause


async def interruptible_items(
    items: AsyncIterator[T], raise_as: type[BaseException] = KeyboardInterrupt
) -> AsyncIterator[T]:
    """The same items, each awaited inside `interruptible`.

    Between two items, while their consumer works, the handlers from outside are in place.
    """
    while True:
        async with interruptible(raise_as):
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
        yield item


async def finish(awaitable: Awaitable[T]) -> T:
    """Await to the end, even if this task is cancelled meanwhile; the cancellation follows after.

    For cleanup of bounded length only.
    """
    task = asyncio.ensure_future(awaitable)
    interrupted = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            interrupted = True
    if interrupted:
        if not task.cancelled():
            task.exception()  # looked at: the cancellation is what counts
        raise asyncio.CancelledError
    return task.result()
