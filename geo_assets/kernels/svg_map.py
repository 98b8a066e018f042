"""Pieces of a small map in SVG, in whole pixels and few bytes."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import shapely
from numpy.typing import NDArray

# Colours with enough contrast on white and on black: pictures cannot know the page's theme.
INK = "#4c8dbf"
RED = "#e5484d"
MARGIN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """From the layer's CRS to pixels, y down."""

    bounds: tuple[float, float, float, float]
    width: float
    height: float

    @property
    def scale(self) -> float:
        """Pixels in a unit of the CRS."""
        left, bottom, right, top = self.bounds
        across, up = max(right - left, 1e-9), max(top - bottom, 1e-9)
        inner = 2 * MARGIN
        return min((self.width - inner) / across, (self.height - inner) / up)

    def pixels(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (n, 2) in the CRS to shape (n, 2) in pixels."""
        left, bottom, right, top = self.bounds
        middle = np.array([(left + right) / 2, (bottom + top) / 2])
        centre = np.array([self.width / 2, self.height / 2])
        return np.asarray(centre + (xy - middle) * [self.scale, -self.scale])


def density_paths(
    boxes: NDArray[np.float64], frame: Frame, cell: float, classes: int = 4
) -> list[str]:
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


def red_dots(pixels: NDArray[np.float64], radius: float) -> str:
    """Circles at pixels of shape (n, 2)."""
    return "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:g}" fill="{RED}"/>' for x, y in pixels
    )


def outline_path(geom: shapely.Geometry, frame: Frame) -> str:
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


def svg_document(width: float, height: float, title: str, body: str) -> str:
    """A whole picture; the title is what is read aloud."""
    words = f"<title>{escape(title)}</title>" if title else ""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}">'
            f"{words}{body}</svg>")  # fmt: skip
