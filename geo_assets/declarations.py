"""What a user declares about a scene series or a layer, refused at load time when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pyproj import CRS
from pyproj.exceptions import CRSError

from geo_assets.errors import ConfigError
from geo_assets.grids import Grid
from geo_assets.policies import CoverageRepair, Repair

RESAMPLINGS = (
    "nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode",
    "max", "min", "med", "q1", "q3", "sum", "rms",
)  # fmt: skip
COMPRESSIONS = ("deflate", "zstd", "lzw", "none")
INVALID_POLICIES = ("keep", "quarantine", "repair")
GEOMETRY_TYPES = (
    "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
COVERAGE_CLEAN_GEOS = (3, 14, 0)
"""The first GEOS that can clean a coverage."""

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSeries:
    """A series of rasters of one kind, one partition per scene."""

    name: str
    """Name of the tile asset: its key is `core/<name>`."""
    scenes: str
    """Name of the raw asset and of the dynamic partitions: the key is `raw/<scenes>`."""
    source: str
    """Where scenes lie, relative to `GEO_ASSETS_SOURCE` or a URI of its own. `{scene}` is the
    partition key, `{band}` one of `bands` (one file per band), `*` anything within a segment."""
    grid: Grid
    """The grid that tiles are cut to."""
    crs: str | None = None
    """The CRS every scene must have (anything PROJ reads); None accepts the file's own."""
    bands: tuple[str, ...] = ()
    """For series with one file per band: the values of `{band}`, in output order."""
    resampling: str = "bilinear"
    """GDAL's resampling method by name; `nearest` is forced for categorical data."""
    categorical: bool = False
    """Values are classes: never interpolated."""
    nodata: float | None = None
    """Nodata value of the sources, where the files do not say it themselves."""
    compress: str = "deflate"
    """COG compression: deflate, zstd, lzw or none."""

    def __post_init__(self) -> None:
        _check_name(self.name, "raster_tiles_asset(name=...)")
        where = f"raster_tiles_asset(name={self.name!r})"
        _check_name(self.scenes, f"{where}, scenes=...")
        _check_choice(self.resampling, RESAMPLINGS, "resampling", where)
        _check_choice(self.compress, COMPRESSIONS, "compress", where)
        _check_crs(self.crs, "crs", where)
        placeholders = _placeholders(self.source, {"scene", "band"}, where)
        if "scene" not in placeholders:
            raise ConfigError(
                "A scene series names its partition in the source pattern", repr(self.source),
                where, "Put {scene} where the scene's name stands: scenes/{scene}.tif.",
            )  # fmt: skip
        if ("band" in placeholders) != bool(self.bands):
            raise ConfigError(
                "{band} in the source and bands=(...) go together",
                f"source {self.source!r}, bands {self.bands!r}", where,
                "Give both for one file per band, none for one file per scene.",
            )  # fmt: skip
        if self.categorical and self.resampling not in ("bilinear", "nearest", "mode"):
            raise ConfigError("Categorical scenes are resampled by nearest or mode",
                              repr(self.resampling), where)  # fmt: skip

    @property
    def effective_resampling(self) -> str:
        """The method used: classes are never interpolated."""
        if self.categorical and self.resampling != "mode":
            return "nearest"
        return self.resampling

    def config(self) -> dict[str, Any]:
        """What changes the tiles, as JSON: part of the fingerprint."""
        return {
            "grid": self.grid.to_dict(),
            "resampling": self.effective_resampling,
            "categorical": self.categorical,
            "nodata": self.nodata,
            "compress": self.compress,
            "bands": list(self.bands),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One vector dataset with a CRS and a schema."""

    name: str
    """Name of the layer: its keys are `raw/<name>` and `core/<name>`."""
    source: str
    """Where it lies, relative to `GEO_ASSETS_SOURCE` or a URI of its own. A partitioned layer
    has its partition key at `{partition}`; with two dimensions, the key of each at its name:
    `readings/{date}/{region}.parquet`."""
    crs: str
    """The canonical CRS that `core/<name>` is in."""
    source_crs: str | None = None
    """The CRS it must be delivered in; needed where the file does not say. None trusts the file."""
    layer: str | None = None
    """Layer inside a container with several, such as a GeoPackage."""
    encoding: str | None = None
    """Encoding of text, where the file states none or a wrong one."""
    xy_columns: tuple[str, str] | None = None
    """For CSV and plain Parquet: the x (longitude) and the y (latitude) column."""
    key: str | None = None
    """Column that identifies a feature; None adds a row number called `fid`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Schema of `core/<name>`: column -> Arrow type name; empty keeps what is delivered."""
    extra_columns: bool = False
    """Keep undeclared columns too, behind the declared ones."""
    geometry_types: tuple[str, ...] = ()
    """Geometry types allowed; empty allows all."""
    extent: tuple[float, float, float, float] | None = None
    """West, south, east, north in EPSG:4326 degrees where every feature must be; what lies
    elsewhere is quarantined as `out_of_bounds`: exchanged coordinates, for example."""
    null_geometry: bool = False
    """Keep features without geometry instead of quarantining them."""
    invalid: Literal["keep", "quarantine", "repair"] = "keep"
    """What happens to invalid geometry: keep (the check reports it), quarantine or repair."""
    repair: Repair = field(default_factory=Repair)
    """How to repair, where `invalid` is `repair`."""
    coverage: CoverageRepair | None = None
    """For polygons that form a coverage: close narrow gaps and overlaps, after every feature was
    brought into its canonical form. The layer is held in memory whole."""
    required_accuracy_m: float | None = None
    """Accuracy in metres that the datum operation must reach."""

    def __post_init__(self) -> None:
        _check_name(self.name, "vector_layer_asset(name=...)")
        where = f"vector_layer_asset(name={self.name!r})"
        _check_crs(self.crs, "crs", where)
        _check_crs(self.source_crs, "source_crs", where)
        _check_choice(self.invalid, INVALID_POLICIES, "invalid", where)
        for kind in self.geometry_types:
            _check_choice(kind, GEOMETRY_TYPES, "geometry_types", where)
        names = set(_PLACEHOLDER.findall(self.source))
        _placeholders(self.source, names if len(names) == 2 else {"partition"}, where)
        if self.key is not None and self.columns and self.key not in self.columns:
            raise ConfigError(
                "The key column is one of the declared columns", repr(self.key), where,
                f"Add it to columns, which are {sorted(self.columns)}.",
            )  # fmt: skip
        _check_repairs(self, where)
        if self.extent is not None:
            west, south, east, north = self.extent
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
                raise ConfigError("extent is west, south, east, north in degrees",
                                  repr(self.extent), where)  # fmt: skip
        accuracy = self.required_accuracy_m
        if accuracy is not None and not accuracy > 0:
            raise ConfigError("required_accuracy_m is a positive number of metres",
                              repr(accuracy), where)  # fmt: skip

    def check_partitions(self, names: Sequence[str]) -> None:
        """Refuse a source that does not go with its partitions.

        Args:
            names: The placeholders that stand for the partition key: none, `partition`, or the
                names of its two dimensions.

        Raises:
            ConfigError: The source has others.
        """
        if set(_PLACEHOLDER.findall(self.source)) != set(names):
            wanted = " and ".join(f"{{{name}}}" for name in names) or "none"
            raise ConfigError("{partition} in the source and partitions=... go together; two "
                              "dimensions have a placeholder each",
                              repr(self.source), f"vector_layer_asset(name={self.name!r})",
                              f"For these partitions it is {wanted}.")  # fmt: skip

    def config(self) -> dict[str, Any]:
        """What changes the layer, as JSON: part of the fingerprint."""
        fields = asdict(self)
        for name in ("name", "source"):
            del fields[name]
        return fields | {"columns": dict(self.columns), "geometry_types": list(self.geometry_types)}


def _check_repairs(layer: Layer, where: str) -> None:
    """Refuse repairs that would do nothing, or that GEOS cannot do here."""
    if layer.repair != Repair() and layer.invalid != "repair":
        raise ConfigError("repair=... says how, and invalid='repair' that it is done",
                          f"{layer.repair!r} with invalid={layer.invalid!r}", where,
                          "Add invalid='repair', or leave repair out.")  # fmt: skip
    if layer.coverage is None:
        return
    if not layer.geometry_types or set(layer.geometry_types) - {"Polygon", "MultiPolygon"}:
        raise ConfigError(
            "Only polygons form a coverage", f"geometry_types {layer.geometry_types!r}", where,
            "Declare geometry_types=('Polygon', 'MultiPolygon'), or leave coverage out.",
        )  # fmt: skip
    import shapely  # not at the top: most declarations need no GEOS

    if shapely.geos_version < COVERAGE_CLEAN_GEOS:
        raise ConfigError(
            "coverage=... needs the coverage_clean of GEOS 3.14",
            f"GEOS {shapely.geos_version_string}", where,
            "Install a Shapely that is built with it, or leave coverage out.",
        )  # fmt: skip


def _check_name(name: str, where: str) -> None:
    if not _NAME.match(name):
        raise ConfigError("An asset name is lower-case letters, digits and underscores",
                          repr(name), where, "Write for example scene_tiles.")  # fmt: skip


def _check_choice(value: str, allowed: Sequence[str], what: str, where: str) -> None:
    if value not in allowed:
        raise ConfigError(f"{what} is one of {', '.join(allowed)}", repr(value), where)


def _check_crs(text: str | None, what: str, where: str) -> None:
    if text is None:
        return
    try:
        CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(
            f"{what} is a CRS that PROJ knows", repr(text), where,
            f"Write for example EPSG:32633. PROJ says: {error}",
        ) from None  # fmt: skip


def _placeholders(source: str, allowed: set[str], where: str) -> set[str]:
    found = set(_PLACEHOLDER.findall(source))
    unknown = found - allowed
    if unknown or source.count("{") != source.count("}"):
        known = ", ".join(sorted(f"{{{name}}}" for name in allowed))
        raise ConfigError(f"A source pattern knows {known}", repr(source), where)
    return found
