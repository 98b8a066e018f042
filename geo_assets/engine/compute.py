"""From one chunk to its result, whatever happens to workers on the way."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from geo_assets.engine.budget import MemoryBudget
from geo_assets.engine.pool import WorkerPool
from geo_assets.engine.retry import Retry
from geo_assets.engine.telemetry import Telemetry
from geo_assets.errors import TransientError, WorkerCrashed, WorkerTimeout
from geo_assets.model import Chunk, KernelResult

_log = logging.getLogger(__name__)


class Compute:
    """Admission, worker and retries for one chunk at a time.

    | what happens | then |
    |---|---|
    | the worker crashes | once more, with nothing else running beside it |
    | it runs out of time | once more, in a fresh worker |
    | it runs out of memory | given up: the same size would end the same way |
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

    def check(self, chunk: Chunk) -> None:
        """Refuse a chunk that can never run.

        Raises:
            ConfigError: It is predicted to need more than the whole budget.
        """
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

    async def _surviving(self, chunk: Chunk, folder: Path) -> KernelResult:
        try:
            return await self._attempt(chunk, folder)
        except WorkerCrashed as error:
            self._count(error)
            _log.warning("trying once more, alone: %s", error)
            return await self._attempt(chunk, folder, alone=True, fresh=True)
        except WorkerTimeout as error:
            self._count(error)
            _log.warning("trying once more, in a fresh worker: %s", error)
            return await self._attempt(chunk, folder, fresh=True)

    async def _attempt(
        self, chunk: Chunk, folder: Path, *, alone: bool = False, fresh: bool = False
    ) -> KernelResult:
        name = f"{chunk.kernel.__module__}.{chunk.kernel.__qualname__}"
        async with self._budget.lease(
            chunk.predicted_bytes, kernel=name, alone=alone, where=chunk.id
        ) as lease:
            await asyncio.to_thread(_empty, folder)
            with self._telemetry.timing("compute"):
                result, account = await self._pool.run(chunk, folder, lease, fresh=fresh)
            self._telemetry.spent("cpu", account.cpu_s)
            self._telemetry.peak("chunk_peak", lease.peak)
            return result

    def _count(self, error: Exception) -> None:
        kind = getattr(error, "kind", "error")
        self._telemetry.count("retries")
        self._telemetry.count(f"retries_{kind}")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
