"""The body of every factory-made asset: plan a recipe for each partition, produce, publish."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.assets.many import ManyPartitions, Watch
from geo_assets.assets.outcome import Failures, Outcome
from geo_assets.dagster_internals import Interrupted, preview_features, silent_output_metadata
from geo_assets.engine.log import bind
from geo_assets.engine.scope import interruptible
from geo_assets.production import Current, Recipe, produce, work_folder
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.store.artifact import ArtifactStore

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
    async with interruptible(raise_as=Interrupted):
        output = await (run.single(keys[0]) if len(keys) == 1 else run.many(keys))
    yield output


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

    async def single(self, partition: str | None) -> dg.Output[Any]:
        """The output of a step with one partition; the I/O manager commits it."""
        with self._engine.telemetry.measure() as measure:
            outcome = await self._one(
                partition, measure.snapshot, _Progress(self._context, partition)
            )
        result = outcome.result
        if result is None:
            assert outcome.error is not None
            failures = Failures()
            failures.add(partition, outcome.error)
            raise failures.failure() from outcome.error
        version = result.artifact.version if isinstance(result, Current) else result.draft.version
        with preview_features():
            return dg.Output(
                result,
                metadata=outcome.pictures() | outcome.manner() | outcome.shown_costs(),
                data_version=dg.DataVersion(version),
            )

    async def many(self, keys: Sequence[Any]) -> dg.Output[Any]:
        """The output of a step with several partitions, each of which was reported by itself."""
        step = ManyPartitions(self._context, self._store, lanes=self._lanes)

        async def make(key: str) -> Outcome:
            return await self._one(key, Watch().costs, _silent)

        with self._engine.telemetry.measure() as measure:
            await step.run(keys, make)
        costs = measure.snapshot()
        if step.failures.count:
            raise step.failures.failure(costs)
        return dg.Output(None, metadata=silent_output_metadata() | costs)

    async def _one(
        self,
        partition: str | None,
        costs: Callable[[], Mapping[str, int | float]],
        progress: Callable[[int, int], None],
    ) -> Outcome:
        """Make one partition; whatever goes wrong is its outcome and touches no other."""
        asset, run_id = self._context.asset_key.to_user_string(), self._context.run.run_id
        with bind(run=run_id, asset=asset, partition=partition or ""):
            try:
                await self._store.probe()
                async with work_folder(self._engine.scratch) as folder:
                    result = await produce(
                        await self._plan(partition, folder),
                        folder=folder,
                        store=self._store,
                        engine=self._engine,
                        run_id=run_id,
                        progress=progress,
                    )
            except Exception as error:  # noqa: BLE001 - reported by `Failures`, never swallowed
                return Outcome(partition=partition, error=error)
        return Outcome(partition=partition, result=result, costs=costs())


def _silent(_done: int, _total: int) -> None:
    """Chunks of one partition among many are too small a step to tell."""


class _Progress:
    """Tells Dagster's log how far a partition is, a few times in all."""

    STEPS = 4

    def __init__(self, context: dg.AssetExecutionContext, partition: str | None) -> None:
        self._context = context
        self._partition = partition
        self._told = 0

    def __call__(self, done: int, total: int) -> None:
        step = done * self.STEPS // total
        if total >= self.STEPS and step > self._told:
            self._told = step
            place = f" of {self._partition}" if self._partition else ""
            self._context.log.info("%d of %d chunks%s done", done, total, place)
