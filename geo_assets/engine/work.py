"""The shared stages of an engine: what all its streams have to divide among them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TypeVar

from geo_assets.engine.compute import Compute
from geo_assets.engine.scope import finish
from geo_assets.engine.scratch import Space, remove, renew
from geo_assets.engine.telemetry import Telemetry
from geo_assets.errors import ConfigError, ContractError, GeoAssetsError
from geo_assets.model import Chunk, KernelResult
from geo_assets.store.threads import in_thread

T = TypeVar("T")

_FEWEST = 4
_SPACE_POLL_S = 0.1
_IDLE_POLLS = 5

_log = logging.getLogger(__name__)
_inputs: ContextVar[Path] = ContextVar("geo_assets_inputs")


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
        self._scratch = space.folder
        self._compute = compute
        self._telemetry = telemetry
        beside = max(_FEWEST, workers)
        self.folder_limit = workers + 2 * beside
        """Chunk folders that may exist at the same time."""
        self._folders = asyncio.Semaphore(self.folder_limit)
        self._fetching = asyncio.Semaphore(beside)
        self._staging = asyncio.Semaphore(beside)
        self._serial = itertools.count(1)
        self._used = 0
        self.pipelines: set[asyncio.Task[None]] = set()
        """Streams under way."""

    @property
    def inputs(self) -> Path:
        """The folder for what the current chunk's `fetch` downloads; deleted with the chunk.

        Raises:
            LookupError: Not called from within `fetch`.
        """
        return _inputs.get()

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
        """Take one chunk through all stages; its folder is gone afterwards."""
        self._compute.check(chunk)
        async with self._folder(chunk) as folder:
            with self._telemetry.chunk(chunk.id) as trace:
                ready = chunk
                if fetch is not None:
                    self._compute.warm()
                    ready = await self._fetch(chunk, fetch, folder / "in")
                result = await self._compute.run(ready, folder / "out")
                trace.bytes_out = sum(file.size for file in result.files)
                async with self._turn("stage", self._staging):
                    return await self._compute.retry.call(
                        lambda: stage(ready, result), on_retry=self._compute.note_retry
                    )

    async def keep(self, chunk: Chunk) -> KernelResult:
        """Do one chunk without fetch and stage; its folder stays until it is discarded."""
        self._compute.check(chunk)
        folder = self._name(chunk)
        try:
            with self._telemetry.chunk(chunk.id) as trace:
                result = await self._compute.run(chunk, folder / "out")
                trace.bytes_out = sum(file.size for file in result.files)
        except BaseException:
            await finish(in_thread(lambda: remove(folder)))
            raise
        return result

    async def discard(self, result: KernelResult) -> None:
        """Delete the folders that the result's files lie in, as far as they are ours."""
        folders = set()
        for file in result.files:
            if file.path.is_relative_to(self._scratch):
                folders.add(self._scratch / file.path.relative_to(self._scratch).parts[0])
        for folder in folders:
            await in_thread(partial(remove, folder))

    async def _fetch(
        self, chunk: Chunk, fetch: Callable[[Chunk], Awaitable[Chunk]], folder: Path
    ) -> Chunk:
        async def attempt() -> Chunk:
            await in_thread(lambda: renew(folder))
            return await fetch(chunk)

        async with self._turn("fetch", self._fetching):
            token = _inputs.set(folder)
            try:
                return await self._compute.retry.call(attempt, on_retry=self._compute.note_retry)
            finally:
                _inputs.reset(token)

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
        async with self._folders:
            await self._room(chunk)
            folder = self._name(chunk)
            self._used += 1
            try:
                yield folder
            finally:
                self._used -= 1
                await finish(in_thread(lambda: remove(folder)))

    async def _room(self, chunk: Chunk) -> None:
        """Wait while scratch space is short and chunks on their way will free some."""
        idle_polls = 0
        while self._space.short:
            idle_polls = 0 if self._used else idle_polls + 1
            if idle_polls > _IDLE_POLLS:
                raise ConfigError(
                    f"Scratch has {self._space.reserve >> 20} MiB of free space",
                    f"{self._space.free >> 20} MiB in {self._space.folder}",
                    chunk.id,
                    "Free some, or set GEO_ASSETS_SCRATCH to a larger disk.",
                )
            await asyncio.sleep(_SPACE_POLL_S)

    def _name(self, chunk: Chunk) -> Path:
        """A folder of its own: ids are unique in one partition, and several may be under way."""
        if "/" in chunk.id or not chunk.id:
            raise ContractError("A chunk's id is one path segment", repr(chunk.id))
        return self._scratch / f"{next(self._serial)}-{chunk.id}"
