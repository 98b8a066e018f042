"""What the footer of a (Geo)Parquet file says, and a picture of it where it has geometry."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pyproj import CRS, Transformer

from geo_assets.kernels.layer_picture import LayerPicture, draw_layer
from geo_assets.model import KernelResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table to be described."""

    path: Path


def table_facts(spec: TableSpec, workdir: Path) -> KernelResult:
    """Describe a table.

    Returns:
        `preview.svg` where there is geometry; facts `rows`, `columns` (name to type text),
        `bbox` in EPSG:4326 degrees or None, `thumbnail` (SVG text) and `alt`.
    """
    with pq.ParquetFile(spec.path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        # Of the file: its Arrow schema was fixed before the extent was known.
        geo = json.loads((file.metadata.metadata or {}).get(b"geo", b"null"))
    facts = {
        "rows": rows,
        "columns": {field.name: str(field.type) for field in schema if field.name != "bbox"},
        "bbox": None,
        "thumbnail": "",
        "alt": "",
    }
    if geo is None or not rows:
        return KernelResult(facts=facts)
    drawn = draw_layer(LayerPicture(paths=(spec.path,)), workdir)
    column = geo["columns"][geo["primary_column"]]
    facts |= {"bbox": _lonlat(column), **drawn.facts}
    return KernelResult(files=drawn.files, facts=facts)


def _lonlat(column: dict[str, object]) -> list[float] | None:
    box, crs = column.get("bbox"), column.get("crs", "OGC:CRS84")
    if not isinstance(box, list) or crs is None:
        return None
    half = len(box) // 2
    flat = (box[0], box[1], box[half], box[half + 1])
    to_degrees = Transformer.from_crs(CRS.from_user_input(crs), "OGC:CRS84", always_xy=True)
    bounds = to_degrees.transform_bounds(*flat, densify_pts=21)
    return list(bounds) if all(map(math.isfinite, bounds)) else None
