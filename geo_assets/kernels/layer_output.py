"""Writes the sorted layer: one GeoParquet file, or several parts when it is large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyproj import CRS

from geo_assets.kernels.geoparquet import LayerWriter, geo_schema, type_names
from geo_assets.kernels.layer_batch import DELIVERED
from geo_assets.kernels.parquet_footer import footer_facts
from geo_assets.kernels.spill import Group, Span, Spill
from geo_assets.model import PARQUET, OutputFile

PART_BYTES = 3 << 30
"""Bytes of Arrow data in one file: about 2 GB compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files of a layer, and what they hold together."""

    files: tuple[OutputFile, ...]
    rows: int
    geometry_types: tuple[str, ...]
    bounds: tuple[float, ...] | None
    """x min, y min, x max, y max; None where no feature has a place."""


def write_sorted(
    spill: Spill,
    drop: NDArray[np.int64],
    folder: Path,
    *,
    name: str,
    attributes: pa.Schema,
    crs: CRS,
    covering: str,
) -> Written:
    """Write all rows of `spill` but those at the positions `drop`, in Hilbert order.

    Args:
        spill: A closed spill.
        drop: Positions in the spill, ascending.
        folder: Where the files are written.
        name: Name of the layer: `name.parquet`, or `name-00000.parquet` and on.
        attributes: The columns before the geometry.
        crs: The CRS of the geometry.
        covering: Name of the bounding box column.
    """
    order = spill.order(drop)
    groups = spill.groups(order)
    parts = _parts(groups)
    cuts = [(part[0].start, part[-1].stop) for part in parts] or [(0, 0)]
    spans = spill.spans(order, cuts)
    names = [f"{name}.parquet"] if len(spans) == 1 else [
        f"{name}-{number:05d}.parquet" for number in range(len(spans))
    ]  # fmt: skip
    tables = spill.sorted_tables(order, groups)
    files = []
    for span, file_name in zip(spans, names, strict=True):
        schema = geo_schema(attributes, crs, geometry_types=type_names(span.kinds),
                            bounds=span.bounds, covering=covering)  # fmt: skip
        writer = LayerWriter(folder / file_name, schema)
        while writer.rows < span.stop - span.start:
            writer.write(next(tables).drop_columns([DELIVERED]))
        writer.close()
        facts = {**_facts(span, writer.rows), **footer_facts(writer.path)}
        files.append(OutputFile.of(writer.path, file_name, PARQUET, facts=facts))
    return Written(files=tuple(files), rows=len(order), **_total(spans))


def _parts(groups: list[Group]) -> list[list[Group]]:
    parts: list[list[Group]] = []
    filled = 0
    for group in groups:
        if not parts or filled + group.size > PART_BYTES:
            parts.append([])
            filled = 0
        parts[-1].append(group)
        filled += group.size
    return parts


def _facts(span: Span, rows: int) -> Mapping[str, Any]:
    known = bool(np.isfinite(span.bounds).all())
    return {"rows": rows, "geometry_types": list(type_names(span.kinds)),
            "bounds": list(span.bounds) if known else None}  # fmt: skip


def _total(spans: list[Span]) -> dict[str, Any]:
    boxes = np.array([span.bounds for span in spans])
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    bounds = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)) if len(boxes) else None
    return {
        "geometry_types": type_names({kind for span in spans for kind in span.kinds}),
        "bounds": None if bounds is None else tuple(map(float, bounds)),
    }
