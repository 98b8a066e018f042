"""The engine: workers, memory budget, scratch space and telemetry of one run."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from geo_assets.engine import log
from geo_assets.engine.budget import MemoryBudget
from geo_assets.engine.compute import Compute
from geo_assets.engine.launcher import Launcher
from geo_assets.engine.memory import budget_bytes
from geo_assets.engine.nursery import PRELOAD
from geo_assets.engine.pool import Recycling, WorkerPool
from geo_assets.engine.retry import Retry
from geo_assets.engine.sandbox import worker_environment
from geo_assets.engine.scope import finish
from geo_assets.engine.scratch import Space, scratch_folder
from geo_assets.engine.stream import Done, Lost, Stages, stream
from geo_assets.engine.telemetry import Telemetry
from geo_assets.engine.watch import Watch
from geo_assets.engine.work import Work
from geo_assets.model import Chunk, KernelResult
from geo_assets.settings import Settings
from geo_assets.store import observed

__all__ = ["Done", "Engine", "Lost"]

T = TypeVar("T")


class Engine:
    """Runs chunks in worker processes, under one memory budget; `open` makes one.

    One engine serves all assets of a run, one after another, and many partitions at the same time:
    every method may be called from several tasks of the loop it was opened on, and they share
    workers, memory and scratch space first come, first served.
    """

    def __init__(
        self, space: Space, settings: Settings, *, memory: int, retry: Retry,
        preload: Sequence[str], recycling: Recycling,
    ) -> None:  # fmt: skip
        workers = settings.worker_count
        self.scratch = space.folder
        """A private folder of this run; removed at exit."""
        self.telemetry = Telemetry(workers, memory)
        """Costs of the run; `telemetry.measure()` for one materialization."""
        self.budget = MemoryBudget(memory, workers)
        """The memory of all running chunks."""
        launcher = Launcher(
            environ=worker_environment(os.environ, self.scratch / "tmp"),
            preload=preload,
            on_output=_nursery_wrote,
        )
        telemetry = self.telemetry
        self._watch = Watch(
            self.budget, note=telemetry.peak, use=telemetry.memory, tick=space.sample
        )
        self.telemetry.on_measure = self._watch.look_anew
        self.pool = WorkerPool(
            launcher, self._watch, recycling=recycling, ended=telemetry.chunk_cost
        )
        """The worker processes; they are started when the first chunk needs one."""
        self._compute = Compute(self.pool, self.budget, self.telemetry, retry)
        self._work = Work(space, workers, self._compute, self.telemetry)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        retry: Retry | None = None,
        preload: Sequence[str] = PRELOAD,
        recycling: Recycling | None = None,
    ) -> AsyncIterator[Engine]:
        """An engine for the duration of the block; nothing of it is left afterwards.

        At exit every stream is cancelled, every worker killed and the scratch folder removed, also
        when the block ends with an error or a cancellation. If the whole process is killed, the
        workers end with it, and the next run sweeps the folder.

        Args:
            settings: Workers, memory and where scratch space is.
            retry: How transient faults are tried again.
            preload: Modules that workers share from the start.
            recycling: When workers are replaced.

        Raises:
            ConfigError: The scratch folder cannot be written.
        """
        folder = scratch_folder(settings.scratch.absolute())
        scratch = await asyncio.to_thread(folder.__enter__)
        try:
            space, memory = await asyncio.to_thread(_prepare, scratch, settings)
            engine = cls(space, settings, memory=memory, retry=retry or Retry(),
                         preload=preload, recycling=recycling or Recycling())  # fmt: skip
            engine._watch.start()
            observed.sinks.append(engine.telemetry.traffic)
            try:
                yield engine
            finally:
                observed.sinks.remove(engine.telemetry.traffic)
                await finish(engine._close())
        finally:
            await finish(asyncio.to_thread(folder.__exit__, None, None, None))

    def folder(self) -> AbstractAsyncContextManager[Path]:
        """An empty folder for a block, for files in flight; they are deleted afterwards."""
        return self._work.folders.lent()

    def warm(self) -> None:
        """Begin to start what workers are forked from, in the background.

        For whoever is about to need a worker and has something to bring or to plan first.
        """
        self._compute.warm()

    async def stream(
        self,
        chunks: Iterable[Chunk] | AsyncIterable[Chunk],
        *,
        stage: Callable[[Chunk, KernelResult], Awaitable[T]],
        fetch: Callable[[Chunk], Awaitable[Chunk]] | None = None,
    ) -> AsyncGenerator[Done[T] | Lost, None]:
        """Fetch, compute and stage chunks; hand them out in the order in which they finish.

        Chunks are taken lazily. At any time only a bounded number of them is between the source
        and the consumer, fewer compute, and what they may need together stays below the budget.
        A chunk's files are deleted after `stage` has returned. When the consumer stops, is
        cancelled, or raises, everything in flight is cancelled and its workers are killed; wrap
        the stream into `contextlib.aclosing` to have that done before the next statement.

        Args:
            chunks: The work. An iterator that does slow things should be asynchronous.
            stage: Publishes a chunk's files; tried again after a `TransientError`, so repeating it
                must be harmless. It must not use this engine itself.
            fetch: Brings a chunk's inputs to this machine and returns the chunk with a spec that
                names them; tried again after a `TransientError`.

        Yields:
            `Done` with what `stage` returned, or `Lost` with the error of a chunk given up.

        Raises:
            Exception: What the source of the chunks raised.
        """
        items = stream(chunks, self._work, Stages(stage=stage, fetch=fetch))
        with self.telemetry.sampling():
            async with aclosing(items):
                async for item in items:
                    yield item

    async def run(self, chunk: Chunk, into: Path) -> KernelResult:
        """Do one chunk; its files lie in a new folder below `into`, which is the caller's.

        Raises:
            GeoAssetsError: The chunk is given up; see `Compute` for what is tried again.
        """
        with self.telemetry.sampling(), log.bind(chunk=chunk.id):
            return await self._work.alone(chunk, into)

    async def _close(self) -> None:
        pipelines = list(self._work.pipelines)
        for pipeline in pipelines:
            pipeline.cancel()
        if pipelines:
            await asyncio.wait(pipelines)
        await self._compute.close()
        await self.pool.close()
        await self._work.folders.settle()
        await asyncio.to_thread(self._watch.stop)


def _prepare(scratch: Path, settings: Settings) -> tuple[Space, int]:
    (scratch / "tmp").mkdir()
    return Space(scratch), budget_bytes(settings)


def _nursery_wrote(data: bytes) -> None:
    text = data.decode(errors="replace").rstrip()
    log.emit("nursery", logging.WARNING, text, {})
