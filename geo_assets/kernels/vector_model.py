"""What a delivered vector layer is, whatever its format: facts, schema, Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyproj import CRS

from geo_assets.rules.crs import crs_facts

BATCH_BYTES = 8 << 20
"""Size that a batch aims at, estimated from the file's size and its number of features."""
BATCH_ROWS = 65_536
"""Rows that a batch has at most."""


def batch_rows(size: int, features: int) -> int:
    """Rows for a batch of about `BATCH_BYTES`, from a file's bytes and number of features."""
    mean = size / features if features > 0 else 1024
    return int(min(BATCH_ROWS, max(16, BATCH_BYTES / max(mean, 1))))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInfo:
    """What a layer says about itself before its features are read."""

    driver: str
    """OGR driver, or `Parquet`."""
    layer: str
    """Name of the layer."""
    layers: tuple[str, ...]
    """All layers with geometry in the same file."""
    crs: CRS | None
    """The CRS that the file states; None where it states none."""
    crs_missing: str = ""
    """Where a CRS was looked for, if none was found: `counties.prj`."""
    features: int
    """Number of features that the file states; -1 where it states none."""
    geometry_types: tuple[str, ...]
    """Types that the file states; empty for unknown."""
    bounds: tuple[float, float, float, float] | None
    """x min, y min, x max, y max as stated, in the file's CRS and traditional GIS order."""
    encoding: str = "UTF-8"
    """Encoding that text was read in."""
    notes: tuple[str, ...] = ()
    """Warnings of the reader, and what it had to do (curves made linear)."""

    def facts(self) -> dict[str, Any]:
        """The same as small JSON."""
        return {
            "driver": self.driver,
            "layer": self.layer,
            "layers": list(self.layers),
            "crs": crs_facts(self.crs),
            "features": self.features,
            "geometry_types": list(self.geometry_types),
            "bounds": list(self.bounds) if self.bounds else None,
            "encoding": self.encoding,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBatch:
    """Consecutive features in delivery order."""

    row: int
    """Number of the first feature; the first of the layer is 0."""
    attributes: pa.RecordBatch
    """The columns without geometry."""
    wkb: pa.Array
    """The geometries as WKB (binary, null for null), in the file's CRS, traditional GIS order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSource:
    """A layer that can be read, more than once and always in the same order."""

    path: Path
    """The file that is read; unpacked where an archive was delivered."""
    info: LayerInfo
    schema: pa.Schema
    """The columns without geometry."""
    read: Callable[[], Iterator[SourceBatch]] = field(repr=False)
    """Reads the layer once, in batches.

    Raises `InputError` while it runs where the file is damaged: also where its driver would end
    silently, which the stated number of features gives away."""
