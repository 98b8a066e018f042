"""The body of every check: run rules on what is committed, in workers, and report located defects."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.dagster_internals import log_partition_check
from geo_assets.engine.engine import Engine, Lost
from geo_assets.errors import GeoAssetsError
from geo_assets.model import Artifact, Chunk, Defect, Findings, KernelResult
from geo_assets.production import work_folder
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.store.artifact import ArtifactStore

Rules: TypeAlias = Callable[[Artifact, ArtifactStore, Path], Awaitable[Sequence[Chunk]]]
"""The chunks that look at one artifact; each returns its findings under the fact `findings`."""

TABLE_ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check says of one partition."""

    partition: str | None
    passed: bool
    description: str
    metadata: dict[str, Any]


async def check(
    context: dg.AssetCheckExecutionContext,
    *,
    asset: dg.AssetKey,
    name: str,
    rules: Rules,
    severity: dg.AssetCheckSeverity,
    store: GeoStore,
    engine: GeoEngine,
    partitioned: bool,
) -> AsyncIterator[Any]:
    """Evaluate one check for the partitions of the run and yield its result.

    In a run of several partitions each verdict is recorded for its own partition; the result
    that is yielded sums them up and is what blocks downstream steps.
    """
    artifacts = store.artifacts()
    keys: list[str | None] = list(context.partition_keys) if partitioned else [None]
    verdicts = [await _verdict(artifacts, engine.engine, asset, key, rules) for key in keys]
    if len(verdicts) > 1:
        for verdict in verdicts:
            log_partition_check(
                context,
                asset=asset,
                name=name,
                partition=str(verdict.partition),
                passed=verdict.passed,
                severity=severity,
                description=verdict.description,
                metadata=verdict.metadata,
            )
    yield _sum_up(verdicts, severity)


async def _verdict(
    store: ArtifactStore, engine: Engine, asset: dg.AssetKey, partition: str | None, rules: Rules
) -> Verdict:
    started = time.monotonic()
    artifact = await store.newest(tuple(asset.path), partition)
    if artifact is None:
        return _unable(partition, "nothing is materialized yet")
    try:
        async with work_folder(engine.scratch) as folder:
            findings = await _findings(engine, await rules(artifact, store, folder))
    except GeoAssetsError as error:
        return _unable(partition, str(error))
    return Verdict(
        partition=partition,
        passed=findings.total == 0,
        description=summary(findings),
        metadata=findings_metadata(findings)
        | {"geo_assets/version": artifact.version}
        | {"geo_assets/seconds": round(time.monotonic() - started, 3)},
    )


async def _findings(engine: Engine, chunks: Sequence[Chunk]) -> Findings:
    async def stage(_chunk: Chunk, result: KernelResult) -> Findings:
        return Findings.from_dict(result.facts["findings"])

    found: dict[str, Findings] = {}
    async with aclosing(engine.stream(chunks, stage=stage)) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, Lost):
                raise outcome.error
            found[outcome.chunk.id] = outcome.value
    return sum((found[chunk.id] for chunk in chunks), Findings(checked=0))


def _unable(partition: str | None, reason: str) -> Verdict:
    return Verdict(
        partition=partition,
        passed=False,
        description=f"Could not check: {reason}",
        metadata={"geo_assets/unable": reason},
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


def _sum_up(verdicts: Sequence[Verdict], severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    if len(verdicts) == 1:
        only = verdicts[0]
        return dg.AssetCheckResult(
            passed=only.passed,
            severity=severity,
            description=only.description,
            metadata=only.metadata,
        )
    failed = [verdict for verdict in verdicts if not verdict.passed]
    lines = [f"{verdict.partition}: {verdict.description}" for verdict in failed[:TABLE_ROWS]]
    return dg.AssetCheckResult(
        passed=not failed,
        severity=severity,
        description="; ".join(lines) or f"No defects in {len(verdicts)} partitions",
        metadata={"geo_assets/partitions": len(verdicts), "geo_assets/failed": len(failed)},
    )
