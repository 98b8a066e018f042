"""How late the event loop is, and who makes it late.

A heartbeat on the loop measures; a thread watches the heartbeat and takes the stack of the loop's
thread while it is blocked. Dagster stops the loop while it handles what an asset yields; a
stopped loop is not a late one, so a beat that spans a stop is not counted.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic

BEAT_S = 0.025
LIMIT_S = 0.05
_POLL_S = 0.01
_FRAMES = 12

_log = logging.getLogger(__name__)


class LagSampler:
    """Measures the loop it is started on, from `start` to `stop`; may be started again."""

    def __init__(self) -> None:
        self.sinks: list[Callable[[float], None]] = []
        """Told every beat's lag, in seconds."""
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._was_stopped = False
        self._reported = False
        self._end = threading.Event()

    def start(self) -> None:
        """Begin to measure the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._end = threading.Event()
        self._plan()
        threading.Thread(target=self._watch, args=(self._end,), name="geo-lag", daemon=True).start()

    def stop(self) -> None:
        """Stop measuring; the thread ends by itself."""
        self._end.set()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _plan(self) -> None:
        self._was_stopped = False
        self._reported = False
        self._due = monotonic() + BEAT_S
        self._handle = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        lag = max(0.0, monotonic() - self._due)
        if not self._was_stopped:
            for sink in self.sinks:
                sink(lag)
            if lag > LIMIT_S:
                # Without a stack nothing of ours held the loop: the machine was busy elsewhere.
                level = logging.WARNING if self._reported else logging.DEBUG
                _log.log(level, "the event loop was late by %.0f ms", lag * 1000)
        self._plan()

    def _watch(self, end: threading.Event) -> None:
        wait = BEAT_S
        while not end.wait(wait):
            late = monotonic() - self._due
            # While the loop is in time, one look after each beat is enough.
            wait = max(_POLL_S, _POLL_S - late)
            if late < _POLL_S:
                continue
            if not self._loop.is_running():
                self._was_stopped = True
                if self._loop.is_closed():
                    return
            elif late > LIMIT_S and not self._reported and not self._was_stopped:
                self._report()

    def _report(self) -> None:
        """Log what the loop is doing, from its callback on; an idle loop does nothing."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the documented way
        if frame is None:
            return
        stack = traceback.extract_stack(frame)
        callbacks = [place for place, entry in enumerate(stack) if entry.name == "_run"]
        busy = stack[callbacks[-1] + 1 :] if callbacks else []
        if busy and busy[0].filename != __file__ and stack[-1].name != "select":
            self._reported = True
            text = "".join(traceback.format_list(busy[-_FRAMES:]))
            _log.warning("the event loop is blocked here:\n%s", text)
