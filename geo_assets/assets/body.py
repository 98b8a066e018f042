"""The body of every factory-made asset: plan a recipe for each partition, produce, publish."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.dagster_internals import (
    Interrupted,
    VersionTags,
    preview_features,
    silent_output_metadata,
)
from geo_assets.engine.log import bind
from geo_assets.engine.scope import interruptible
from geo_assets.errors import GeoAssetsError
from geo_assets.metadata import artifact_metadata
from geo_assets.model import Artifact
from geo_assets.production import Current, Recipe, Staged, produce, work_folder
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.store.artifact import ArtifactStore

Plan: TypeAlias = Callable[[str | None, Path], Awaitable[Recipe]]
"""Makes the recipe of one partition; the folder is the partition's own, for files in flight."""

LINES_SHOWN = 20

PARTITIONS_IN_FLIGHT = 4
"""Partitions of one run that are planned, fetched and published at the same time.

Their chunks share one pool and one budget; a few partitions side by side keep the workers busy
while others wait for the network.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one partition of a run ended."""

    partition: str | None
    result: Staged | Current | None = None
    error: Exception | None = None
    costs: Mapping[str, int | float] = field(default_factory=dict)
    """Telemetry of the time it took, `geo_assets/...` to numbers."""


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
    keys: list[str | None] = (
        list(context.partition_keys) if context.assets_def.partitions_def is not None else [None]
    )
    run = _Run(context, plan, store.artifacts(), engine)
    if len(keys) == 1:
        async with interruptible(raise_as=Interrupted):
            outcome = await run.one(keys[0])
        yield await run.output(outcome)
    else:
        async for event in run.many(keys):
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

    async def one(self, partition: str | None) -> Outcome:
        """Make one partition; whatever goes wrong is its outcome and touches no other."""
        asset = self._context.asset_key.to_user_string()
        with (
            bind(run=self._context.run.run_id, asset=asset, partition=partition or ""),
            self._engine.telemetry.measure() as measure,
        ):
            try:
                await self._store.probe()
                async with work_folder(self._engine.scratch) as folder:
                    recipe = await self._plan(partition, folder)
                    result = await produce(
                        recipe,
                        folder=folder,
                        store=self._store,
                        engine=self._engine,
                        run_id=self._context.run.run_id,
                        progress=_Progress(self._context, partition),
                    )
            except Exception as error:  # noqa: BLE001 - reported by `_failure`, never swallowed
                return Outcome(partition=partition, error=error)
        return Outcome(partition=partition, result=result, costs=measure.snapshot())

    async def output(self, outcome: Outcome) -> dg.Output[Any]:
        """The output of a step with one partition."""
        if outcome.result is None:
            raise self._failure([outcome]) from outcome.error
        result = outcome.result
        version = result.artifact.version if isinstance(result, Current) else result.draft.version
        with preview_features():
            return dg.Output(
                result,
                metadata=_seen(result) | _how(result) | _costs(outcome),
                data_version=dg.DataVersion(version),
            )

    async def many(self, keys: list[str | None]) -> AsyncIterator[Any]:
        """The events of a step with several partitions, in the order they end in."""
        tags = VersionTags.of(self._context)  # asks the database, so before anything runs
        outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        work = asyncio.ensure_future(self._all(keys, outcomes))
        failed: list[Outcome] = []
        artifacts: dict[str | None, Artifact] = {}
        try:
            for _ in keys:
                async with interruptible(raise_as=Interrupted):
                    outcome = await _next(outcomes, work)
                    published = await self._published(outcome, tags)
                if isinstance(published, Outcome):
                    failed.append(published)
                    told = _tell(published.error)
                    self._context.log.error("partition %s: %s", published.partition, told)
                else:
                    artifacts[outcome.partition], event = published
                    yield event
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if failed:
            raise self._failure(failed)
        yield dg.Output(artifacts, metadata=silent_output_metadata())

    async def _all(self, keys: list[str | None], outcomes: asyncio.Queue[Outcome]) -> None:
        waiting = iter(keys)

        async def lane() -> None:
            for key in waiting:
                outcomes.put_nowait(await self.one(key))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(PARTITIONS_IN_FLIGHT, len(keys))):
                group.create_task(lane())

    async def _published(
        self, outcome: Outcome, tags: VersionTags
    ) -> tuple[Artifact, dg.AssetMaterialization] | Outcome:
        """The commit of one partition and its event, or how it failed; no other is touched."""
        try:
            return outcome if outcome.result is None else await self._publish(outcome, tags)
        except GeoAssetsError as error:
            return Outcome(partition=outcome.partition, error=error)

    async def _publish(
        self, outcome: Outcome, tags: VersionTags
    ) -> tuple[Artifact, dg.AssetMaterialization]:
        result = outcome.result
        assert result is not None
        artifact = result.artifact if isinstance(result, Current) else await result.commit()
        event = dg.AssetMaterialization(
            asset_key=self._context.asset_key,
            partition=outcome.partition,
            metadata=_seen(result)
            | _how(result)
            | await artifact_metadata(self._store, artifact)
            | _costs(outcome),
            tags=tags.of_partition(artifact.version, result.inputs),
        )
        return artifact, event

    def _failure(self, failed: list[Outcome]) -> dg.Failure:
        kinds = {getattr(outcome.error, "kind", "bug") for outcome in failed}
        lines = [f"{outcome.partition or 'asset'}: {_tell(outcome.error)}" for outcome in failed]
        return dg.Failure(
            "\n".join(lines[:LINES_SHOWN]),
            metadata={"geo_assets/failed": len(failed), "geo_assets/error": ", ".join(kinds)},
            allow_retries=kinds == {"transient"},
        )


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


def _seen(result: Staged | Current) -> dict[str, Any]:
    """The pictures, which stand first in the UI."""
    if isinstance(result, Current):
        shown = {"thumbnail": result.artifact.properties.get("thumbnail")}
    else:
        made = result.publication
        shown = {"thumbnail": made.properties.get("thumbnail"), **made.pictures}
    return {title: dg.MetadataValue.md(markdown) for title, markdown in shown.items() if markdown}


def _how(result: Staged | Current) -> dict[str, Any]:
    if isinstance(result, Current):
        return {"geo_assets/outcome": "current already, nothing done"}
    return {
        "geo_assets/outcome": "made",
        "geo_assets/chunks": result.chunks,
        "geo_assets/chunks_resumed": result.resumed,
    }


def _costs(outcome: Outcome) -> dict[str, Any]:
    """What it cost; what was current already cost nothing worth a plot."""
    return {} if isinstance(outcome.result, Current) else dict(outcome.costs)


def _tell(error: Exception | None) -> str:
    """Our errors speak for themselves; a bug needs its traceback."""
    if error is None or isinstance(error, GeoAssetsError):
        return str(error)
    return "".join(traceback.format_exception(error))


async def _next(outcomes: asyncio.Queue[Outcome], work: asyncio.Future[None]) -> Outcome:
    """The next outcome, or the error that stopped the work."""
    waiting: asyncio.Future[Outcome] = asyncio.ensure_future(outcomes.get())
    either: set[asyncio.Future[Any]] = {waiting, work}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and outcomes.empty():
            await work
        return await waiting
    finally:
        waiting.cancel()
