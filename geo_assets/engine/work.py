"""The shared stages of an engine: what all its streams have to divide among them."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from geo_assets.engine.compute import Compute
from geo_assets.engine.folders import EmptyFolders
from geo_assets.engine.scratch import Space
from geo_assets.engine.telemetry import Telemetry
from geo_assets.errors import ConfigError, GeoAssetsError
from geo_assets.model import Chunk, KernelResult
from geo_assets.store.threads import in_thread

T = TypeVar("T")

_FEWEST = 4
_SPACE_POLL_S = 0.1
_IDLE_POLLS = 5

_log = logging.getLogger(__name__)


class Work:
    """Bounds for fetch, compute and stage, and the chunks' folders.

    Everything that waits here waits first in, first out, so that streams which run at the same
    time share evenly.

    Args:
        space: The run's private folder and its disk.
        workers: Chunks that compute at the same time.
        compute: Runs one chunk.
        telemetry: Where the costs go.
    """

    def __init__(self, space: Space, workers: int, compute: Compute, telemetry: Telemetry) -> None:
        self._space = space
        self.folders = EmptyFolders(space.folder / "work")
        """Where chunks, and what they are made from, have their files."""
        self._compute = compute
        self._telemetry = telemetry
        beside = max(_FEWEST, workers)
        self.folder_limit = workers + 2 * beside
        """Chunk folders that may exist at the same time."""
        self._places = asyncio.Semaphore(self.folder_limit)
        self._fetching = asyncio.Semaphore(beside)
        self._staging = asyncio.Semaphore(beside)
        self._used = 0
        self.pipelines: set[asyncio.Task[None]] = set()
        """Streams under way."""

    def note_loss(self, error: Exception) -> None:
        """Count and log a chunk that is given up."""
        self._telemetry.count("chunks_lost")
        expected = isinstance(error, GeoAssetsError)
        _log.error("chunk given up: %s", error, exc_info=None if expected else error)

    async def through(
        self,
        chunk: Chunk,
        stage: Callable[[Chunk, KernelResult], Awaitable[T]],
        fetch: Callable[[Chunk], Awaitable[Chunk]] | None,
    ) -> T:
        """Take one chunk through all stages; its files are gone afterwards."""
        self._compute.check(chunk)
        async with self._folder(chunk) as folder:
            with self._telemetry.chunk(chunk.id) as trace:
                ready = chunk
                if fetch is not None:
                    self._compute.warm()
                    ready = await self._fetch(chunk, fetch)
                result = await self._compute.run(ready, folder)
                trace.bytes_out = sum(file.size for file in result.files)
                async with self._turn("stage", self._staging):
                    return await self._compute.retry.call(
                        lambda: stage(ready, result), on_retry=self._compute.note_retry
                    )

    async def alone(self, chunk: Chunk, into: Path) -> KernelResult:
        """Do one chunk without fetch and stage; its files lie in a new folder below `into`."""
        self._compute.check(chunk)
        folder = await in_thread(lambda: Path(tempfile.mkdtemp(dir=into)))
        with self._telemetry.chunk(chunk.id) as trace:
            result = await self._compute.run(chunk, folder)
            trace.bytes_out = sum(file.size for file in result.files)
        return result

    async def _fetch(self, chunk: Chunk, fetch: Callable[[Chunk], Awaitable[Chunk]]) -> Chunk:
        async with self._turn("fetch", self._fetching):
            return await self._compute.retry.call(
                lambda: fetch(chunk), on_retry=self._compute.note_retry
            )

    @asynccontextmanager
    async def _turn(self, name: str, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait for a turn, then take the time of the block."""
        with self._telemetry.waiting(name):
            await turns.acquire()
        try:
            _log.debug("%s begins", name)
            with self._telemetry.timing(name):
                yield
        finally:
            turns.release()

    @asynccontextmanager
    async def _folder(self, chunk: Chunk) -> AsyncIterator[Path]:
        async with self._places:
            await self._room(chunk)
            self._used += 1
            try:
                async with self.folders.lent() as folder:
                    yield folder
            finally:
                self._used -= 1

    async def _room(self, chunk: Chunk) -> None:
        """Wait while scratch space is short and something on its way will free some."""
        idle_polls = 0
        while self._space.short:
            await self.folders.settle()  # what was given back takes its room until it is deleted
            idle_polls = 0 if self._used else idle_polls + 1
            if idle_polls > _IDLE_POLLS:
                raise ConfigError(
                    f"Scratch has {self._space.reserve >> 20} MiB of free space",
                    f"{self._space.free >> 20} MiB in {self._space.folder}",
                    chunk.id,
                    "Free some, or set GEO_ASSETS_SCRATCH to a larger disk.",
                )
            await asyncio.sleep(_SPACE_POLL_S)
