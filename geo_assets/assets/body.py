"""The body of every factory-made asset: plan a recipe for each partition, produce, publish."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.assets.costs import costs
from geo_assets.assets.many import ManyPartitions
from geo_assets.assets.outcome import Failures, Outcome
from geo_assets.assets.run_log import RunLog
from geo_assets.dagster_internals import preview_features, silent_output_metadata
from geo_assets.engine.log import bind
from geo_assets.engine.spans import span
from geo_assets.interruption import interruptible_step
from geo_assets.production import Current, Recipe, produce
from geo_assets.progress import Pace
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.store.artifact import ArtifactStore

_log = logging.getLogger(__name__)

Plan: TypeAlias = Callable[[str | None, Path], Awaitable[Recipe]]
"""Makes the recipe of one partition; the folder is the partition's own, for files in flight."""


async def materialize(
    context: dg.AssetExecutionContext, plan: Plan, *, store: GeoStore, engine: GeoEngine
) -> AsyncIterator[Any]:
    """The events of one step.

    One partition, or none: one output, which the I/O manager commits. Several: each is committed
    and reported by itself as soon as it is done; if some fail the step fails at the end, naming
    them, and the others stay.

    Raises:
        dagster.Failure: A partition could not be made.
        dagster.DagsterExecutionInterruptedError: The run was terminated; every chunk staged so
            far is adopted by the next run.
    """
    partitioned = context.assets_def.partitions_def is not None
    keys = list(context.partition_keys) if partitioned else [None]
    run = _Run(context, plan, store.artifacts(), engine)
    async with interruptible_step(context):
        events = await run.events(keys)
    for event in events:
        yield event


class _Run:
    """One step: what its partitions share."""

    def __init__(
        self, context: dg.AssetExecutionContext, plan: Plan, store: ArtifactStore, engine: GeoEngine
    ) -> None:
        self._context = context
        self._plan = plan
        self._store = store
        self._engine = engine.engine
        self._lanes = engine.partitions
        self._log = RunLog(context)

    async def events(self, keys: Sequence[Any]) -> list[Any]:
        """What the step has to tell Dagster."""
        asset, run = self._context.asset_key.to_user_string(), self._context.run.run_id
        with bind(run=run, asset=asset), span("asset", asset):
            return await self._listening(keys)

    async def _listening(self, keys: Sequence[Any]) -> list[Any]:
        async with self._log.listening():
            return await (self.single(keys[0]) if len(keys) == 1 else self.many(keys))

    async def single(self, partition: str | None) -> list[Any]:
        """The output of a step with one partition; the I/O manager commits it."""
        with self._engine.telemetry.measure() as measure:
            pace = Pace(self._log.tell, "chunks")
            outcome = await self._one(partition, lambda: costs(measure), pace)
        result = outcome.result
        if result is None:
            assert outcome.error is not None
            failures = Failures()
            failures.add(partition, outcome.error)
            raise failures.failure(outcome.costs) from outcome.error
        version = result.artifact.version if isinstance(result, Current) else result.draft.version
        with preview_features():
            output: dg.Output[Any] = dg.Output(
                result,
                metadata=outcome.pictures() | outcome.manner() | outcome.shown_costs(),
                data_version=dg.DataVersion(version),
            )
        return [output]

    async def many(self, keys: Sequence[Any]) -> list[Any]:
        """The output of a step with several partitions, each of which was reported by itself.

        What belongs to no single one of them is an observation of the asset, which is plotted;
        there is none where everything was current already.
        """
        pace = Pace(self._log.tell, "partitions")
        step = ManyPartitions(
            self._context, self._store, self._engine, lanes=self._lanes, progress=pace
        )

        async def make(key: str) -> Outcome:
            with self._engine.telemetry.own() as share:
                return await self._one(key, share.snapshot)

        with self._engine.telemetry.measure() as measure:
            await step.run(keys, make)
        if step.failures.count:
            raise step.failures.failure(costs(measure))
        output = dg.Output(None, metadata=silent_output_metadata())
        if not measure.chunks:
            return [output]
        return [dg.AssetObservation(self._context.asset_key, metadata=costs(measure)), output]

    async def _one(
        self,
        partition: str | None,
        spent: Callable[[], Mapping[str, Any]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Outcome:
        """Make one partition; whatever goes wrong is its outcome and touches no other.

        Without `progress` it is one of many, whose chunks are too small a step to tell.
        """
        with bind(partition=partition or ""), span("partition", partition or "all"):
            try:
                await self._store.probe()
                async with self._engine.folder() as folder:
                    result = await produce(
                        await self._plan(partition, folder),
                        folder=folder,
                        store=self._store,
                        engine=self._engine,
                        run_id=self._context.run.run_id,
                        progress=progress or _silent,
                        alone=progress is not None,
                    )
            except Exception as error:  # noqa: BLE001 - reported by `Failures`, never swallowed
                _log.error("not made: %s", error, extra={RunLog.SKIP: True})
                return Outcome(partition=partition, error=error, costs=spent())
            outcome = Outcome(partition=partition, result=result, costs=spent())
            # Of many partitions Dagster has an event each; a line each tells no more.
            _log.log(logging.DEBUG if progress is None else logging.INFO, "%s", outcome.told())
        return outcome


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""
