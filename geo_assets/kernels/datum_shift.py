"""How far an operation moves places: the part of a reprojection that a picture cannot show.

The shift of a place is the distance on the target's ellipsoid between where the operation puts
it, and where it would be if the datums of source and target were taken for one: if its longitude
and latitude were kept as they are (what PROJ calls a ballpark offset). Map projections do not
count, so it is 0 between two CRSs of one datum, and 0 where the operation is itself a ballpark
one. It is not the error of the operation: that is its stated accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geo_assets.kernels.reproject import Reprojection

Places = NDArray[np.float64]
"""Shape (n, 2): x (longitude) and y (latitude)."""

SAMPLES = 4096
"""Places that are looked at, at most: a datum shift changes by millimetres within a kilometre."""

SMALLEST_M = 0.0005
"""Metres below which a shift is none: conversions there and back round by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What an operation does at sampled places; arrays of one length."""

    source: Places
    """In the source CRS."""
    target: Places
    """In the target CRS, as the operation has it."""
    unshifted: Places
    """In the target CRS, with the datum left as it is; equal to `target` where that is unknown."""
    metres: NDArray[np.float64]
    """The shift of each place; NaN where it is unknown."""
    worst: tuple[float, float] | None
    """Longitude and latitude of the largest shift, degrees."""

    @property
    def largest_m(self) -> float | None:
        """The largest shift in metres; None where none is known."""
        return float(np.nanmax(self.metres)) if np.isfinite(self.metres).any() else None

    @property
    def moves(self) -> bool:
        """Whether the datum moves any place by a millimetre or so."""
        return self.largest_m is not None and self.largest_m >= SMALLEST_M

    def facts(self) -> dict[str, Any]:
        """Small JSON: places looked at, largest and median shift in metres, where it is largest."""
        known = self.metres[np.isfinite(self.metres)]
        return {
            "places": len(self.metres),
            "largest_m": round(float(known.max()), 3) if len(known) else None,
            "median_m": round(float(np.median(known)), 3) if len(known) else None,
            "lonlat": None if self.worst is None else [round(value, 6) for value in self.worst],
        }


class Sampler:
    """Keeps a few places of a layer that comes in batches, evenly and with bounded memory."""

    def __init__(self) -> None:
        self._kept: list[Places] = []
        self._step = 1
        self._seen = 0

    def add(self, places: Places) -> None:
        """Take the places of one batch, in order; those that are not finite do not count."""
        finite = places[np.isfinite(places).all(axis=1)]
        first = -self._seen % self._step
        self._seen += len(finite)
        self._kept.append(finite[first :: self._step])
        while sum(map(len, self._kept)) > SAMPLES:
            self._kept = [np.concatenate(self._kept)[::2]]
            self._step *= 2

    @property
    def places(self) -> Places:
        """At most `SAMPLES` places, shape (n, 2)."""
        return np.concatenate([np.empty((0, 2)), *self._kept])


def measure_shift(plan: Reprojection, places: Places) -> Shift | None:
    """The shift of places in the source CRS; None where both CRSs are the same, or no place is."""
    if plan.transformer is None or not len(places):
        return None
    target = np.column_stack(plan.transformer.transform(places[:, 0], places[:, 1]))
    finite = np.isfinite(target).all(axis=1)
    places, target = places[finite], target[finite]
    if not len(places):
        return None
    try:
        metres, unshifted, lonlat = _shifts(plan, places, target)
    except ProjError:  # a local CRS is nowhere on earth
        nowhere = np.full(len(places), np.nan)
        return Shift(source=places, target=target, unshifted=target, metres=nowhere, worst=None)
    known = np.isfinite(metres)
    at = int(np.nanargmax(metres)) if known.any() else None
    return Shift(
        source=places, target=target, metres=metres,
        unshifted=np.where(known[:, None], unshifted, target),
        worst=None if at is None else (float(lonlat[at, 0]), float(lonlat[at, 1])),
    )  # fmt: skip


def _shifts(
    plan: Reprojection, places: Places, target: Places
) -> tuple[NDArray[np.float64], Places, Places]:
    """Metres, the target's coordinates without a shift, longitude and latitude with it."""
    from_source, from_target = geographic(plan.source), geographic(plan.target)
    before = from_source.degrees(places)
    after = from_target.degrees(target)
    geod = from_target.crs.get_geod()
    assert geod is not None  # a geographic CRS has an ellipsoid
    _, _, metres = geod.inv(before[:, 0], before[:, 1], after[:, 0], after[:, 1])
    return np.asarray(metres), from_target.coordinates(before), after


@dataclass(frozen=True, slots=True)
class Geographic:
    """A CRS's own longitude and latitude: a conversion that is exact, no datum involved."""

    crs: CRS
    conversion: Transformer
    degree: float
    """Degrees in a unit of its longitude."""
    meridian: float
    """Longitude of its prime meridian, degrees from Greenwich."""

    def degrees(self, xy: Places) -> Places:
        """Longitude from Greenwich and latitude."""
        lonlat = np.column_stack(self.conversion.transform(xy[:, 0], xy[:, 1])) * self.degree
        return np.asarray(lonlat + np.array([self.meridian, 0.0]))

    def coordinates(self, lonlat: Places) -> Places:
        """The inverse of `degrees`."""
        own = (lonlat - [self.meridian, 0.0]) / self.degree
        return np.column_stack(self.conversion.transform(own[:, 0], own[:, 1], direction="INVERSE"))


def geographic(crs: CRS) -> Geographic:
    """The longitude and latitude that a CRS is made of.

    Raises:
        ProjError: It has none: a local or a geocentric CRS.
    """
    own = crs.geodetic_crs
    if own is None or own.is_geocentric:
        raise ProjError(f"{crs.name} has no longitude and latitude")
    own = own.to_2d()
    meridian = own.prime_meridian
    assert meridian is not None  # a geographic CRS has one
    return Geographic(
        crs=own,
        conversion=Transformer.from_crs(crs.to_2d(), own, always_xy=True),
        degree=float(np.degrees(own.axis_info[0].unit_conversion_factor)),
        meridian=float(np.degrees(meridian.longitude * float(meridian.unit_conversion_factor))),
    )
