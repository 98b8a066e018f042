"""A small map of a layer as SVG: outlines or density, with its defects as red dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from geo_assets.model import Findings, KernelResult, OutputFile
from geo_assets.rules.batches import read_batches
from geo_assets.rules.geo_metadata import read_geo_column
from geo_assets.rules.wkb import read_wkb

MAX_SVG_BYTES = 16 << 10
MAX_THUMBNAIL_BYTES = 700
_OUTLINE_ROWS = 50_000
"""Layers with more features are drawn by density, which reads only bounding boxes."""
_ROWS = 8192
_OUTLINES = 600
_LOOK_BYTES = 150
"""Bytes of an outline element around its path data."""
_SPECK = 2.0
"""Pixels below which a feature has no outline worth drawing."""
_WIDTH = 480
_MAX_HEIGHT = 480
_MARGIN = 6
# Colours with enough contrast on white and on black: pictures cannot know the page's theme.
_INK = "#4c8dbf"
_RED = "#e5484d"
_GREY = "#8a8f98"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPreview:
    """A picture of a layer in two sizes, and in words."""

    svg: str
    """At most 16 KiB of UTF-8."""
    thumbnail: str
    """At most 700 bytes of UTF-8, 72 pixels wide."""
    alt: str
    """The picture in words, with its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """From the layer's CRS to pixels, y down."""

    bounds: tuple[float, float, float, float]
    width: float
    height: float

    @property
    def scale(self) -> float:
        """Pixels in a unit of the CRS."""
        left, bottom, right, top = self.bounds
        across, up = max(right - left, 1e-9), max(top - bottom, 1e-9)
        inner = 2 * _MARGIN
        return min((self.width - inner) / across, (self.height - inner) / up)

    def pixels(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (n, 2) in the CRS to shape (n, 2) in pixels."""
        left, bottom, right, top = self.bounds
        middle = np.array([(left + right) / 2, (bottom + top) / 2])
        centre = np.array([self.width / 2, self.height / 2])
        return np.asarray(centre + (xy - middle) * [self.scale, -self.scale])


def layer_preview(paths: Sequence[Path], findings: Findings | None = None) -> LayerPreview:
    """Draw the parts of a layer.

    Args:
        paths: GeoParquet files of one CRS.
        findings: Their samples with a place become red dots.
    """
    boxes = _boxes(paths)
    places = _defect_places(paths, findings)
    bounds = _bounds(boxes)
    alt = _alt(len(boxes), findings)
    if bounds is None:
        return LayerPreview(svg=_svg(_WIDTH, 40, alt, ""), thumbnail=_svg(72, 16, "", ""), alt=alt)
    ratio = (bounds[3] - bounds[1]) / max(bounds[2] - bounds[0], 1e-9)
    height = float(np.clip(_WIDTH * ratio, 60, _MAX_HEIGHT))
    frame = _Frame(bounds=bounds, width=_WIDTH, height=height)
    dots = _dots(frame.pixels(places), 3.5)
    room = MAX_SVG_BYTES - len(_svg(_WIDTH, height, alt, dots).encode())
    svg = _svg(_WIDTH, height, alt, _drawing(paths, boxes, frame, room) + dots)
    small = _Frame(bounds=bounds, width=72, height=max(16.0, 72 * height / _WIDTH))
    return LayerPreview(svg=svg, thumbnail=_thumbnail(boxes, places, small), alt=alt)


def _boxes(paths: Sequence[Path]) -> NDArray[np.float64]:
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


def _bounds(boxes: NDArray[np.float64]) -> tuple[float, float, float, float] | None:
    known = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(known):
        return None
    low, high = known[:, :2].min(axis=0), known[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


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


def _drawing(paths: Sequence[Path], boxes: NDArray[np.float64], frame: _Frame, room: int) -> str:
    """Outlines of the largest features, over the density of all where not all have one."""
    outlines = _outlines(paths, boxes, frame) if len(boxes) <= _OUTLINE_ROWS else []
    if len(outlines) == len(boxes) and sum(map(len, outlines)) < room - _LOOK_BYTES:
        return _stroked(outlines, room)
    squares = _squares(boxes, frame, room // 2 if outlines else room)
    return squares + _stroked(outlines, room - len(squares))


def _squares(boxes: NDArray[np.float64], frame: _Frame, room: int) -> str:
    """Density in cells as small as `room` bytes allow."""
    text = ""
    for cell in (6.0, 8.0, 12.0, 16.0, 24.0, 48.0):
        text = "".join(
            f'<path d="{data}" stroke="{_INK}" stroke-width="{cell:g}" opacity=".{2 * level + 2}"/>'
            for level, data in enumerate(_density(boxes, frame, cell))
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
    look = f'fill="{_INK}" fill-opacity=".1" fill-rule="evenodd" stroke="{_INK}" stroke-width=".8"'
    return f'<path d="{"".join(kept)}" {look}/>' if kept else ""


def _outlines(paths: Sequence[Path], boxes: NDArray[np.float64], frame: _Frame) -> list[str]:
    """Path data of the largest features, largest first; nothing where most are specks."""
    extent = np.nan_to_num((boxes[:, 2:] - boxes[:, :2]).max(axis=1) * frame.scale)
    large = np.flatnonzero(extent >= _SPECK)
    if len(large) < len(boxes) / 2:
        return []
    large = large[np.argsort(-extent[large], kind="stable")][:_OUTLINES]
    wanted = set(large.tolist())
    shapes: dict[int, shapely.Geometry] = {}
    for first, geoms in _geometries(paths):
        rows = [row for row in range(first, first + len(geoms)) if row in wanted]
        slim = shapely.simplify(
            geoms[[row - first for row in rows]], 0.8 / frame.scale, preserve_topology=False
        )
        shapes |= dict(zip(rows, slim, strict=True))
    return [text for row in large if (text := _path(shapes[int(row)], frame))]


def _geometries(paths: Sequence[Path]) -> Iterator[tuple[int, NDArray[np.object_]]]:
    first = 0
    for path in paths:
        name = read_geo_column(path).name
        with pq.ParquetFile(path) as file:
            for batch in read_batches(file, _ROWS, [name]):
                geoms = read_wkb(batch.column(0))
                yield first, geoms
                first += len(geoms)


def _path(geom: shapely.Geometry, frame: _Frame) -> str:
    """Path data of all lines of a geometry, in whole pixels."""
    parts = shapely.get_parts(shapely.boundary(geom) if shapely.get_dimensions(geom) == 2 else geom)
    data = []
    for part in shapely.get_parts(parts):
        pixels = np.rint(frame.pixels(shapely.get_coordinates(part))).astype(int)
        keep = np.r_[True, (np.diff(pixels, axis=0) != 0).any(axis=1)] if len(pixels) else []
        pixels = pixels[keep]
        if len(pixels) > 1:
            steps = " ".join(f"{x} {y}" for x, y in np.diff(pixels, axis=0))
            data.append(f"M{pixels[0, 0]} {pixels[0, 1]}l{steps}".replace(" -", "-"))
    return "".join(data)


def _density(boxes: NDArray[np.float64], frame: _Frame, cell: float, classes: int = 4) -> list[str]:
    """Path data of square cells as strokes, one string for each class of features in a cell."""
    known = boxes[np.isfinite(boxes).all(axis=1)]
    pixels = frame.pixels((known[:, :2] + known[:, 2:]) / 2)
    cells = np.floor(pixels / cell).astype(int)[:, ::-1]
    places, counts = np.unique(cells, axis=0, return_counts=True)
    share = np.log2(counts) / max(float(np.log2(counts.max())), 1e-9)
    rank = np.minimum(classes - 1, share * classes).astype(int)
    return [_runs(places[rank == level], cell) for level in range(classes)]


def _runs(places: NDArray[np.int64], cell: float) -> str:
    """Cells (row, column), sorted, as strokes of the width `cell`: a row's neighbours share one."""
    if not len(places):
        return ""
    step = np.diff(places, axis=0)
    starts = np.flatnonzero(np.r_[True, (step[:, 0] != 0) | (step[:, 1] != 1)])
    lengths = np.diff(np.r_[starts, len(places)])
    return "".join(
        f"M{column * cell:g} {(row + 0.5) * cell:g}h{length * cell:g}"
        for (row, column), length in zip(places[starts], lengths, strict=True)
    )


def _dots(pixels: NDArray[np.float64], radius: float) -> str:
    return "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:g}" fill="{_RED}"/>' for x, y in pixels
    )


