"""A small map of a layer as SVG: outlines or density, with its defects as red dots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from geo_assets.kernels.svg_map import (
    INK,
    Frame,
    density_paths,
    outline_path,
    red_dots,
    svg_document,
)
from geo_assets.model import Findings
from geo_assets.rules.batches import read_batches
from geo_assets.rules.geo_metadata import read_geo_column
from geo_assets.rules.wkb import read_wkb

MAX_SVG_BYTES = 22 << 10
MAX_THUMBNAIL_BYTES = 700
_OUTLINE_ROWS = 50_000
"""Layers with more features are drawn by density, which reads only bounding boxes."""
_ROWS = 8192
_OUTLINES = 1000
_TOLERANCES = (0.8, 1.6, 3.2)
"""Pixels by which outlines are simplified: the least at which all of them have room."""
_LOOK_BYTES = 150
"""Bytes of an outline element around its path data."""
_SPECK = 2.0
"""Pixels below which a feature has no outline worth drawing."""
_WIDTH = 480
_MAX_HEIGHT = 480


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPreview:
    """A picture of a layer in two sizes, and in words."""

    svg: str
    """At most 22 KiB of UTF-8."""
    thumbnail: str
    """At most 700 bytes of UTF-8, 72 pixels wide."""
    alt: str
    """The picture in words, with its numbers."""


def layer_preview(paths: Sequence[Path], findings: Findings | None = None) -> LayerPreview:
    """Draw the parts of a layer.

    Args:
        paths: GeoParquet files of one CRS.
        findings: Their samples with a place become red dots.
    """
    boxes = boxes_of(paths)
    places = _defect_places(paths, findings)
    frame = frame_of(boxes)
    alt = _alt(len(boxes), findings)
    if frame is None:
        return LayerPreview(
            svg=svg_document(_WIDTH, 40, alt, ""), thumbnail=svg_document(72, 16, "", ""), alt=alt
        )
    svg = layer_svg(paths, boxes, frame, alt, red_dots(frame.pixels(places), 3.5))
    small = Frame(bounds=frame.bounds, width=72, height=max(16.0, 72 * frame.height / _WIDTH))
    return LayerPreview(svg=svg, thumbnail=_thumbnail(boxes, places, small), alt=alt)


def frame_of(boxes: NDArray[np.float64]) -> Frame | None:
    """The frame of a picture of features with these bounds; None where none has a place."""
    known = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(known):
        return None
    left, bottom = known[:, :2].min(axis=0)
    right, top = known[:, 2:].max(axis=0)
    height = np.clip(_WIDTH * (top - bottom) / max(right - left, 1e-9), 60, _MAX_HEIGHT)
    bounds = (float(left), float(bottom), float(right), float(top))
    return Frame(bounds=bounds, width=_WIDTH, height=float(height))


def layer_svg(
    paths: Sequence[Path], boxes: NDArray[np.float64], frame: Frame, alt: str, marks: str
) -> str:
    """A layer with `marks` (SVG elements) over it, as SVG of at most 22 KiB."""
    room = MAX_SVG_BYTES - len(svg_document(frame.width, frame.height, alt, marks).encode())
    body = _drawing(paths, boxes, frame, room) + marks
    return svg_document(frame.width, frame.height, alt, body)


def boxes_of(paths: Sequence[Path]) -> NDArray[np.float64]:
    """Bounds of every feature, shape (n, 4); NaN where there is no place."""
    found = [np.zeros((0, 4))]
    for path in paths:
        column = read_geo_column(path)
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                if column.covering is None:
                    geoms = read_wkb(file.read_row_group(group, columns=[column.name]).column(0))
                    found.append(shapely.bounds(geoms))
                    continue
                box = file.read_row_group(group, columns=[column.covering]).column(0)
                parts = box.combine_chunks().flatten()
                found.append(
                    np.column_stack([part.to_numpy(zero_copy_only=False) for part in parts])
                )
    return np.concatenate(found).astype(float)


def _defect_places(paths: Sequence[Path], findings: Findings | None) -> NDArray[np.float64]:
    """Places of the sampled defects in the layer's CRS, shape (n, 2)."""
    lonlat = [(defect.lon, defect.lat) for defect in (findings.samples if findings else ())
              if defect.lon is not None and defect.lat is not None]  # fmt: skip
    crs = read_geo_column(paths[0]).crs if paths else None
    if not lonlat or crs is None:
        return np.zeros((0, 2))
    back = Transformer.from_crs("OGC:CRS84", crs, always_xy=True)
    lon, lat = np.array(lonlat, dtype=float).T
    xy = np.column_stack(back.transform(lon, lat))
    return np.asarray(xy[np.isfinite(xy).all(axis=1)])


