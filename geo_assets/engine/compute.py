"""From one chunk to its result, whatever happens to workers on the way."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from geo_assets.engine.budget import MemoryBudget
from geo_assets.engine.folders import empty
from geo_assets.engine.job import kernel_name
from geo_assets.engine.pool import WorkerPool
from geo_assets.engine.retry import Retry
from geo_assets.engine.telemetry import Telemetry
from geo_assets.engine.trace import current
from geo_assets.errors import (
    ContractError,
    TransientError,
    WorkerError,
    WorkerMemory,
    WorkerTimeout,
)
from geo_assets.model import Chunk, KernelResult
from geo_assets.store.threads import in_thread

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Attempt:
    chunk: Chunk
    folder: Path
    alone: bool = False
    fresh: bool = False
    outgrew_share: bool = False
    """It was killed for memory that others held at the time."""


class Compute:
    """Admission, worker and retries for one chunk at a time.

    | what happens | then |
    |---|---|
    | the worker crashes | once more, with nothing else running beside it |
    | it runs out of time | once more, in a fresh worker |
    | it outgrows its share while others hold theirs | once more, alone with the whole budget |
    | it outgrows the whole budget | given up: the same size would end the same way |
    | `TransientError` | again, with exponential backoff and jitter |
    | any other error of the kernel | given up |
    """

    def __init__(
        self, pool: WorkerPool, budget: MemoryBudget, telemetry: Telemetry, retry: Retry
    ) -> None:
        self._pool = pool
        self._budget = budget
        self._telemetry = telemetry
        self.retry = retry
        """How transient faults are tried again, here and in the other stages."""
        self._warming: asyncio.Task[None] | None = None

    def check(self, chunk: Chunk) -> None:
        """Refuse a chunk that can never run.

        Raises:
            ConfigError: It is predicted to need more than the whole budget.
            ContractError: Its id is no name for a file or folder.
        """
        if "/" in chunk.id or chunk.id in ("", ".", ".."):
            raise ContractError("A chunk's id is one path segment", repr(chunk.id))
        self._budget.check(chunk.predicted_bytes, chunk.id)

    async def run(self, chunk: Chunk, folder: Path) -> KernelResult:
        """Do the chunk; its files lie in `folder`, which every attempt finds empty.

        Raises:
            GeoAssetsError: The chunk is given up.
        """
        self.check(chunk)
        return await self.retry.call(
            lambda: self._surviving(chunk, folder), on_retry=self.note_retry
        )

    def note_retry(self, error: TransientError, wait: float) -> None:
        """Count and log that a transient fault is tried again."""
        self._count(error)
        _log.warning("trying again in %.1f s: %s", wait, error)

    def warm(self) -> None:
        """Begin to start the nursery in the background, while inputs are fetched."""
        if self._warming is None:
            self._warming = asyncio.create_task(self._pool.warm())
            self._warming.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def close(self) -> None:
        """End what `warm` began."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])

    async def _surviving(self, chunk: Chunk, folder: Path) -> KernelResult:
        """Do the chunk, once more if it lost its worker."""
        shared = _Attempt(chunk=chunk, folder=folder)
        try:
            return await self._do(shared)
        except WorkerError as error:
            if isinstance(error, WorkerMemory) and not shared.outgrew_share:
                raise
            self._count(error)
            _log.warning("trying once more in a fresh worker: %s", error)
            alone = not isinstance(error, WorkerTimeout)
        return await self._do(_Attempt(chunk=chunk, folder=folder, alone=alone, fresh=True))

    async def _do(self, attempt: _Attempt) -> KernelResult:
        chunk = attempt.chunk
        held = self._budget.lease(
            chunk.predicted_bytes, kernel=kernel_name(chunk), alone=attempt.alone, where=chunk.id
        )
        async with AsyncExitStack() as stack:
            with self._telemetry.waiting("compute"):
                lease = await stack.enter_async_context(held)
            self._telemetry.peak("budget_held_peak", self._budget.held)
            try:
                with self._telemetry.timing("compute"):
                    return await self._pool.run(chunk, attempt.folder, lease, fresh=attempt.fresh)
            except Exception:
                await in_thread(lambda: empty(attempt.folder))
                raise
            finally:
                attempt.outgrew_share = lease.refused
                self._telemetry.peak("chunk_peak", lease.peak)
                if (trace := current.get()) is not None:
                    trace.peak_bytes = max(trace.peak_bytes, lease.peak)

    def _count(self, error: Exception) -> None:
        kind = getattr(error, "kind", "error")
        self._telemetry.count("retries")
        self._telemetry.count(f"retries_{kind}")
