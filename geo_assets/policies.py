"""What a declaration allows to be changed in data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from geo_assets.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """How geometry may be repaired."""

    method: Literal["structure", "linework"] = "structure"
    """GEOS make_valid: `structure` keeps the rings' meaning, `linework` every crossing line."""
    precision: float | None = None
    """Size of a grid that coordinates are snapped to, in units of the target CRS."""

    def __post_init__(self) -> None:
        if self.method not in ("structure", "linework"):
            raise ConfigError("Repair is by structure or linework", repr(self.method))
        if self.precision is not None and not self.precision > 0:
            raise ConfigError("A precision grid has a positive size", repr(self.precision))


MergeStrategy = Literal["longest_border", "max_area", "min_area", "min_index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRepair:
    """How narrow gaps and overlaps between the polygons of a layer are closed.

    GEOS's coverage_clean does it, for the features that take part in a gap or an overlap up to
    `width_m` and for their neighbours. All others keep their bytes. Left as they are, and counted
    as such, are features that overlap another by more than that, that touch an invalid one, that
    have Z, or that would vanish or become another geometry type.
    """

    width_m: float
    """Gaps and overlaps up to this width are closed, wider ones stay; metres."""
    tolerance_m: float = 0.001
    """Vertices this near are made one; metres."""
    strategy: MergeStrategy = "longest_border"
    """Which feature an overlap goes to: the one with the longest common border, with the largest
    or the smallest area, or the first one."""

    def __post_init__(self) -> None:
        known = get_args(MergeStrategy)
        if self.strategy not in known:
            raise ConfigError(f"strategy is one of {', '.join(known)}", repr(self.strategy))
        width, tolerance = self.width_m, self.tolerance_m
        if not (math.isfinite(width) and width > 0 and 0 <= tolerance <= width):
            raise ConfigError("width_m is a positive number of metres, at least tolerance_m",
                              f"width_m {width!r}, tolerance_m {tolerance!r}")  # fmt: skip
