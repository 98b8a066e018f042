"""One job for all tasks that ask for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from geo_assets.engine.scope import finish


class OnceByKey:
    """Does an awaitable job once per key, however many tasks ask for it at the same time.

    A task that is cancelled leaves the job to the others; when the last one that waits is
    cancelled, so is the job, and it has ended before that task goes on.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, asyncio.Future[Any]] = {}
        self._waiting: Counter[asyncio.Future[Any]] = Counter()

    async def get(self, key: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """The result of `make` for `key`; a failed job is forgotten, so that a retry runs again."""
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = asyncio.ensure_future(make())
        self._waiting[job] += 1
        try:
            return await asyncio.shield(job)
        except BaseException:
            if not job.done() and self._waiting[job] == 1:
                job.cancel()
                await finish(asyncio.wait([job]))
            if job.done() and (job.cancelled() or job.exception() is not None):
                self._forget(key, job)
            raise
        finally:
            self._waiting[job] -= 1

    def _forget(self, key: str, job: asyncio.Future[Any]) -> None:
        """Unless a retry has put another job in its place."""
        if self._jobs.get(key) is job:
            del self._jobs[key]
