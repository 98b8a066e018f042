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
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_TURNS = 3
"""Turns of the loop within which a noted signal has reached its task."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Scope:
    task: asyncio.Task[Any]
    hit: bool = False


@dataclass(slots=True, eq=False)
class _Takeover:
    """The handlers of one loop while at least one scope is open on it.

    Plain handlers and not the loop's `add_signal_handler`: they run at once, so a signal in the
    last moment of a scope is not lost between the loop and the old handler.
    """

    loop: asyncio.AbstractEventLoop
    before: dict[int, Any] = field(default_factory=dict)
    scopes: list[_Scope] = field(default_factory=list)

    def install(self) -> None:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:  # one that was not installed from Python cannot be put back
                self.before[number] = handler
                signal.signal(number, self.handle)

    def restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Between two bytecodes of the main thread: only take note, and wake the loop."""
        living = [scope for scope in self.scopes if not scope.task.done()]
        if not living:  # nobody here to cancel: as if we were not there
            _pass_on(self.before[number], number, frame)
            return
        fresh = [scope for scope in living if not scope.hit]
        for scope in fresh:
            scope.hit = True
        tasks = {scope.task for scope in fresh}
        self.loop.call_soon_threadsafe(_interrupt, signal.Signals(number).name, tasks)


def _pass_on(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _interrupt(name: str, tasks: set[asyncio.Task[Any]]) -> None:
    if not tasks:
        _log.warning("already stopping, %s is ignored", name)
        return
    _log.warning("%s: stopping", name)
    for task in tasks:
        task.cancel(f"interrupted by {name}")


_takeovers: dict[asyncio.AbstractEventLoop, _Takeover] = {}


def _enter(task: asyncio.Task[Any]) -> _Scope:
    loop = task.get_loop()
    takeover = _takeovers.get(loop)
    if takeover is None:
        takeover = _takeovers[loop] = _Takeover(loop)
        takeover.install()
    scope = _Scope(task)
    takeover.scopes.append(scope)
    return scope


def _leave(scope: _Scope) -> None:
    loop = scope.task.get_loop()
    takeover = _takeovers[loop]
    takeover.scopes.remove(scope)
    if not takeover.scopes:
        del _takeovers[loop]
        takeover.restore()


@asynccontextmanager
async def interruptible(
    raise_as: type[BaseException] = KeyboardInterrupt,
) -> AsyncIterator[None]:
    """Turn SIGINT and SIGTERM into a cancellation of the current task, for the block.

    After the block has cleaned up, `raise_as()` is raised. A second signal during the cleanup is
    ignored. Handlers are put back exactly as they were. Scopes nest; outside the main thread,
    where no signal arrives, this does nothing.

    The block belongs to one task: an async generator that Dagster drives gets a new task for every
    item, so it must not yield inside the block.

    Args:
        raise_as: Raised without arguments when a signal ended the block.
    """
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    scope = _enter(task)
    cause: BaseException | None = None
    try:
        yield
        # the block may end before it meets the cancellation, which must not follow it out
        for _ in range(_TURNS if scope.hit else 0):
            await asyncio.sleep(0)
    except BaseException as error:
        if not scope.hit:
            raise
        cause = error
    finally:
        _leave(scope)
    if scope.hit:
        task.uncancel()
        raise raise_as from cause


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