def _thumbnail(boxes: NDArray[np.float64], places: NDArray[np.float64], frame: _Frame) -> str:
    """Density in coarse cells and the first defects, as much as 700 bytes hold."""
    for cell in (4.0, 6.0, 8.0, 12.0, 18.0, 36.0):
        for dots in (12, 6, 3, 0):
            data = "".join(_density(boxes, frame, cell, classes=1))
            body = f'<path d="{data}" stroke="{_INK}" stroke-width="{cell:g}"/>' + _dots(
                frame.pixels(places[:dots]), 2
            )
            svg = _svg(frame.width, frame.height, "", body)
            if len(svg.encode()) <= MAX_THUMBNAIL_BYTES and (dots or not len(places)):
                return svg
    return _svg(frame.width, frame.height, "", "")


def _svg(width: float, height: float, title: str, body: str) -> str:
    words = f"<title>{escape(title)}</title>" if title else ""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}">'
            f"{words}{body}</svg>")  # fmt: skip


def _alt(features: int, findings: Findings | None) -> str:
    text = f"Map of {features:,} features"
    if findings is None:
        return text
    if not findings.total:
        return f"{text}, no defects"
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(findings.counts.items()))
    return f"{text}, {findings.total:,} defects: {kinds}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPicture:
    """A layer to be drawn."""

    paths: tuple[Path, ...]
    """GeoParquet files of one CRS."""
    findings: Mapping[str, Any] | None = None
    """Findings as JSON; their samples with a place become red dots."""


def draw_layer(spec: LayerPicture, workdir: Path) -> KernelResult:
    """Draw a layer as `preview.svg`, at most 16 KiB, with the role `overview`.

    Returns:
        The picture; facts `thumbnail` (SVG text of at most 700 bytes) and `alt`.
    """
    findings = None if spec.findings is None else Findings.from_dict(spec.findings)
    drawn = layer_preview(spec.paths, findings)
    path = workdir / "preview.svg"
    path.write_text(drawn.svg, encoding="utf-8")
    facts = {"alt": drawn.alt, "title": "preview"}
    file = OutputFile.of(path, path.name, "image/svg+xml", roles=("overview",), facts=facts)
    return KernelResult(files=(file,), facts={"thumbnail": drawn.thumbnail, "alt": drawn.alt})
