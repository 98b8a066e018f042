"""The engine's side of the nursery: starts it, asks it for workers, hears of their end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geo_assets.engine import nursery
from geo_assets.engine.scope import finish
from geo_assets.errors import WorkerCrashed

_START_S = 120.0
_END_S = 5.0


@dataclass(slots=True, eq=False)
class Launched:
    """A new worker process, seen from the engine."""

    pid: int
    sock: socket.socket
    """The engine's end of the private channel, non-blocking."""
    output_fd: int
    """Where its stdout and stderr can be read, non-blocking."""
    exited: asyncio.Future[int]
    """Its exit code once it is gone; negative is the number of the signal."""

    def kill(self) -> None:
        """SIGKILL, unless it is known to be gone."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def ending(self) -> str:
        """How it ended, for people."""
        if not self.exited.done():
            return "no answer and no end"
        code = self.exited.result()
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"


class Launcher:
    """Starts workers through one nursery process, which is started again if it dies.

    Args:
        environ: The environment of the nursery and of every worker.
        preload: Modules that the nursery imports.
        on_output: Given what the nursery itself writes to stdout or stderr.
        fork: Fork workers from the nursery (Linux), or start an interpreter for each.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        preload: Sequence[str] = nursery.PRELOAD,
        on_output: Callable[[bytes], None] = lambda _: None,
        fork: bool = sys.platform == "linux",
    ) -> None:
        self._environ = dict(environ)
        self._preload = tuple(preload)
        self._on_output = on_output
        self._fork = fork
        self._starting = asyncio.Lock()
        self._link: _Link | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the living nursery."""
        return self._link.process.pid if self._link and not self._link.lost else None

    async def warm(self) -> None:
        """Start the nursery if it is not there; returns when it has imported everything.

        Raises:
            WorkerCrashed: It does not start.
        """
        async with self._starting:
            if self._link is None or self._link.lost:
                if self._link is not None:
                    await self._link.close()
                await finish(self._begin())  # else `close` would not know of it
            link = self._link
        assert link is not None
        await asyncio.wait([link.ready], timeout=_START_S)
        if not link.ready.done():
            link.process.kill()
            await link.close()
        link.ready.result()

    async def launch(self) -> Launched:
        """A new worker.

        Raises:
            WorkerCrashed: The nursery cannot make one.
        """
        await self.warm()
        assert self._link is not None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        output, written = os.pipe()
        os.set_blocking(output, False)
        try:
            pid, exited = await self._link.ask(theirs.fileno(), written)
        except BaseException:
            ours.close()
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(written)
        return Launched(pid, ours, output, exited)

    async def close(self) -> None:
        """End the nursery and with it every worker that is left."""
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def _begin(self) -> None:
        self._link = await asyncio.to_thread(self._spawn)
        self._link.attach(self._on_output)

    def _spawn(self) -> _Link:
        ours, theirs = socket.socketpair()
        output, written = os.pipe()
        code = nursery.bootstrap(
            "nursery", f"main({theirs.fileno()}, {self._preload!r}, fork={self._fork})"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env=self._environ,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        os.close(written)
        ours.setblocking(False)
        os.set_blocking(output, False)
        return _Link(process, ours, output)


class _Link:
    """One nursery process and the conversation with it."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, out: int) -> None:
        self.process = process
        self.lost = False
        self._control = control
        self._output_fd = out
        self._buffer = b""
        self._asked: deque[asyncio.Future[tuple[int, asyncio.Future[int]]]] = deque()
        self._living: dict[int, asyncio.Future[int]] = {}

    def attach(self, on_output: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._control, self._hear)
        self._loop.add_reader(self._output_fd, self._drain, on_output)

    async def ask(self, channel_fd: int, output_fd: int) -> tuple[int, asyncio.Future[int]]:
        born: asyncio.Future[tuple[int, asyncio.Future[int]]] = self._loop.create_future()
        if self.lost:
            raise _gone(self.process)
        socket.send_fds(self._control, [nursery.FORK], [channel_fd, output_fd])
        self._asked.append(born)
        return await born

    async def close(self) -> None:
        self._lose()
        try:
            await asyncio.to_thread(self.process.wait, _END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)

    def _hear(self) -> None:
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._lose()
            return
        self._buffer += data
        size = nursery.REPLY.size
        while len(self._buffer) >= size:
            kind, pid, code = nursery.REPLY.unpack(self._buffer[:size])
            self._buffer = self._buffer[size:]
            self._note(kind, pid, code)

    def _note(self, kind: bytes, pid: int, code: int) -> None:
        if kind == nursery.READY:
            self.ready.set_result(None)
        elif kind == nursery.BORN:
            exited = self._living[pid] = self._loop.create_future()
            born = self._asked.popleft()
            if born.cancelled():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            else:
                born.set_result((pid, exited))
        elif exited_ := self._living.pop(pid, None):
            exited_.set_result(code)

    def _drain(self, on_output: Callable[[bytes], None]) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._output_fd, 1 << 16)
            if data:
                on_output(data)
            else:
                self._loop.remove_reader(self._output_fd)

    def _lose(self) -> None:
        """The nursery is gone or dismissed; its workers die with it."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._control)
        self._loop.remove_reader(self._output_fd)
        self._control.close()
        os.close(self._output_fd)
        waiting: list[asyncio.Future[Any]] = [self.ready, *self._asked]
        for future in waiting:
            if not future.done():
                future.set_exception(_gone(self.process))
                future.exception()  # seen, also when nobody waits any more
        for exited in self._living.values():
            if not exited.done():
                exited.set_result(-signal.SIGKILL)


def _gone(process: subprocess.Popen[bytes]) -> WorkerCrashed:
    return WorkerCrashed(
        "The process that starts workers is alive",
        f"its end (pid {process.pid})",
        fix="It is started again for the next chunk; the log holds what it wrote.",
    )