def _drawing(paths: Sequence[Path], boxes: NDArray[np.float64], frame: Frame, room: int) -> str:
    """Outlines, and the density of what is too small for one.

    Where not all outlines have room: those of the largest, over the density of all.
    """
    extent = np.nan_to_num((boxes[:, 2:] - boxes[:, :2]).max(axis=1) * frame.scale)
    large = np.flatnonzero(extent >= _SPECK)
    if len(boxes) > _OUTLINE_ROWS or len(large) < len(boxes) / 2:
        return _squares(boxes, frame, room)
    largest = large[np.argsort(-extent[large], kind="stable")][:_OUTLINES]
    shapes = _shapes(paths, largest, _TOLERANCES[0] / frame.scale)
    if len(largest) == len(large):
        specks = _squares(boxes[extent < _SPECK], frame, room // 4)
        for tolerance in _TOLERANCES:
            outlines = _outlines(shapes, tolerance, frame)
            if sum(map(len, outlines)) < room - len(specks) - _LOOK_BYTES:
                return specks + _stroked(outlines, room - len(specks))
    density = _squares(boxes, frame, room // 2)
    return density + _stroked(_outlines(shapes, 0, frame), room - len(density))


def _squares(boxes: NDArray[np.float64], frame: Frame, room: int) -> str:
    """Density in cells as small as `room` bytes allow; nothing where no feature has a place."""
    text = ""
    if not np.isfinite(boxes).all(axis=1).any():
        return text
    for cell in (6.0, 8.0, 12.0, 16.0, 24.0, 48.0):
        text = "".join(
            f'<path d="{data}" stroke="{INK}" stroke-width="{cell:g}" opacity=".{2 * level + 2}"/>'
            for level, data in enumerate(density_paths(boxes, frame, cell))
            if data
        )
        if len(text) <= room:
            break
    return text


def _stroked(outlines: list[str], room: int) -> str:
    """As many outlines as `room` bytes hold, in their order."""
    left = room - _LOOK_BYTES
    kept = []
    for data in outlines:
        left -= len(data)
        if left < 0:
            break
        kept.append(data)
    look = f'fill="{INK}" fill-opacity=".1" fill-rule="evenodd" stroke="{INK}" stroke-width=".8"'
    return f'<path d="{"".join(kept)}" {look}/>' if kept else ""


def _shapes(
    paths: Sequence[Path], rows: NDArray[np.int64], tolerance: float
) -> NDArray[np.object_]:
    """The geometries of some rows, simplified as they are read, in the order of `rows`."""
    place = {int(row): number for number, row in enumerate(rows)}
    shapes = np.full(len(rows), None, dtype=object)
    for first, geoms in _geometries(paths):
        here = [row for row in range(first, first + len(geoms)) if row in place]
        slim = shapely.simplify(
            geoms[[row - first for row in here]], tolerance, preserve_topology=False
        )
        shapes[[place[row] for row in here]] = slim
    return shapes


def _outlines(shapes: NDArray[np.object_], tolerance: float, frame: Frame) -> list[str]:
    """Path data of geometries, simplified further to `tolerance` pixels."""
    slim = shapely.simplify(shapes, tolerance / frame.scale, preserve_topology=False)
    return [text for shape in slim if (text := outline_path(shape, frame))]


def _geometries(paths: Sequence[Path]) -> Iterator[tuple[int, NDArray[np.object_]]]:
    first = 0
    for path in paths:
        name = read_geo_column(path).name
        with pq.ParquetFile(path) as file:
            for batch in read_batches(file, _ROWS, [name]):
                geoms = read_wkb(batch.column(0))
                yield first, geoms
                first += len(geoms)


def _thumbnail(boxes: NDArray[np.float64], places: NDArray[np.float64], frame: Frame) -> str:
    """Density in coarse cells and the first defects, as much as 700 bytes hold."""
    for cell in (4.0, 6.0, 8.0, 12.0, 18.0, 36.0):
        for dots in (12, 6, 3, 0):
            data = "".join(density_paths(boxes, frame, cell, classes=1))
            body = f'<path d="{data}" stroke="{INK}" stroke-width="{cell:g}"/>' + red_dots(
                frame.pixels(places[:dots]), 2
            )
            svg = svg_document(frame.width, frame.height, "", body)
            if len(svg.encode()) <= MAX_THUMBNAIL_BYTES and (dots or not len(places)):
                return svg
    return svg_document(frame.width, frame.height, "", "")


def _alt(features: int, findings: Findings | None) -> str:
    text = f"Map of {features:,} features"
    if findings is None:
        return text
    if not findings.total:
        return f"{text}, no defects"
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(findings.counts.items()))
    return f"{text}, {findings.total:,} defects: {kinds}"
