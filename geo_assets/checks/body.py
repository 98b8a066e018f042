"""The body of every check: rules run in workers on what is committed; defects are located."""

# Dagster reads the annotations of check functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.dagster_internals import (
    Interrupted,
    checked_materializations,
    log_partition_check,
    preview_features,
)
from geo_assets.engine.engine import Engine, Lost
from geo_assets.engine.scope import interruptible
from geo_assets.errors import GeoAssetsError
from geo_assets.model import Artifact, Chunk, Defect, Findings, KernelResult
from geo_assets.production import work_folder
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.bounded import each

Look: TypeAlias = Callable[
    [Artifact, ArtifactStore, Path], Awaitable[Sequence[Chunk] | Mapping[str, Findings]]
]
"""The chunks that look at one artifact; their facts hold findings by the name of a rule.

What needs no worker, because it asks the store alone, gives the findings themselves.
"""

TABLE_ROWS = 10

PARTITIONS_IN_FLIGHT = 4
"""Partitions of one run that are looked at side by side; their chunks share one pool."""

UNABLE = "geo_assets/unable"
"""Metadata of a check that could not be made, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRule:
    """One check: what it is called, where its findings are, and what a defect means."""

    name: str
    fact: str
    """The fact of each chunk that holds its findings."""
    description: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    blocking: bool = False
    """Downstream steps of the same run do not start if it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check says of one partition."""

    partition: str | None
    passed: bool
    description: str
    metadata: dict[str, Any]


def make_checks(
    asset: dg.AssetKey,
    rules: Sequence[CheckRule],
    look: Look,
    partitions: dg.PartitionsDefinition[Any] | None,
    *,
    family: str = "check",
) -> dg.AssetChecksDefinition:
    """Asset checks that look at an artifact together, once.

    In a run of several partitions each verdict is recorded for its own partition; the results
    that are yielded sum them up and are what blocks downstream steps.

    Args:
        asset: What is checked.
        rules: The checks.
        look: How an artifact is looked at.
        partitions: The asset's partitions, if any.
        family: Tells several such groups of one asset apart.
    """
    with preview_features():
        specs = [
            dg.AssetCheckSpec(
                name=rule.name,
                asset=asset,
                description=rule.description,
                blocking=rule.blocking,
                partitions_def=partitions,
            )
            for rule in rules
        ]

        @dg.multi_asset_check(
            specs=specs, name=f"{family}_{'__'.join(asset.path)}", can_subset=True
        )
        async def checks(  # type: ignore[no-untyped-def]  # noqa: ANN202 - Dagster would check it
            context: dg.AssetCheckExecutionContext, geo_store: GeoStore, geo_engine: GeoEngine
        ):
            wanted = {key.name for key in context.selected_asset_check_keys}
            chosen = [rule for rule in rules if rule.name in wanted]
            keys = list(context.partition_keys) if partitions is not None else [None]
            store, engine = geo_store.artifacts(), geo_engine.engine

            async def judge(partition: str | None) -> list[Verdict]:
                return await _verdicts(store, engine, asset, partition, look, chosen)

            async with interruptible(raise_as=Interrupted):
                verdicts = await each(judge, keys, limit=PARTITIONS_IN_FLIGHT)
            for place, rule in enumerate(chosen):
                yield _result(context, asset, rule, [of_rule[place] for of_rule in verdicts])

    return checks


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
            return [_unable(partition, "nothing is materialized yet")] * len(rules)
        async with work_folder(engine.scratch) as folder:
            seen = await look(artifact, store, folder)
            if isinstance(seen, Mapping):
                facts = [{name: found.as_dict() for name, found in seen.items()}]
            else:
                facts = await _facts(engine, seen)
    except GeoAssetsError as error:
        return [_unable(partition, str(error))] * len(rules)
    seconds = round(time.monotonic() - started, 3)
    verdicts = []
    for rule in rules:
        parts = [Findings.from_dict(fact[rule.fact]) for fact in facts]
        findings = sum(parts, Findings(checked=0))
        extra = {"geo_assets/version": artifact.version, "geo_assets/seconds": seconds}
        verdicts.append(
            Verdict(
                partition=partition,
                passed=findings.total == 0,
                description=summary(findings),
                metadata=findings_metadata(findings) | extra,
            )
        )
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


def _result(
    context: dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    rule: CheckRule,
    verdicts: Sequence[Verdict],
) -> dg.AssetCheckResult:
    if len(verdicts) > 1:
        keys = [str(verdict.partition) for verdict in verdicts]
        targets = checked_materializations(context, asset, keys)
        for verdict in verdicts:
            log_partition_check(
                context,
                asset=asset,
                name=rule.name,
                partition=str(verdict.partition),
                passed=verdict.passed,
                severity=rule.severity,
                description=verdict.description,
                metadata=verdict.metadata,
                targets=targets,
            )
    return _sum_up(verdicts, rule, asset)


def _unable(partition: str | None, reason: str) -> Verdict:
    return Verdict(
        partition=partition,
        passed=False,
        description=f"Could not check: {reason}",
        metadata={UNABLE: reason},
    )


def summary(findings: Findings) -> str:
    """`3 defects in 604 checked: 2 gap, 1 overlap`, most frequent first."""
    if findings.total == 0:
        return f"No defects in {findings.checked:,} checked"
    kinds = sorted(findings.counts.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds)
    noun = "defect" if findings.total == 1 else "defects"
    return f"{findings.total:,} {noun} in {findings.checked:,} checked: {listed}"


def findings_metadata(findings: Findings) -> dict[str, Any]:
    """Counts that Dagster plots, a table of the first defects and all samples as JSON."""
    metadata: dict[str, Any] = {
        "geo_assets/checked": findings.checked,
        "geo_assets/defects": findings.total,
    }
    metadata |= {f"geo_assets/{kind}": number for kind, number in findings.counts.items()}
    if findings.samples:
        metadata["defects"] = _table(findings.samples)
        metadata["samples"] = dg.MetadataValue.json([item.as_dict() for item in findings.samples])
    return metadata


def _table(samples: Sequence[Defect]) -> dg.MetadataValue:
    records = [
        dg.TableRecord(
            {
                "kind": item.kind,
                "feature": item.feature or (str(item.window) if item.window else ""),
                "lon": "" if item.lon is None else f"{item.lon:.6f}",
                "lat": "" if item.lat is None else f"{item.lat:.6f}",
                "detail": item.detail,
            }
        )
        for item in samples[:TABLE_ROWS]
    ]
    return dg.MetadataValue.table(records)


def _sum_up(
    verdicts: Sequence[Verdict], rule: CheckRule, asset: dg.AssetKey
) -> dg.AssetCheckResult:
    if len(verdicts) == 1:
        description, metadata = verdicts[0].description, verdicts[0].metadata
    else:
        failed = [verdict for verdict in verdicts if not verdict.passed]
        lines = [f"{verdict.partition}: {verdict.description}" for verdict in failed[:TABLE_ROWS]]
        description = "; ".join(lines) or f"No defects in {len(verdicts)} partitions"
        metadata = {"geo_assets/partitions": len(verdicts), "geo_assets/failed": len(failed)}
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=rule.name,
        passed=all(verdict.passed for verdict in verdicts),
        severity=rule.severity,
        description=description,
        metadata=metadata,
    )
