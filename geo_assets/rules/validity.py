"""Whether geometries are valid, and what GEOS says of those that are not."""

from __future__ import annotations

import re

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.rules.found import Geometries

_REASON = re.compile(r"(?P<text>[^\[]*)(?:\[(?P<x>\S+) (?P<y>\S+)\])?")

Place = tuple[float, float]


def is_sound(geometries: Geometries, proven: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which geometries are present, not empty and valid: such are finite too.

    Args:
        geometries: Shape (n,).
        proven: Which of them are known to be; the test is dear, so they are not asked again.
    """
    sound = np.zeros(len(geometries), np.bool_) if proven is None else proven.copy()
    open_ = np.flatnonzero(~sound)
    with np.errstate(invalid="ignore"):
        sound[open_] = shapely.is_valid(geometries[open_]) & ~shapely.is_empty(geometries[open_])
    return sound


def reason_kind(reason: str) -> tuple[str, Place | None]:
    """GEOS's reason as a kind, and the place it names in the layer's CRS.

    >>> reason_kind("Self-intersection[2.5 5]")
    ('self_intersection', (2.5, 5.0))
    """
    match = _REASON.match(reason)
    assert match is not None
    kind = re.sub(r"[^a-z0-9]+", "_", match["text"].lower()).strip("_")
    return kind, (float(match["x"]), float(match["y"])) if match["x"] else None


def vertex(geometry: shapely.Geometry) -> Place | None:
    """A vertex of a geometry: it exists whatever else is wrong; None where there is none."""
    xy = shapely.get_coordinates(geometry)
    return (float(xy[0, 0]), float(xy[0, 1])) if len(xy) else None
