"""What the topology of a layer must be, as declared. Light: the loop's own process loads it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from geo_assets.errors import ConfigError

TYPE_NAMES = ("Point", "LineString", "LinearRing", "Polygon", "MultiPoint", "MultiLineString",
              "MultiPolygon", "GeometryCollection")  # fmt: skip
"""Geometry types by GEOS's type id."""

_ORIENTATIONS = ("ccw", "cw")
_SAFETY = 8.0  # neighbours within this many tolerances decide on duplicates at the halo's border


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRules:
    """What a feature's geometry must be."""

    geometry_types: tuple[str, ...] = ()
    """Types allowed, such as `Polygon`; empty allows all of one kind (see `mixed_types`)."""
    orientation: str | None = None
    """`ccw` or `cw`: the direction of shells (holes run the other way); None allows both."""
    sliver_width_m: float = 0.0
    """Polygons nowhere wider than this are slivers; metres, 0 looks for none."""

    def __post_init__(self) -> None:
        if self.orientation not in (None, *_ORIENTATIONS):
            raise ConfigError("Ring orientation is ccw or cw", repr(self.orientation))
        for name in self.geometry_types:
            if name not in TYPE_NAMES:
                raise ConfigError(f"A geometry type is one of {', '.join(TYPE_NAMES)}", repr(name))
        if not self.sliver_width_m >= 0:
            raise ConfigError("A sliver width is a number of metres", repr(self.sliver_width_m))


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRules:
    """What a coverage must hold."""

    gap_width_m: float = 0.0
    """Holes between features up to this width are gaps; metres. 0 looks for none."""
    tolerance_m: float = 0.001
    """Metres. Overlaps and gaps up to this width are unmatched edges; features whose outlines
    differ by no more are duplicates."""

    def __post_init__(self) -> None:
        for name, value in (("gap_width_m", self.gap_width_m), ("tolerance_m", self.tolerance_m)):
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is a number of metres", repr(value))

    @property
    def halo_m(self) -> float:
        """How far from a feature's bounding box anything can matter for its findings."""
        return max(self.gap_width_m, 0.0) + _SAFETY * self.tolerance_m


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRules:
    """What a line network must hold."""

    snap_m: float
    """Metres. An end this near to another line, without touching it, is unconnected."""
    tolerance_m: float = 0.001
    """Metres. Ends this near to each other or to a line touch."""
    dangles: bool = True
    """Whether ends that meet nothing are findings, as in a network without dead ends."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.snap_m) and self.snap_m >= self.tolerance_m >= 0):
            got = f"snap_m {self.snap_m!r}, tolerance_m {self.tolerance_m!r}"
            raise ConfigError("snap_m is a number of metres, at least tolerance_m", got)

    @property
    def halo_m(self) -> float:
        """How far from a line's bounding box anything can matter for its findings."""
        return self.snap_m + _SAFETY * self.tolerance_m


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyRules:
    """Which rules a layer is held against."""

    shape: ShapeRules = field(default_factory=ShapeRules)
    """Rules for single features; always applied."""
    coverage: CoverageRules | None = None
    """Set for polygons that must form a coverage."""
    network: NetworkRules | None = None
    """Set for lines that must form a network."""

    def __post_init__(self) -> None:
        if self.coverage is not None and self.network is not None:
            raise ConfigError("A layer is a coverage of polygons or a network of lines",
                              "rules for both")  # fmt: skip

    @property
    def halo_m(self) -> float | None:
        """How far neighbours matter, in metres; None where features are looked at alone."""
        rules = self.coverage or self.network
        return None if rules is None else rules.halo_m
