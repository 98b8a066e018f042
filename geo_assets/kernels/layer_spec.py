"""What the kernels of layers are told to do; costs nothing to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geo_assets.errors import ConfigError
from geo_assets.policies import CoverageRepair, Repair


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """What `build_layer` does with one delivered file."""

    source: Path
    """The delivered file, its sidecars beside it."""
    name: str
    """Name of the layer: of its file, and in messages."""
    crs: str | None = None
    """Canonical CRS of the result; None keeps the source's."""
    source_crs: str | None = None
    """The CRS that the file must be in; needed where the file does not say. None trusts it."""
    layer: str | None = None
    """Layer of a container with several."""
    encoding: str | None = None
    """Encoding of text, where the file states none or a wrong one."""
    xy_columns: tuple[str, str] | None = None
    """For CSV and plain Parquet: the x (longitude) and the y (latitude) column."""
    key: str | None = None
    """Column that identifies a feature: unique and never null. None adds a row number `fid`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column to type text. Empty keeps what is delivered; else exactly these columns."""
    extra_columns: bool = False
    """Keep undeclared columns too, behind the declared ones."""
    geometry_types: tuple[str, ...] = ()
    """Types allowed, without dimension; empty allows all."""
    promote: bool = True
    """Make a single geometry a multi one where only the multi type is allowed."""
    null_geometry: bool = False
    """Keep features without geometry instead of quarantining them."""
    invalid: Literal["keep", "quarantine", "repair"] = "keep"
    """What happens to invalid geometry; `keep` leaves it to the validity check."""
    repair: Repair = field(default_factory=Repair)
    """How to repair, where `invalid` is `repair`."""
    misplaced: Literal["quarantine", "keep"] = "quarantine"
    """What happens to coordinates that cannot be in the source CRS (`rules.crs.misplaced`)."""
    extent: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees: what lies elsewhere is quarantined."""
    bounds: tuple[float, float, float, float] | None = None
    """x min, y min, x max, y max as found before, in the source CRS, for files that do not state
    them: they narrow the choice of the PROJ operation to the layer's place."""
    required_accuracy_m: float | None = None
    """Accuracy in metres that the PROJ operation must state."""
    one_of_many: bool = False
    """It is a partition: its reprojection is drawn only where the datum moves places."""

    def __post_init__(self) -> None:
        for text, allowed in (
            (self.invalid, ("keep", "quarantine", "repair")),
            (self.misplaced, ("quarantine", "keep")),
        ):
            if text not in allowed:
                raise ConfigError(f"The policy is one of {', '.join(allowed)}", repr(text),
                                  self.name)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCheckSpec:
    """What `check_layer` holds a layer against."""

    paths: tuple[Path, ...]
    """The parts of the layer, in order."""
    crs: str
    """The declared CRS."""
    key: str | None = None
    """The key column."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Declared columns; empty allows any."""
    extra_columns: bool = False
    """Undeclared columns are allowed too."""
    geometry_types: tuple[str, ...] = ()
    """Types allowed; empty allows all."""
    null_geometry: bool = False
    """Features without geometry are allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProductSpec:
    """How `make_layer` makes a layer, and what must hold of it."""

    layer: LayerSpec
    check: LayerCheckSpec | None
    """Its `paths` are filled in with what was made. None leaves it to a later step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanSpec:
    """How `clean_layer` closes gaps and overlaps of a layer that is built, and checks it."""

    layer: Path
    """The layer: a local GeoParquet file with WKB geometry."""
    key: str
    """Column that names a feature."""
    how: CoverageRepair
    geometry_types: tuple[str, ...] = ("Polygon", "MultiPolygon")
    """Types that features may have afterwards."""
    earlier: Path | None = None
    """The `changes.parquet` of repairs before this one, if there were any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanProductSpec:
    """How `clean_layer` finishes a layer whose coverage is declared."""

    clean: CleanSpec
    name: str
    """Name of the layer: of its file, and in messages."""
    check: LayerCheckSpec
    """Its `paths` are filled in with what was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectSpec:
    """What `inspect_layer` looks at."""

    source: Path
    """The delivered file, its sidecars beside it."""
    layer: str | None = None
    """Layer of a container with several."""
    encoding: str | None = None
    """Encoding of text, where the file states none or a wrong one."""
    xy_columns: tuple[str, str] | None = None
    """For CSV and plain Parquet: the x (longitude) and the y (latitude) column."""
