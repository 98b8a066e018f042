"""The body of every check: rules run in workers on what is committed; defects are located."""

# Dagster reads the annotations of check functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.batches import Batches
from geo_assets.checks.depth import thorough
from geo_assets.checks.verdict import CheckRule, Tally, Verdict
from geo_assets.dagster_internals import (
    PartitionLog,
    checked_materializations,
    names_partitions,
    preview_features,
    sum_of_partitions,
)
from geo_assets.engine.engine import Engine, Lost
from geo_assets.engine.log import bind
from geo_assets.errors import GeoAssetsError
from geo_assets.interruption import interruptible_step
from geo_assets.model import Artifact, Chunk, Findings, KernelResult
from geo_assets.partitions import THOROUGH_TAG, check_step
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.bounded import each
from geo_assets.store.catalog import current

__all__ = ["CheckRule", "Look", "make_checks"]

Look: TypeAlias = Callable[
    [Artifact, ArtifactStore, Path], Awaitable[Sequence[Chunk] | Mapping[str, Findings]]
]
"""The chunks that look at one artifact; their facts hold findings by the name of a rule.

What needs no worker, because it asks the store alone, gives the findings themselves.
"""

PARTITIONS_IN_FLIGHT = 8
"""Partitions of one run that are looked at side by side; their chunks share one pool."""


def make_checks(
    asset: dg.AssetKey,
    rules: Sequence[CheckRule],
    look: Look,
    partitions: dg.PartitionsDefinition[Any] | None,
    *,
    family: str = "",
    deps: Sequence[dg.AssetKey] = (),
) -> dg.AssetChecksDefinition:
    """Asset checks that look at an artifact together, once.

    In a run of several partitions each verdict is recorded for its own partition; the results
    that are yielded sum them up and are what blocks downstream steps.

    Args:
        asset: What is checked.
        rules: The checks.
        look: How an artifact is looked at.
        partitions: The asset's partitions, if any.
        family: Tells several such groups of one asset apart; part of the name of the step.
        deps: Other assets that are looked at too; a run that makes them does so first.
    """
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

        @dg.multi_asset_check(specs=specs, name=check_step(asset.path, family), can_subset=True)
        async def checks(  # type: ignore[no-untyped-def]  # noqa: ANN202 - Dagster would check it
            context: dg.AssetCheckExecutionContext, geo_store: GeoStore, geo_engine: GeoEngine
        ):
            thorough.set(THOROUGH_TAG in context.run.tags)
            wanted = {key.name for key in context.selected_asset_check_keys}
            chosen = [rule for rule in rules if rule.name in wanted]
            store, engine = geo_store.artifacts(), geo_engine.engine
            named = partitions is None or names_partitions(context)

            tallies = [Tally(rule) for rule in chosen]

            async def judge(partition: str | None) -> list[Verdict]:
                place = asset.to_user_string()
                with bind(run=context.run.run_id, asset=place, partition=partition or ""):
                    verdicts = await _verdicts(store, engine, asset, partition, look, chosen)
                for tally, verdict in zip(tallies, verdicts, strict=True):
                    tally.add(verdict)
                return verdicts

            async with interruptible_step(context):
                keys = await _covered(context, store, asset, partitions)
                if keys == [None] or (len(keys) == 1 and named):
                    await judge(keys[0])
                else:
                    await _report_each(context, asset, chosen, keys, judge)
            for rule, tally in zip(chosen, tallies, strict=True):
                result = tally.result(asset)
                yield result if named else sum_of_partitions(result, blocking=rule.blocking)

    return checks


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


async def _verdicts(
    store: ArtifactStore,
    engine: Engine,
    asset: dg.AssetKey,
    partition: str | None,
    look: Look,
    rules: Sequence[CheckRule],
) -> list[Verdict]:
    """The verdicts of several rules on one partition."""
    started = time.monotonic()
    try:
        artifact = await store.newest(tuple(asset.path), partition)
        if artifact is None:
            return [Verdict.unable(partition, "nothing is materialized yet")] * len(rules)
        async with engine.folder() as folder:
            seen = await look(artifact, store, folder)
            if isinstance(seen, Mapping):
                facts = [{name: found.as_dict() for name, found in seen.items()}]
            else:
                facts = await _facts(engine, seen)
    except GeoAssetsError as error:
        return [Verdict.unable(partition, str(error))] * len(rules)
    seconds = round(time.monotonic() - started, 3)
    verdicts = []
    for rule in rules:
        parts = [Findings.from_dict(fact[rule.fact]) for fact in facts]
        findings = sum(parts, Findings(checked=0))
        extra = {"geo_assets/version": artifact.version, "geo_assets/seconds": seconds}
        verdicts.append(Verdict.of(partition, findings, extra))
    return verdicts


async def _facts(engine: Engine, chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """The facts of every chunk, in the chunks' order."""

    async def stage(_chunk: Chunk, result: KernelResult) -> dict[str, Any]:
        return dict(result.facts)

    facts: dict[str, dict[str, Any]] = {}
    async with aclosing(engine.stream(chunks, stage=stage)) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, Lost):
                raise outcome.error
            facts[outcome.chunk.id] = outcome.value
    return [facts[chunk.id] for chunk in chunks]


async def _report_each(
    context: dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    rules: Sequence[CheckRule],
    keys: Sequence[str],
    judge: Callable[[str], Awaitable[Sequence[Verdict]]],
) -> None:
    """Record every verdict for its own partition, soon after it was found."""
    log = PartitionLog(context)

    def store(found: Sequence[tuple[CheckRule, Verdict]]) -> None:
        partitions = sorted({str(verdict.partition) for _, verdict in found})
        targets = checked_materializations(context, asset, partitions)
        entries = [
            log.checked(
                dg.AssetCheckEvaluation(
                    asset_key=asset,
                    check_name=rule.name,
                    passed=verdict.passed,
                    severity=rule.severity,
                    description=verdict.description,
                    metadata=verdict.metadata,
                    partition=verdict.partition,
                    target_materialization_data=targets.get(str(verdict.partition)),
                )
            )
            for rule, verdict in found
        ]
        log.store(entries)
        for entry in entries:
            log.echo(entry)

    batches = Batches(store)

    async def one(key: str) -> None:
        for rule, verdict in zip(rules, await judge(key), strict=True):
            await batches.put((rule, verdict))

    await batches.during(each(one, keys, limit=PARTITIONS_IN_FLIGHT))
