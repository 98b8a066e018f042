"""What the footer of a (Geo)Parquet file says, and a picture of it where it has geometry."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pyproj import CRS, Transformer

from geo_assets.kernels.layer_picture import LayerPicture, draw_layer
from geo_assets.model import KernelResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table to be described."""

    paths: tuple[Path, ...]
    """Its files, which have the same columns; with geometry in the same CRS."""


def table_facts(spec: TableSpec, workdir: Path) -> KernelResult:
    """Describe a table.

    Returns:
        `preview.svg` where there is geometry; facts `rows`, `columns` (name to type text),
        `bbox` in EPSG:4326 degrees or None, `thumbnail` (SVG text) and `alt`.
    """
    footers = [pq.read_metadata(path) for path in spec.paths]
    schema, rows = footers[0].schema.to_arrow_schema(), sum(f.num_rows for f in footers)
    # Of the files: their Arrow schema was fixed before the extent was known.
    geos = [json.loads((footer.metadata or {}).get(b"geo", b"null")) for footer in footers]
    facts = {
        "rows": rows,
        "columns": {field.name: str(field.type) for field in schema if field.name != "bbox"},
        "bbox": None,
        "thumbnail": "",
        "alt": "",
    }
    if geos[0] is None or not rows:
        return KernelResult(facts=facts)
    drawn = draw_layer(LayerPicture(paths=spec.paths), workdir)
    columns = [geo["columns"][geo["primary_column"]] for geo in geos]
    facts |= {"bbox": _lonlat(columns), **drawn.facts}
    return KernelResult(files=drawn.files, facts=facts)


def _lonlat(columns: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """The box of all files in degrees; None where it is not known."""
    boxes = [column["bbox"] for column in columns if column.get("bbox")]
    crs = columns[0].get("crs", "OGC:CRS84")
    if not boxes or crs is None:
        return None
    ends = np.array([(*box[:2], *box[len(box) // 2 :][:2]) for box in boxes])
    west, south = ends[:, :2].min(axis=0)
    east, north = ends[:, 2:].max(axis=0)
    to_degrees = Transformer.from_crs(CRS.from_user_input(crs), "OGC:CRS84", always_xy=True)
    bounds = to_degrees.transform_bounds(west, south, east, north, densify_pts=21)
    return list(bounds) if all(map(math.isfinite, bounds)) else None
