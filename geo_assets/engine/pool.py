"""The pool: worker processes, each its own failure domain.

Every worker has a private channel, and whatever happens to it (killed, stuck, out of memory,
`exit()`, dead in the middle of a reply) is told to the one caller whose chunk it had. Nothing is
queued here: the budget admits as many chunks as there are workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geo_assets.engine import channel, log
from geo_assets.engine.budget import Lease
from geo_assets.engine.job import packed
from geo_assets.engine.launcher import Launched, Launcher
from geo_assets.engine.scope import finish
from geo_assets.engine.watch import Watch, Watched
from geo_assets.engine.worker import Account
from geo_assets.errors import WorkerCrashed, WorkerError
from geo_assets.model import Chunk, KernelResult

_START_S = 60.0
_END_S = 5.0
_EXIT_CODE_S = 1.0
_TEXT_LIMIT = 4000
_TEXT_PER_CHUNK = 64 << 10
_OUTPUT_AT_ONCE = 256 << 10

SLOTS_TOLD = 8
"""Workers whose memory and CPU are told one by one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recycling:
    """When a worker is replaced by a fresh one, between two chunks."""

    chunks: int = 500
    """After so many chunks."""
    growth_bytes: int = 192 << 20
    """When its resting size has grown by so many bytes: a leak, or a heap that stays split."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Worker:
    name: str
    slot: int
    """The lowest number from 1 that no other living worker has."""
    process: Launched
    watched: Watched
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    born_bytes: int = 0
    resting_bytes: int = 0
    chunks: int = 0
    busy: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    """Correlation of what it logs and writes."""
    said: int = 0
    partial: bytes = b""
    tail: str = ""


class WorkerPool:
    """Runs chunks in worker processes.

    Args:
        launcher: Starts the processes.
        watch: Holds them to time and memory.
        recycling: When a worker is replaced.
        ended: Told what a chunk cost, and the worker's name and slot, also when the kernel
            raised; in the task that awaits the chunk.
    """

    def __init__(
        self,
        launcher: Launcher,
        watch: Watch,
        *,
        recycling: Recycling | None = None,
        ended: Callable[[Account, str, int], None] = lambda _account, _name, _slot: None,
    ) -> None:
        self._launcher = launcher
        self._watch = watch
        self._ended = ended
        self._recycling = recycling or Recycling()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._born = 0
        self.started = 0
        """Workers started so far, the recycled and the lost ones included."""

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return sorted(w.process.pid for w in self._all if not w.process.exited.done())

    async def warm(self) -> None:
        """Have the nursery ready, so that a worker starts within some 20 ms."""
        await self._launcher.warm()
        if self._launcher.pid is not None:
            self._watch.nursery = self._launcher.pid

    async def run(
        self, chunk: Chunk, folder: Path, lease: Lease, *, fresh: bool = False
    ) -> KernelResult:
        """Do one chunk in one worker.

        When the awaiting task is cancelled, the worker is killed and its end awaited, so nothing
        writes into `folder` any more once this has returned or raised.

        Args:
            chunk: The work.
            folder: An empty folder for its files.
            lease: The memory it was admitted with.
            fresh: Use a worker that has done nothing before.

        Raises:
            WorkerError: The worker was lost: crashed, ran out of time or of memory.
            GeoAssetsError: What the kernel raised, or a description of it.
            ContractError: The spec or the result cannot travel.
        """
        job = packed(chunk, folder)
        worker = await self._take(fresh=fresh)
        try:
            kind, payload = await self._exchange(worker, chunk, lease, job)
            worker_error = self._watch.end(worker.watched)
            if worker_error is not None:  # killed in the moment it answered: the answer counts
                await self._discard(worker)
        except (EOFError, ConnectionError):
            raise await self._loss(worker, chunk) from None
        except BaseException:
            await self._discard(worker)
            raise
        answer, account = channel.load(payload)
        lease.peak = max(lease.peak, account.peak_bytes)
        self._ended(account, worker.name, worker.slot)
        self._give_back(worker, account)
        if kind == channel.ERROR:
            raise answer
        return answer  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Kill every worker and the nursery; returns when they are gone."""
        for worker in list(self._all):
            worker.process.kill()
        for worker in list(self._all):
            await self._discard(worker)
        await self._launcher.close()

    async def _exchange(
        self, worker: _Worker, chunk: Chunk, lease: Lease, job: bytes
    ) -> tuple[bytes, bytes]:
        worker.busy, worker.said, worker.tail = True, 0, ""
        worker.fields = {**log.bound(), "chunk": chunk.id, "worker": worker.name}
        self._watch.begin(worker.watched, chunk.id, lease, worker.resting_bytes, chunk.timeout_s)
        try:
            log.emit(__name__, logging.DEBUG, "computing", worker.fields)
            worker.writer.write(channel.frame(channel.JOB, job))
            await worker.writer.drain()
            while True:
                kind, payload = await channel.read_frame(worker.reader)
                if kind != channel.LOG:
                    return kind, payload
                name, level, text = channel.load(payload)
                log.emit(name, level, text, worker.fields)
        finally:
            self._drain(worker)

    async def _take(self, *, fresh: bool) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if fresh or worker.process.exited.done():
                self._forget(worker)
                if fresh:
                    break
            else:
                return worker
        return await self._start()

    async def _start(self) -> _Worker:
        await self.warm()
        process = await self._launcher.launch()
        self._born += 1
        self.started += 1
        reader, writer = await asyncio.open_connection(sock=process.sock)
        slot = self._free_slot()
        watched = Watched(process.pid, f"worker_{slot}_rss_peak" if slot <= SLOTS_TOLD else "")
        worker = _Worker(
            name=f"w{self._born}", slot=slot, process=process, watched=watched,
            reader=reader, writer=writer)  # fmt: skip
        self._all.add(worker)
        asyncio.get_running_loop().add_reader(process.output_fd, self._drain, worker)
        try:
            async with asyncio.timeout(_START_S):
                _, payload = await channel.read_frame(reader)
        except (EOFError, ConnectionError, TimeoutError):
            raise await self._loss(worker, None) from None
        except BaseException:
            await self._discard(worker)
            raise
        worker.born_bytes = worker.resting_bytes = channel.load(payload)
        self._watch.add(worker.watched)
        return worker

    def _free_slot(self) -> int:
        taken = {worker.slot for worker in self._all}
        return next(slot for slot in range(1, len(taken) + 2) if slot not in taken)

    def _give_back(self, worker: _Worker, account: Account) -> None:
        worker.busy = False
        worker.fields = {"worker": worker.name}
        worker.chunks += 1
        worker.resting_bytes = account.resting_bytes
        grown = account.resting_bytes - worker.born_bytes
        if (
            account.recycle
            or worker not in self._all
            or worker.chunks >= self._recycling.chunks
            or grown > self._recycling.growth_bytes
        ):
            self._forget(worker)
        else:
            self._idle.append(worker)

    async def _loss(self, worker: _Worker, chunk: Chunk | None) -> WorkerError:
        """What to tell the caller of a worker that is gone."""
        verdict = self._watch.end(worker.watched)
        await asyncio.wait([worker.process.exited], timeout=_EXIT_CODE_S)
        self._drain(worker)
        await self._discard(worker)
        error = verdict or WorkerCrashed(
            "A worker process lives as long as its chunk",
            worker.process.ending(),
            chunk.id if chunk else "",
            "Only this chunk is affected; the log holds what the worker wrote.",
        )
        if worker.tail:
            error.add_note("The worker wrote last:\n" + worker.tail.strip())
        return error

    async def _discard(self, worker: _Worker) -> None:
        """Kill a worker and wait for its end, whatever happens to the awaiting task."""
        worker.process.kill()
        try:
            await finish(asyncio.wait([worker.process.exited], timeout=_END_S))
        finally:
            if not worker.process.exited.done():
                _log.error("worker %s (pid %d) does not end", worker.name, worker.process.pid)
            self._forget(worker)

    def _forget(self, worker: _Worker) -> None:
        """Let go of a worker: one that lives reads the end of its channel and ends."""
        if worker not in self._all:
            return
        self._all.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._watch.end(worker.watched)
        self._watch.remove(worker.watched)
        self._drain(worker)
        asyncio.get_running_loop().remove_reader(worker.process.output_fd)
        os.close(worker.process.output_fd)
        worker.writer.close()

    def _drain(self, worker: _Worker) -> None:
        """Log what the worker wrote to stdout and stderr so far."""
        if worker not in self._all:
            return
        text = worker.partial
        with contextlib.suppress(BlockingIOError):
            while len(text) < _OUTPUT_AT_ONCE:
                data = os.read(worker.process.output_fd, 1 << 16)
                text += data
                if not data:
                    asyncio.get_running_loop().remove_reader(worker.process.output_fd)
                    break
        whole, newline, rest = text.rpartition(b"\n")
        worker.partial = rest[-_TEXT_LIMIT:]
        if newline:
            self._say(worker, whole.decode(errors="replace").strip())

    @staticmethod
    def _say(worker: _Worker, text: str) -> None:
        worker.tail = (worker.tail + "\n" + text)[-_TEXT_LIMIT:]
        worker.said += len(text)
        if text and worker.said <= _TEXT_PER_CHUNK:
            log.emit("output", logging.WARNING, text[-_TEXT_LIMIT:], worker.fields)
