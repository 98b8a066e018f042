"""What repairs changed, in red on a small map of the layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import Transformer

from geo_assets.kernels.svg_map import RED, Frame, outline_path, red_dots, svg_document
from geo_assets.kernels.vector_preview import boxes_of, frame_of, layer_svg
from geo_assets.model import Findings, OutputFile
from geo_assets.rules.batches import read_batches
from geo_assets.rules.geo_metadata import read_geo_column
from geo_assets.rules.wkb import read_wkb

PICTURE = "changes.svg"
_SHOWN = 80
"""Changes that are drawn, the largest."""
_PATH_BYTES = 5000
_COLUMNS = ["changed_m2", "lon", "lat", "geometry"]
_WORDS = {
    "make_valid": "made valid",
    "snap": "moved to the precision grid",
    "coverage": "with a gap or an overlap closed",
}


def draw_changes(
    paths: Sequence[Path],
    changes: Path,
    account: Mapping[str, Any],
    left: Findings,
    folder: Path,
) -> OutputFile:
    """Draw `changes.svg`, at most 22 KiB: dots and areas are what changed, rings what was left.

    Args:
        paths: GeoParquet files of the layer.
        changes: Its `changes.parquet`.
        account: The facts of that file.
        left: Features that were left as they are although they take part in a defect.
        folder: Where it is written.
    """
    boxes = boxes_of(paths)
    alt = _alt(len(boxes), account, left)
    frame = frame_of(boxes)
    path = folder / PICTURE
    svg = svg_document(480, 40, alt, "")
    if frame is not None:
        largest = _largest(changes)
        back = Transformer.from_crs("OGC:CRS84", read_geo_column(paths[0]).crs, always_xy=True)
        marks = _areas(largest, frame)
        marks += red_dots(_pixels(largest.column("lon"), largest.column("lat"), back, frame), 3)
        marks += _rings(left, back, frame)
        svg = layer_svg(paths, boxes, frame, alt, marks)
    path.write_text(svg, encoding="utf-8")
    facts = {"alt": alt, "title": "changes"}
    return OutputFile.of(path, PICTURE, "image/svg+xml", roles=("overview",), facts=facts)


def _largest(changes: Path) -> pa.Table:
    with pq.ParquetFile(changes) as file:
        best = file.schema_arrow.empty_table().select(_COLUMNS)
        for batch in read_batches(file, 16_384, _COLUMNS):
            more = pa.concat_tables([best, pa.Table.from_batches([batch]).cast(best.schema)])
            best = more.sort_by([("changed_m2", "descending")]).slice(0, _SHOWN)
    return best


def _pixels(lon: pa.ChunkedArray, lat: pa.ChunkedArray, back: Transformer, frame: Frame) -> Any:
    xy = np.column_stack(back.transform(lon.to_numpy(), lat.to_numpy()))
    return frame.pixels(xy[np.isfinite(xy).all(axis=1)])


def _areas(changes: pa.Table, frame: Frame) -> str:
    geoms = read_wkb(changes.column("geometry").combine_chunks())
    geoms = shapely.simplify(geoms[~shapely.is_missing(geoms)], 0.5 / frame.scale)
    paths: list[str] = []
    for geom in geoms:
        data = outline_path(geom, frame)
        if sum(map(len, paths)) + len(data) <= _PATH_BYTES:
            paths.append(data)
    look = f'fill="{RED}" fill-opacity=".6" fill-rule="evenodd" stroke="{RED}"'
    return f'<path d="{"".join(paths)}" {look}/>' if any(paths) else ""


def _rings(left: Findings, back: Transformer, frame: Frame) -> str:
    places = [(d.lon, d.lat) for d in left.samples if d.lon is not None and d.lat is not None]
    if not places:
        return ""
    lon, lat = (pa.chunked_array([axis], pa.float64()) for axis in zip(*places, strict=True))
    return "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="5" fill="none" stroke="{RED}"/>'
        for x, y in _pixels(lon, lat, back, frame)
    )


def _alt(features: int, account: Mapping[str, Any], left: Findings) -> str:
    by = ", ".join(f"{number:,} {_WORDS[how]}" for how, number in account["by"].items())
    text = (f"Map of {features:,} features, {account['repaired']:,} changes: {by}; "
            f"{account['changed_m2']:,.6g} m² in all, {account['largest_change_m2']:,.6g} m² "
            "the largest")  # fmt: skip
    if account["repaired"] > _SHOWN:
        text += f"; the {_SHOWN} largest are drawn"
    return f"{text}; {left.total:,} left as they are (rings)" if left.total else text
