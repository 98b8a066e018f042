"""A run of many partitions: each is made, committed, reported and checked by itself.

```
keys -> lanes: plan, fetch, make (few: they hold files)
     -> settle: commit, metadata, checks (more: they wait for the store)
     -> log: events and verdicts, in batches, in a thread
```
Of partitions that are done little more than their names is kept, so the memory of a run hardly
grows with their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import dagster as dg

from geo_assets.assets.outcome import Failures, Outcome
from geo_assets.batches import Batches, to_the_end
from geo_assets.checks.at_once import ChecksAtOnce
from geo_assets.checks.judged import Judgement
from geo_assets.dagster_internals import PartitionLog, VersionTags
from geo_assets.engine.engine import Engine
from geo_assets.metadata import artifact_metadata
from geo_assets.model import Artifact
from geo_assets.production import Current
from geo_assets.store.artifact import ArtifactStore

SETTLING = 32
"""Partitions that are being committed and checked; they hold none of the files they are made of."""

GRACE_S = 2.0
"""How long a commit that is under way may take when the run is ended, so that it is reported."""


class ManyPartitions:
    """One step with several partitions.

    Args:
        context: The step's.
        store: Where partitions are committed.
        engine: Runs the checks that this run has chosen.
        lanes: Partitions that are made at the same time.
        progress: Told partitions done, partitions in all and a note, after each.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        store: ArtifactStore,
        engine: Engine,
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
        self._checks = ChecksAtOnce(context, store, engine)
        self._events = Batches(self._store_events)
        self._settling = asyncio.Semaphore(SETTLING)
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
        async with self._store.gathering():
            await self._events.during(self._all(keys, make))

    async def _all(self, keys: Sequence[str], make: Callable[[str], Awaitable[Outcome]]) -> None:
        waiting = iter(keys)

        async def lane() -> None:
            for key in waiting:
                outcome = await make(key)
                await self._settling.acquire()
                group.create_task(self._settle(key, outcome))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._lanes, len(keys))):
                group.create_task(lane())

    async def _settle(self, key: str, outcome: Outcome) -> None:
        """Commit, report and check a partition, or report how it failed; no other is touched."""
        try:
            error, artifact = outcome.error, None
            if error is None:
                try:
                    artifact = await to_the_end(self._publish(key, outcome), within_s=GRACE_S)
                except Exception as raised:  # noqa: BLE001 - the failure of this partition alone
                    error = raised
            if error is not None:
                await self._fail(key, error)
            if artifact is not None:
                for judgement in await self._checks.of(artifact):
                    await self._events.put(judgement)
        finally:
            self._settling.release()
        self._done += 1
        failed = self.failures.count
        self._progress(self._done, self._total, f", {failed} failed" if failed else "")

    async def _publish(self, key: str, outcome: Outcome) -> Artifact:
        result = outcome.result
        assert result is not None
        artifact = result.artifact if isinstance(result, Current) else await result.commit()
        tags = self._tags.of_partition(artifact.version, result.inputs)
        facts = outcome.manner() | await artifact_metadata(self._store, artifact)
        facts |= outcome.shown_costs()
        entry = self._log.made(
            dg.AssetMaterialization(
                asset_key=self._context.asset_key,
                partition=key,
                metadata=outcome.pictures() | facts,
                tags=tags,
            )
        )
        await self._events.put(entry)
        self._log.echo(entry)
        return artifact

    def _store_events(self, items: Sequence[dg.EventLogEntry | Judgement]) -> None:
        """Events first: a verdict names the event of the materialization that it is of."""
        events = [item for item in items if isinstance(item, dg.EventLogEntry)]
        verdicts = [item for item in items if not isinstance(item, dg.EventLogEntry)]
        self._log.store(events)
        if verdicts:
            self._checks.log.store(verdicts)

    async def _fail(self, key: str, error: Exception) -> None:
        told = self.failures.add(key, error)
        await asyncio.to_thread(self._context.log.error, "partition %s: %s", key, told)
        entry = self._log.failed(self._context.asset_key, key)
        if entry is not None:
            await self._events.put(entry)
