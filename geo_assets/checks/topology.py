"""Checks of a topology report: one for each family of defects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.kernels.report_check import ReportCheckSpec, check_report
from geo_assets.model import Artifact, Chunk
from geo_assets.rules.topology import TopologyRules
from geo_assets.store.artifact import ArtifactStore

_FAMILIES: dict[str, tuple[tuple[str, ...], str]] = {
    "gaps": (("gap",), "No hole between features is narrower than the declared width."),
    "overlaps": (("overlap",), "No two features cover the same place."),
    "duplicates": (("duplicate",), "No feature is delivered twice."),
    "edges": (("unmatched_edge",), "Neighbours share their vertices exactly."),
    "ends": (("dangle", "unconnected_end"), "Every end of a line meets another line."),
    "shapes": ((), "Every feature is valid, of an allowed type and in its place."),
}
_COVERAGE = ("gaps", "overlaps", "duplicates", "edges", "shapes")
_NETWORK = ("duplicates", "ends", "shapes")
_ALONE = ("shapes",)


def report_checks(name: str, rules: TopologyRules) -> list[dg.AssetChecksDefinition]:
    """The checks of `out/<name>`: they read the committed report back."""
    families = _COVERAGE if rules.coverage else _NETWORK if rules.network else _ALONE
    kinds = {family: _FAMILIES[family][0] for family in families}

    async def look(artifact: Artifact, store: ArtifactStore, folder: Path) -> Sequence[Chunk]:
        report = artifact.with_role("data")[0]
        spec = ReportCheckSpec(
            report=await store.local_file(artifact, report.name, folder),
            checked=artifact.properties["checked"],
            checks=kinds,
        )
        return [Chunk(id="report", kernel=check_report, spec=spec, predicted_bytes=128 << 20)]

    checks = [
        CheckRule(name=family, fact=family, description=_FAMILIES[family][1]) for family in families
    ]
    return [make_checks(dg.AssetKey(["out", name]), checks, look, None)]
