"""The check of footers: does what was published as GeoParquet follow the specification?"""

from __future__ import annotations

import asyncio
from pathlib import Path

from geo_assets.checks.stored import StoredCheck
from geo_assets.checks.verdict import CheckRule
from geo_assets.model import PARQUET, Artifact, Defect, Findings
from geo_assets.store.artifact import ArtifactStore

_TAIL = 64 << 10
"""Bytes that hold most footers."""
_MAGIC = b"PAR1"
_LONGEST = 64 << 20
"""Bytes of a footer that is believed to be one."""


async def conforming(artifact: Artifact, store: ArtifactStore, folder: Path) -> Findings:
    """Hold every Parquet file with geometry against GeoParquet; only footers are read.

    Kinds: those of `geo_assets.rules.schema.conformance`. A file that is not there is left to
    the check `objects`.
    """
    findings = Findings(checked=0)
    for number, stored in enumerate(artifact.objects):
        if stored.media_type != PARQUET:
            continue
        footer = await _footer(store, f"{artifact.data_prefix}/{stored.name}", stored.size)
        if footer is None:
            continue
        path = folder / f"footer-{number}" / Path(stored.name).name
        found = await asyncio.to_thread(_conformance, path, footer)
        findings += Findings.of(found, checked=1)
    return findings


async def _footer(store: ArtifactStore, path: str, size: int) -> bytes | None:
    """The end of a Parquet file from its footer on, which is all that says what it holds."""
    try:
        tail = await store.objects.get_range(path, max(0, size - _TAIL), _TAIL)
        length = int.from_bytes(tail[-8:-4], "little") + 8
        if len(tail) < length <= min(size, _LONGEST) and tail[-4:] == _MAGIC:
            tail = await store.objects.get_range(path, size - length, length)
    except FileNotFoundError:
        return None
    return tail


def _conformance(path: Path, footer: bytes) -> list[Defect]:
    from geo_assets.rules.schema import conformance

    path.parent.mkdir()
    path.write_bytes(footer)
    return list(conformance(path))


GEOPARQUET = StoredCheck(
    rule=CheckRule(
        name="geoparquet",
        fact="geoparquet",
        description="Every layer is valid GeoParquet 1.1 by its footer.",
    ),
    judge=conforming,
)
