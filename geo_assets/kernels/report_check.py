"""Reads a committed report of defects back, for the checks that show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geo_assets.model import MAX_SAMPLES, Defect, Findings, KernelResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCheckSpec:
    """A report, and which defects belong to which check."""

    report: Path
    """`defects.parquet` as `merge_report` wrote it."""
    checked: int
    """Features that the report is about."""
    checks: Mapping[str, tuple[str, ...]]
    """Kinds of defect by the name of a check; a check with no kinds takes all that are left."""


def check_report(spec: ReportCheckSpec, workdir: Path) -> KernelResult:  # noqa: ARG001
    """Sort the defects of a report by check.

    Returns:
        No files; for each check a fact with its findings.
    """
    columns = ["kind", "ids", "lon", "lat", "size_m", "detail"]
    table = pq.read_table(spec.report, columns=columns)
    named = {kind for kinds in spec.checks.values() for kind in kinds}
    facts = {}
    for check, kinds in spec.checks.items():
        chosen = pc.is_in(table["kind"], value_set=_strings(kinds or named))
        part = table.filter(chosen if kinds else pc.invert(chosen))
        facts[check] = _findings(part, spec.checked).as_dict()
    return KernelResult(facts=facts)


def _strings(values: Iterable[str]) -> pa.Array:
    return pa.array(sorted(values), pa.string())


def _findings(defects: pa.Table, checked: int) -> Findings:
    """Counts of all, and a few of each kind, so that no kind hides behind a frequent one."""
    counts = {row["values"]: row["counts"] for row in pc.value_counts(defects["kind"]).to_pylist()}
    share = max(1, MAX_SAMPLES // max(1, len(counts)))
    samples: list[Defect] = []
    for kind in counts:
        rows = defects.filter(pc.equal(defects["kind"], kind)).slice(0, share).to_pylist()
        samples += [
            Defect(
                kind=kind,
                feature=row["ids"],
                lon=row["lon"],
                lat=row["lat"],
                size_m=row["size_m"],
                detail=row["detail"] or "",
            )
            for row in rows
        ]
    return Findings(checked=checked, counts=counts, samples=tuple(samples[:MAX_SAMPLES]))
