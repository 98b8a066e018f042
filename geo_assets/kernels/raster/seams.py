"""The edges of open tiles, and what is wrong where two of them meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from rasterio.windows import Window

from geo_assets.grids import Cell
from geo_assets.kernels.raster.footprint import lonlat_of
from geo_assets.model import Defect, Findings
from geo_assets.rules.seams import ALONG, DEPTH, Edge, seam

Side: TypeAlias = Literal["left", "right", "top", "bottom"]
Place: TypeAlias = tuple[int, int]
"""Cells eastwards and southwards from some cell of the grid."""


def edges_of(dataset: Any, name: str, cell: Cell) -> dict[Side, Edge]:
    """The four edges of an open tile; blocks that were just read come from GDAL's cache.

    Memory is 4 * DEPTH * ALONG values of each band.
    """
    width, height = dataset.width, dataset.height
    if min(width, height) < 2 * DEPTH:
        return {}
    windows: dict[Side, Window] = {
        "left": Window(0, 0, DEPTH, height),
        "right": Window(width - DEPTH, 0, DEPTH, height),
        "top": Window(0, 0, width, DEPTH),
        "bottom": Window(0, height - DEPTH, width, DEPTH),
    }
    return {side: _edge(dataset, name, cell, side, window) for side, window in windows.items()}


def _edge(dataset: Any, name: str, cell: Cell, side: Side, window: Window) -> Edge:
    values = dataset.read(window=window)
    valid = dataset.read_masks(window=window).astype(bool).all(axis=0)
    valid &= np.isfinite(values).all(axis=0)
    if side in ("left", "right"):
        values, valid = values.swapaxes(1, 2), valid.T
    step = max(1, values.shape[2] // ALONG)
    corners = {
        "left": ((0, 0), (0, dataset.height)),
        "right": ((dataset.width, 0), (dataset.width, dataset.height)),
        "top": ((0, 0), (dataset.width, 0)),
        "bottom": ((0, dataset.height), (dataset.width, dataset.height)),
    }[side]
    size = cell.resolution
    x, y = zip(*(dataset.transform @ corner for corner in corners), strict=True)
    ends = (x[0] / size[0], y[0] / size[1], x[1] / size[0], y[1] / size[1])
    # A copy: a view would keep the whole strip.
    return Edge(name=name, values=values[:, :, ::step].copy(), valid=valid[:, ::step], ends=ends)


def seams(
    edges: Mapping[Place, Mapping[Side, Edge]], first: Mapping[Place, Cell], crs: Any
) -> Findings:
    """What is wrong where tiles meet, told once, of the tile that is left or above.

    Args:
        edges: The edges of tiles by place.
        first: The cells that are left or above; other tiles are only neighbours.
        crs: The CRS of the grid.

    Returns:
        Kinds of `geo_assets.rules.seams.seam`, placed at the middle of the edge; `checked` is the
        number of edges.
    """
    findings = Findings(checked=0)
    for (x, y), cell in sorted(first.items(), key=lambda item: item[0]):
        for neighbour, here, there in _TOUCHING:
            mine = edges.get((x, y), {}).get(here)
            other = edges.get((x + neighbour[0], y + neighbour[1]), {}).get(there)
            if mine is not None and other is not None:
                found = _located(seam(mine, other), mine.name, crs, _middle(cell, here))
                findings += Findings.of(found, checked=1)
    return findings


_TOUCHING: tuple[tuple[Place, Side, Side], ...] = (
    ((1, 0), "right", "left"),
    ((0, 1), "bottom", "top"),
)
"""Where a neighbour lies, and the edges that touch."""


def _located(
    found: Iterator[tuple[str, str]], name: str, crs: Any, middle: tuple[float, float]
) -> Iterator[Defect]:
    for kind, detail in found:
        lon, lat = lonlat_of(crs, *middle) or (None, None)
        yield Defect(kind=kind, feature=name, lon=lon, lat=lat, detail=detail)


def _middle(cell: Cell, side: Side) -> tuple[float, float]:
    left, bottom, right, top = cell.bounds
    return (right, (bottom + top) / 2) if side == "right" else ((left + right) / 2, bottom)
