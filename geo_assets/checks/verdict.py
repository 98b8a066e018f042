"""What a check is called, what it says of one partition, and of all partitions of a run."""

# Dagster reads the annotations of check functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from geo_assets.checks.picture import defects_picture
from geo_assets.model import Defect, Findings

TABLE_ROWS = 10
"""Defects that a table shows, and failed partitions that a summary names."""

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

    @classmethod
    def of(cls, partition: str | None, findings: Findings, extra: dict[str, Any]) -> "Verdict":
        """That of what a rule has found."""
        return cls(
            partition=partition,
            passed=findings.total == 0,
            description=summary(findings),
            metadata=findings_metadata(findings) | extra,
        )

    @classmethod
    def unable(cls, partition: str | None, reason: str) -> "Verdict":
        """That of a check which could not be made."""
        return cls(
            partition=partition,
            passed=False,
            description=f"Could not check: {reason}",
            metadata={UNABLE: reason},
        )


class Tally:
    """What one check says of all partitions of a run together, without keeping their verdicts."""

    def __init__(self, rule: CheckRule) -> None:
        self._rule = rule
        self._partitions = 0
        self._failed = 0
        self._lines: list[str] = []
        self._last: Verdict | None = None

    def add(self, verdict: Verdict) -> None:
        """Count the verdict on one partition."""
        self._last = verdict
        self._partitions += 1
        if not verdict.passed:
            self._failed += 1
            if len(self._lines) < TABLE_ROWS:
                self._lines.append(f"{verdict.partition}: {verdict.description}")

    def result(self, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """What the check yields; it blocks downstream steps of the run."""
        if self._partitions == 1 and self._last is not None:
            description, metadata = self._last.description, self._last.metadata
        else:
            clean = f"No defects in {self._partitions} partitions"
            description = "; ".join(sorted(self._lines)) or clean
            metadata = {
                "geo_assets/partitions": self._partitions,
                "geo_assets/failed": self._failed,
            }
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self._rule.name,
            passed=not self._failed,
            severity=self._rule.severity,
            description=description,
            metadata=metadata,
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
        if picture := defects_picture(findings):
            metadata["map"] = dg.MetadataValue.md(picture)
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
