"""Defects that are planted on purpose, and the truth about where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.demo.borders import OUTSIDE, Borders, Indices, Lines
from geo_assets.demo.rings import polygons, returned, unmatched
from geo_assets.errors import ConfigError

Change: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""A border and the site on its inner side in, the border that this site claims out."""

WIDTH_M = 2.0
"""Largest width of a planted gap or overlap, metres; at least half of it survives a slope."""

_LONG_M = 100.0  # a border must be this long to carry a defect: its segments outreach WIDTH_M


@dataclass(frozen=True, slots=True, kw_only=True)
class Defects:
    """How many defects of each kind are planted; no two share a district or a neighbour."""

    gap: int = 5
    """A sliver between two districts that belongs to neither."""
    overlap: int = 4
    """A sliver between two districts that belongs to both."""
    bowtie: int = 3
    """A district whose border crosses itself, at the world's edge, so that no neighbour suffers."""
    duplicate: int = 2
    """A district delivered twice, under a second id and with another first vertex."""
    nan: int = 3
    """Events of each day whose latitude is NaN."""
    swapped: int = 2
    """Events of each day whose longitude and latitude changed places."""

    @classmethod
    def none(cls) -> Defects:
        """A world without defects."""
        return cls(gap=0, overlap=0, bowtie=0, duplicate=0, nan=0, swapped=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """The districts concerned, by position; pairs name both districts of a border."""

    gap: tuple[tuple[int, int], ...]
    overlap: tuple[tuple[int, int], ...]
    bowtie: tuple[int, ...]
    duplicate: tuple[int, ...]
    """The originals; the copies follow the last district in this order."""


def plant(borders: Borders, lines: Lines, defects: Defects, rng: np.random.Generator) -> Planted:
    """Plant `defects` into the rings' own copies of the borders: only one side moves.

    Each place is tried first: checks must find the districts concerned there and no others.

    Args:
        borders: The network.
        lines: `borders.ring_lines()`; changed in place.
        defects: How many of each kind.
        rng: Source of randomness.

    Raises:
        ConfigError: The coverage is too small for that many defects.
    """
    garden = _Garden(borders, lines, rng)
    bowtie = [garden.plant(_twist, outer=True)[0] for _ in range(defects.bowtie)]
    gap = [garden.plant(_retreat, outer=False) for _ in range(defects.gap)]
    overlap = [garden.plant(_advance, outer=False) for _ in range(defects.overlap)]
    return Planted(
        gap=tuple((one, other) for one, other in gap),
        overlap=tuple((one, other) for one, other in overlap),
        bowtie=tuple(bowtie),
        duplicate=tuple(garden.take() for _ in range(defects.duplicate)),
    )


class _Garden:
    """Hands out places for defects, none next to another."""

    def __init__(self, borders: Borders, lines: Lines, rng: np.random.Generator) -> None:
        self._borders, self._lines = borders, lines
        self._free = np.ones(len(borders.sites), np.bool_)
        long = np.hypot(*(lines[:, -1] - lines[:, 0]).T) >= _LONG_M
        self._entries = rng.permutation(np.flatnonzero(long))

    def plant(self, change: Change, *, outer: bool) -> tuple[int, ...]:
        """Change a long border on the world's edge, or between two districts.

        Returns:
            The districts on its sides, in ascending order.
        """
        for entry in self._entries:
            side = self._borders.side[self._borders.ring_border[entry]]
            sites = side[side != OUTSIDE]
            if (len(sites) == 1) != outer or not self._free[sites].all():
                continue
            before = self._lines[entry].copy()
            site = self._borders.sites[self._borders.ring_site[entry]]
            self._lines[entry] = change(before, site)
            if self._shows(sites):
                self._free[self._around(sites)] = False
                return tuple(sorted(int(one) for one in sites))
            self._lines[entry] = before
        raise self._full()

    def take(self) -> int:
        """A district."""
        free = np.flatnonzero(self._free[self._borders.ring_site[self._entries]])
        if not len(free):
            raise self._full()
        site = int(self._borders.ring_site[self._entries[free[0]]])
        self._free[self._around(np.array([site]))] = False
        return site

    def _shows(self, sites: Indices) -> bool:
        """Whether checks of the neighbourhood name exactly `sites`.

        An invalid district is found by itself; the coverage of the others is then checked
        without it.
        """
        near = self._around(self._around(sites))
        chosen = np.isin(self._borders.ring_site, near)
        ring_site = self._borders.ring_site[chosen]
        delivered = polygons(ring_site, self._lines[chosen])
        valid = shapely.is_valid(delivered) & shapely.is_valid(returned(delivered))
        found = set(near[~valid]) | set(near[valid][unmatched(returned(delivered[valid]))])
        return found == set(sites)

    def _around(self, sites: Indices) -> Indices:
        """The districts `sites` and their neighbours, in ascending order."""
        side = self._borders.side
        touched = np.unique(side[np.isin(side, sites).any(1)])
        return np.asarray(touched[touched != OUTSIDE])

    def _full(self) -> ConfigError:
        return ConfigError("Defects are planted in districts that do not touch each other",
                           f"{len(self._borders.sites)} districts", "the demo world",
                           "Ask for more districts, a larger world or fewer defects.")  # fmt: skip


def _inward(line: NDArray[np.float64], site: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vector across the border, towards `site`."""
    chord = line[-1] - line[0]
    normal = np.array([-chord[1], chord[0]]) / np.hypot(*chord)
    return np.asarray(normal if normal @ (site - line[0]) > 0 else -normal)


def _retreat(line: NDArray[np.float64], site: NDArray[np.float64]) -> NDArray[np.float64]:
    return _bulge(line, site, WIDTH_M)


def _advance(line: NDArray[np.float64], site: NDArray[np.float64]) -> NDArray[np.float64]:
    return _bulge(line, site, -WIDTH_M)


def _bulge(
    line: NDArray[np.float64], site: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """Push the middle of a border towards `site`; its ends stay. Negative pushes it away."""
    swell = np.sin(np.linspace(0.0, np.pi, len(line)))
    swell[-1] = 0.0
    return line + (swell * width)[:, None] * _inward(line, site)


def _twist(line: NDArray[np.float64], site: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exchange two neighbouring vertices, pulled inside, so that the border crosses itself."""
    twisted = line.copy()
    middle = len(line) // 2
    pull = 0.5 * np.hypot(*(line[middle + 1] - line[middle])) * _inward(line, site)
    twisted[middle], twisted[middle + 1] = line[middle + 1] + pull, line[middle] + pull
    return twisted
