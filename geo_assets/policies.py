"""What a declaration allows to be changed in data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
