"""The place that scenes, districts and events share: one seed, one square of invented land."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from geo_assets.errors import ConfigError

Points: TypeAlias = NDArray[np.float64]
"""Coordinates of shape (n, 2): x, y."""

CRS = "EPSG:32633"
"""The CRS of the world and of its scenes: WGS 84 / UTM zone 33N, metres."""
PIXEL_M = 10
"""Edge of a pixel, metres."""

_WEST, _NORTH = 440_000, 5_560_000
_CITIES = 120
_ZIPF = 1.05
_LARGEST_RADIUS = 0.035  # of the world's edge
_MARGIN_M = 1.0  # clean points keep this distance from the world's edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Cities:
    """Where people live: Zipf-distributed sizes, radii that grow more slowly than population."""

    xy: Points
    """Centres, metres in `CRS`."""
    weight: NDArray[np.float64]
    """Share of the urban population, largest first; sums to 1."""
    radius_m: NDArray[np.float64]
    """Distance at which density has fallen to 1/e."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A square world; hashable, and equal worlds make equal bytes."""

    seed: int
    """Any non-negative integer."""
    size_px: int
    """Edge of the world in pixels of `PIXEL_M` metres."""

    def __post_init__(self) -> None:
        if self.seed < 0 or self.size_px < 64:
            got = f"seed {self.seed}, size {self.size_px} px"
            raise ConfigError("A demo world has a seed from 0 and at least 64 pixels a side", got)

    @property
    def edge_m(self) -> float:
        """Length of one side, metres."""
        return float(self.size_px * PIXEL_M)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in `CRS`, metres."""
        return (float(_WEST), _NORTH - self.edge_m, _WEST + self.edge_m, float(_NORTH))

    def rng(self, *stream: str) -> np.random.Generator:
        """A generator of its own for each named stream, so that products do not disturb others."""
        return np.random.default_rng([self.seed, zlib.crc32("/".join(stream).encode())])

    def cities(self) -> Cities:
        """The same cities for every product, whatever else the world holds."""
        rng = self.rng("cities")
        west, south, _, _ = self.bounds
        xy = rng.random((_CITIES, 2)) * self.edge_m + [west, south]
        weight = np.arange(1, _CITIES + 1, dtype=np.float64) ** -_ZIPF
        weight /= weight.sum()
        radius = _LARGEST_RADIUS * self.edge_m * (weight / weight[0]) ** 0.45
        return Cities(xy=xy, weight=weight, radius_m=radius)

    def scatter(self, rng: np.random.Generator, count: int, *, rural: float) -> Points:
        """Draw `count` places where people are, in no spatial order.

        Args:
            rng: Source of randomness; it is advanced.
            count: Number of places.
            rural: Share (0 to 1) spread evenly over the world; the rest decays exponentially
                around the cities.

        Returns:
            Places strictly inside the world, metres in `CRS`.
        """
        cities = self.cities()
        city = rng.choice(_CITIES, size=count, p=cities.weight)
        angle = rng.random(count) * (2 * np.pi)
        reach = rng.exponential(1.0, count) * cities.radius_m[city]
        xy = cities.xy[city] + np.column_stack([np.cos(angle), np.sin(angle)]) * reach[:, None]
        low = np.array(self.bounds[:2])
        anywhere = rng.random(count) < rural
        xy[anywhere] = low + rng.random((int(anywhere.sum()), 2)) * self.edge_m
        return low + _reflect(xy - low, _MARGIN_M, self.edge_m - _MARGIN_M)


def _reflect(values: Points, low: float, high: float) -> Points:
    """Fold `values` back at both limits, as mirrors would."""
    span = high - low
    folded = np.abs((values - low) % (2 * span) - span)
    return high - folded
