"""Whether neighbouring tiles continue each other across their common edge.

Tiles abut: they have no pixel in common that could be compared. What is compared is the step from
the last pixels of one tile to the first of the other with the steps inside the two, along the
whole edge at once:

- Tiles whose files say that they do not touch, or not along their whole edge, have a `gap`.
- A line of pixels that occurs on both sides, while no two neighbouring lines inside are the same,
  is a `doubled_line`: one of the tiles is shifted by a pixel.
- A bend across the edge that is far greater than any bend near it is a `step`: a line is missing
  between the tiles, or they are of different dates or scalings. It is measured by second
  differences, which are small in what is smooth, however steep, and as large inside as across in
  what is noise: there a missing line cannot be told from the noise, and is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTH = 8
"""Lines of pixels beside an edge that are looked at: more than a coarse source is enlarged by."""
ALONG = 256
"""Places along an edge that are looked at, evenly spaced."""
_FEWEST = 32
"""Places with data on both sides, without which an edge is not judged."""
_BEND = 4.0
"""How many times greater than inside a bend across is allowed to be."""
_OFF_PX = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The pixels of one tile beside one of its edges."""

    name: str
    """The tile."""
    values: NDArray[Any]
    """Shape (bands, DEPTH, places); the line at the edge is the last one of a left or upper tile,
    the first one of a right or lower tile."""
    valid: NDArray[np.bool_]
    """Shape (DEPTH, places): True where all bands have data."""
    ends: tuple[float, float, float, float]
    """Both ends of the edge, x and y of each, in pixels of the grid."""


def seam(first: Edge, second: Edge) -> Iterator[tuple[str, str]]:
    """What is wrong at the edge between a left or upper tile and its neighbour.

    Yields:
        Pairs of kind (`seam_gap`, `seam_doubled_line`, `seam_step`) and detail; at most one pair
        for each band.
    """
    off = float(np.abs(np.subtract(first.ends, second.ends)).max())
    if off > _OFF_PX:
        yield "seam_gap", f"the edges of {first.name} and {second.name} are {off:.4g} pixels apart"
        return
    if first.values.shape != second.values.shape:
        yield "seam_gap", f"{second.name} has other bands, or other pixels along the edge"
        return
    whole = np.concatenate([first.valid, second.valid]).all(axis=0)
    if whole.sum() < _FEWEST:
        return
    lines = np.concatenate([first.values, second.values], axis=1)[:, :, whole]
    if lines.dtype.kind == "c":
        lines = np.abs(lines)
    for number, band in enumerate(lines, 1):
        found = _judge(band)
        if found is not None:
            kind, detail = found
            yield kind, f"band {number} between {first.name} and {second.name}: {detail}"


def _judge(lines: NDArray[Any]) -> tuple[str, str] | None:
    """One band: lines of shape (2 * DEPTH, places)."""
    same = (lines[1:] == lines[:-1]).mean(axis=1)
    across = DEPTH - 1
    if same[across] == 1.0 and np.delete(same, across).max() < 0.5:
        return "seam_doubled_line", "the line at the edge occurs twice"
    bends = np.median(np.abs(np.diff(lines.astype(np.float64), n=2, axis=0)), axis=1)
    over = bends[across - 1 : across + 1]
    inside = np.delete(bends, [across - 1, across])
    quantum = 1.0 if lines.dtype.kind in "iub" else 1e-6 * float(np.abs(lines).max())
    if over.min() > _BEND * inside.max() + quantum:
        detail = f"a bend of {over.min():.4g}, at most {inside.max():.4g} inside"
        return "seam_step", detail
    return None
