"""A located finding, before it has an id, and the metres of a layer's CRS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

Geometries: TypeAlias = NDArray[np.object_]
"""An array of shapely geometries; None where there is none."""
Rows: TypeAlias = NDArray[np.int64]
"""Positions of features in their layer, from 0."""

_MAX_LATITUDE = np.radians(85.0)  # metres per degree of longitude are bounded from here on
_PRECISION = 0.01  # relative precision of a width
_MARGIN = 1.01  # the scale of a geographic CRS changes a little within one polygon


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding of a rule over a layer."""

    kind: str
    """What is wrong, in snake_case."""
    rows: tuple[int, ...]
    """The features concerned, by position in the layer, ascending."""
    geometry: Any
    """The place, a shapely geometry in the layer's CRS; None where the feature has no place."""
    size_m: float | None = None
    """Metres: a width, a length or a distance, as the kind says. Of what concerns a feature as a
    whole it is the longer side of the feature's box."""
    area_m2: float | None = None
    """Square metres of the place, where it is an area."""
    detail: str = ""
    """One sentence for a reader."""


class Metric:
    """Metres in a layer's CRS.

    In a projected CRS a metre is a metre of the projection plane. In a geographic CRS every place
    is measured in the plane that touches the ellipsoid there, so a measure depends on the place
    alone and never on what else is looked at.

    Args:
        crs: Anything that PROJ reads; coordinates are x, y (longitude, latitude).
        y_range: Lowest and highest y of the layer: distances over all of it depend on them.
    """

    def __init__(self, crs: str, y_range: tuple[float, float] = (0.0, 0.0)) -> None:
        self.crs = CRS.from_user_input(crs)
        self.geographic = self.crs.is_geographic
        axes = self.crs.axis_info
        self._factor = axes[0].unit_conversion_factor if axes else 1.0
        low, high = y_range
        between = [0.0] if low < 0.0 < high else []
        self._extremes = self._scale(np.array([low, high, *between]))

    @cached_property
    def _to_lonlat(self) -> Transformer:
        """Made when it is asked for: PROJ takes longer for it than a small chunk does."""
        return Transformer.from_crs(self.crs, "OGC:CRS84", always_xy=True)

    def lonlat(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Longitude and latitude of places, shape (n, 2); NaN where there is none."""
        lon, lat = self._to_lonlat.transform(xy[:, 0], xy[:, 1])
        places = np.column_stack([lon, lat])
        places[~np.isfinite(places).all(axis=1)] = np.nan
        return places

    def metres(self, geometries: Geometries) -> Geometries:
        """The same geometries in metres, each relative to its own centroid's plane."""
        coordinates, index = shapely.get_coordinates(geometries, return_index=True)
        centre = shapely.get_coordinates(shapely.centroid(geometries))
        if len(centre) != len(geometries):  # an empty geometry has no centroid
            centre = np.zeros((len(geometries), 2))
        moved = (coordinates - centre[index]) * self._scale(centre[:, 1])[index]
        scaled: Geometries = shapely.set_coordinates(geometries.copy(), moved)
        return scaled

    def length(self, distance: float, place: shapely.Point) -> float:
        """A distance in layer units, to any side of a place, in metres; at most."""
        return distance * float(self._scale(np.array([place.y])).max())

    def units(self, metres: float) -> float:
        """A distance in layer units that is at least `metres` everywhere in the layer."""
        return metres / float(self._extremes.min())

    def small_units(self, metres: float) -> float:
        """A distance in layer units that is at most `metres` everywhere in the layer."""
        return metres / float(self._extremes.max())

    def maybe_thin(self, polygons: Geometries, width_m: float) -> NDArray[np.bool_]:
        """Whether polygons can be nowhere wider than `width_m`: False is certain, True is not.

        A region without a circle of radius r has no more area than its border times r.
        """
        return self.thin_at_most(
            shapely.bounds(polygons), shapely.area(polygons), shapely.length(polygons), width_m
        )

    def thin_at_most(
        self,
        bounds: NDArray[np.float64],
        area: NDArray[np.float64],
        border: NDArray[np.float64],
        width_m: float,
    ) -> NDArray[np.bool_]:
        """`maybe_thin` of polygons of which only some numbers are known, in layer units.

        Args:
            bounds: Shape (n, 4).
            area: Shape (n,).
            border: Shape (n,): lengths of the borders, or more.
            width_m: Metres.
        """
        scale = self._scale((bounds[:, 1] + bounds[:, 3]) / 2)
        inside = area * scale.prod(axis=1)
        around = border * scale.max(axis=1)
        thin: NDArray[np.bool_] = inside <= around * width_m / 2 * _MARGIN
        return thin

    def _scale(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Metres per layer unit along x and y, shape (n, 2)."""
        if not self.geographic:
            return np.full((len(y), 2), self._factor)
        ellipsoid = self.crs.ellipsoid
        assert ellipsoid is not None  # a geographic CRS has one
        a, b = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
        latitude = np.clip(y * self._factor, -_MAX_LATITUDE, _MAX_LATITUDE)
        squash = 1.0 - (b / a) ** 2
        bend = np.sqrt(1.0 - squash * np.sin(latitude) ** 2)
        east = a / bend * np.cos(latitude)
        north = a * (1.0 - squash) / bend**3
        return np.column_stack([east, north]) * self._factor


def widths(polygons: Geometries) -> NDArray[np.float64]:
    """The largest width of polygons: the diameter of the largest circle inside, to 1 %.

    It is found by shrinking the polygon until nothing is left, which stays cheap for slivers
    whose length is a million times their width.
    """
    low, high = _inradius_bounds(polygons)
    while (open_ := (high - low) > _PRECISION * high).any():
        middle = (low[open_] + high[open_]) / 2
        gone = shapely.is_empty(shapely.buffer(polygons[open_], -middle, quad_segs=4))
        high[open_] = np.where(gone, middle, high[open_])
        low[open_] = np.where(gone, low[open_], middle)
    return low + high


def wider_than(polygons: Geometries, width: float) -> NDArray[np.bool_]:
    """Whether a circle of diameter `width` fits into each polygon."""
    low, high = _inradius_bounds(polygons)
    wide = low >= width / 2
    unclear = ~wide & (high >= width / 2)
    shrunk = shapely.buffer(polygons[unclear], -width / 2, quad_segs=4)
    wide[unclear] = ~shapely.is_empty(shrunk)
    return wide


def _inradius_bounds(
    polygons: Geometries,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds that need no construction: no point is farther from the border than the radius."""
    area, border = shapely.area(polygons), shapely.length(polygons)
    low = np.divide(area, border, out=np.zeros(len(polygons)), where=border > 0)
    return low, np.maximum(np.sqrt(area / np.pi), low)
