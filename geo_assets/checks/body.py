"""The step of every check: rules run in workers on what is committed; defects are located."""

# Dagster reads the annotations of check functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

from collections.abc import Sequence
from typing import Any

import dagster as dg

from geo_assets.batches import Batches
from geo_assets.checks.at_once import PARTITIONS_IN_FLIGHT
from geo_assets.checks.depth import thorough
from geo_assets.checks.family import Family, Look
from geo_assets.checks.judged import Judged, Judgement, VerdictLog, take
from geo_assets.checks.verdict import CheckRule, Verdict
from geo_assets.dagster_internals import names_partitions, preview_features, sum_of_partitions
from geo_assets.engine.log import bind
from geo_assets.errors import GeoAssetsError
from geo_assets.interruption import interruptible_step
from geo_assets.partitions import THOROUGH_TAG, check_step
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.bounded import each
from geo_assets.store.catalog import current

__all__ = ["CheckRule", "Look", "make_checks"]


def make_checks(
    asset: dg.AssetKey,
    rules: Sequence[CheckRule],
    look: Look,
    partitions: dg.PartitionsDefinition[Any] | None,
    *,
    family: str = "",
    deps: Sequence[dg.AssetKey] = (),
    siblings: bool = False,
) -> dg.AssetChecksDefinition:
    """Asset checks that look at an artifact together, once.

    In a run of several partitions each verdict is recorded for its own partition, by the asset's
    own step if the same run makes them (see `checks.at_once`); the results that are yielded sum
    them up and are what blocks downstream steps. A range of one partition is such a run too:
    Dagster gives what is yielded a partition only where the run names one and no range.

    Args:
        asset: What is checked.
        rules: The checks.
        look: How an artifact is looked at.
        partitions: The asset's partitions, if any.
        family: Tells several such groups of one asset apart; part of the name of the step.
        deps: Other assets that are looked at too; a run that makes them does so first.
        siblings: Other partitions are looked at too; a run of several makes them all first.
    """
    every = Family(
        asset=asset, step=check_step(asset.path, family), rules=tuple(rules), look=look,
        looks_elsewhere=bool(deps) or siblings,
    )  # fmt: skip
    with preview_features():
        specs = [
            dg.AssetCheckSpec(
                name=rule.name,
                asset=asset,
                description=rule.description,
                blocking=rule.blocking,
                partitions_def=partitions,
                additional_deps=list(deps) or None,
            )
            for rule in rules
        ]

        async def checks(  # type: ignore[no-untyped-def]  # noqa: ANN202 - Dagster would check it
            context: dg.AssetCheckExecutionContext, geo_store: GeoStore, geo_engine: GeoEngine
        ):
            thorough.set(THOROUGH_TAG in context.run.tags)
            chosen = every.chosen({key.name for key in context.selected_asset_check_keys})
            named = partitions is None or names_partitions(context)
            alone = partitions is None or context.op_execution_context.has_partition_key
            step = _Step(context, chosen, geo_store.artifacts(), geo_engine)
            async with interruptible_step(context):
                keys = await _covered(context, geo_store.artifacts(), asset, partitions)
                judged = await step.judge(keys, together=not alone)
            for rule, tally in zip(chosen.rules, judged.tallies, strict=True):
                result = tally.result(asset)
                yield result if named else sum_of_partitions(result, blocking=rule.blocking)

        checks.family = every  # type: ignore[attr-defined]  # where `ChecksAtOnce` finds it
        return dg.multi_asset_check(specs=specs, name=every.step, can_subset=True)(checks)


async def _covered(
    context: dg.AssetCheckExecutionContext,
    store: ArtifactStore,
    asset: dg.AssetKey,
    partitions: dg.PartitionsDefinition[Any] | None,
) -> list[Any]:
    """The partitions that a run looks at; None where there is none."""
    if partitions is None:
        return [None]
    if names_partitions(context):
        return list(context.partition_keys)
    commits = await current(store.objects, asset.path)
    return [commit.artifact.partition for commit in commits] or [None]


class _Step:
    """One run of the checks of a family."""

    def __init__(
        self,
        context: dg.AssetCheckExecutionContext,
        family: Family,
        store: ArtifactStore,
        engine: GeoEngine,
    ) -> None:
        self._context = context
        self._family = family
        self._store = store
        self._engine = engine.engine
        self._judged = take(engine.engine, family)

    async def judge(self, keys: Sequence[Any], *, together: bool) -> Judged:
        """Look at what this run has not looked at yet; `together`: record each by itself."""
        if keys == [None] or not together:
            await self._one(keys[0])
            return self._judged
        batches = Batches(VerdictLog(self._context, self._family.asset).store)

        async def one(key: str) -> None:
            for judgement in await self._one(key):
                await batches.put(judgement)

        left = [key for key in keys if key not in self._judged.partitions]
        await batches.during(each(one, left, limit=PARTITIONS_IN_FLIGHT))
        return self._judged

    async def _one(self, partition: str | None) -> list[Judgement]:
        run, asset = self._context.run.run_id, self._family.asset.to_user_string()
        with bind(run=run, asset=asset, partition=partition or ""):
            verdicts = await self._verdicts(partition)
        self._judged.add(partition, verdicts)
        return list(zip(self._family.rules, verdicts, strict=True))

    async def _verdicts(self, partition: str | None) -> list[Verdict]:
        family = self._family
        try:
            artifact = await self._store.newest(tuple(family.asset.path), partition)
        except GeoAssetsError as error:
            return family.unable(partition, str(error))
        if artifact is None:
            return family.unable(partition, "nothing is materialized yet")
        return await family.verdicts(artifact, self._store, self._engine)
