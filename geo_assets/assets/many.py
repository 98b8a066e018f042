"""A run of many partitions: each is made, committed and reported by itself.

```
keys -> lanes: plan, fetch, make (few: they hold files)
     -> publish: commit, metadata (more: they wait for the store)
     -> log: events, in batches, in a thread
```
Partitions leave nothing behind when they are done, so the memory of a run does not grow with
their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from geo_assets.assets.outcome import Failures, Outcome
from geo_assets.dagster_internals import PartitionLog, VersionTags
from geo_assets.engine.scope import finish
from geo_assets.metadata import artifact_metadata
from geo_assets.production import Current
from geo_assets.store.artifact import ArtifactStore

PUBLISHING = 16
"""Partitions that are being committed at the same time; they hold no files any more."""

EVENTS_WAITING = 200
"""Events that wait for the database; then partitions wait for it too."""


class ManyPartitions:
    """One step with several partitions.

    Args:
        context: The step's.
        store: Where partitions are committed.
        lanes: Partitions that are made at the same time.
        progress: Told partitions done, partitions in all and a note, after each.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        store: ArtifactStore,
        *,
        lanes: int,
        progress: Callable[[int, int, str], None],
    ) -> None:
        self._context = context
        self._store = store
        self._lanes = lanes
        self._progress = progress
        self._tags = VersionTags.of(context)  # asks the database, so before anything runs
        self._log = PartitionLog(context)
        self._events: asyncio.Queue[dg.EventLogEntry | None] = asyncio.Queue(EVENTS_WAITING)
        self._publishing = asyncio.Semaphore(PUBLISHING)
        self._done = 0
        self._total = 0
        self.failures = Failures()

    async def run(self, keys: Sequence[str], make: Callable[[str], Awaitable[Outcome]]) -> None:
        """Make and publish every partition; those that fail are in `failures`.

        When it is cancelled, what was committed by then is reported before it ends.

        Raises:
            Exception: The event log cannot be written.
        """
        self._total = len(keys)
        writer = asyncio.create_task(self._write_events())
        try:
            async with asyncio.TaskGroup() as group:
                # A writer that fails stops the run: nobody would hear of further partitions.
                group.create_task(self._until_all_is_done(keys, make, writer))
        finally:
            if not writer.done():
                await finish(self._close(writer))
        await writer

    async def _until_all_is_done(
        self,
        keys: Sequence[str],
        make: Callable[[str], Awaitable[Outcome]],
        writer: asyncio.Task[None],
    ) -> None:
        work = asyncio.create_task(self._all(keys, make))
        try:
            await asyncio.wait({work, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel() if not work.done() else None
            await finish(asyncio.wait([work]))
        if not work.cancelled():
            work.result()

    async def _all(self, keys: Sequence[str], make: Callable[[str], Awaitable[Outcome]]) -> None:
        waiting = iter(keys)

        async def lane() -> None:
            for key in waiting:
                outcome = await make(key)
                await self._publishing.acquire()
                group.create_task(self._settle(key, outcome))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._lanes, len(keys))):
                group.create_task(lane())

    async def _settle(self, key: str, outcome: Outcome) -> None:
        """Commit a partition and report it, or report how it failed; no other is touched."""
        try:
            error = outcome.error
            if error is None:
                try:
                    await self._publish(key, outcome)
                except Exception as raised:  # noqa: BLE001 - the failure of this partition alone
                    error = raised
            if error is not None:
                await self._fail(key, error)
        finally:
            self._publishing.release()
        self._done += 1
        failed = self.failures.count
        self._progress(self._done, self._total, f", {failed} failed" if failed else "")

    async def _publish(self, key: str, outcome: Outcome) -> None:
        result = outcome.result
        assert result is not None
        artifact = result.artifact if isinstance(result, Current) else await result.commit()
        tags = self._tags.of_partition(artifact.version, result.inputs)
        facts = outcome.manner() | await artifact_metadata(self._store, artifact)
        facts |= outcome.shown_costs()
        await self._events.put(self._log.made(self._event(key, outcome.pictures() | facts, tags)))
        self._log.echo(self._event(key, outcome.manner() | outcome.shown_costs(), tags))

    def _event(
        self, key: str, metadata: Mapping[str, Any], tags: Mapping[str, str]
    ) -> dg.AssetMaterialization:
        return dg.AssetMaterialization(
            asset_key=self._context.asset_key, partition=key, metadata=metadata, tags=tags
        )

    async def _fail(self, key: str, error: Exception) -> None:
        told = self.failures.add(key, error)
        await asyncio.to_thread(self._context.log.error, "partition %s: %s", key, told)
        entry = self._log.failed(key)
        if entry is not None:
            await self._events.put(entry)

    async def _write_events(self) -> None:
        """Store what waits, as much at once as came while the last batch was stored."""
        open_ = True
        while open_:
            entries = [await self._events.get()]
            while not self._events.empty():
                entries.append(self._events.get_nowait())
            open_ = None not in entries
            batch = [entry for entry in entries if entry is not None]
            if batch:
                await asyncio.to_thread(self._log.store, batch)

    async def _close(self, writer: asyncio.Task[None]) -> None:
        """Let the writer store what waits, and end."""
        put = asyncio.create_task(self._events.put(None))
        await asyncio.wait({put, writer}, return_when=asyncio.FIRST_COMPLETED)
        put.cancel()
        await asyncio.wait([writer])
