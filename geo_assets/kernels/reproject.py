"""Reprojection of geometry arrays with one recorded PROJ operation.

Guarantees: every coordinate of a layer goes through the same operation, chosen for the layer's
place, so results do not depend on how the layer is cut into batches. Coordinates are in
traditional GIS order. Z goes through the operation where there is one; M values are dropped.

The antimeridian: vertices are transformed one by one and no geometry is split, so a feature
that crosses 180 degrees comes out with longitudes on both sides. `crosses_antimeridian` finds
such features; they are kept and reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

from geo_assets.errors import ContractError, InputError
from geo_assets.rules.crs import crs_name, same_crs

Geometries = NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The PROJ operation that brought a layer from one CRS to another."""

    name: str
    """PROJ's description, or `none` where both CRSs are the same."""
    definition: str
    """The PROJ pipeline."""
    accuracy_m: float | None
    """Stated accuracy in metres; None where PROJ does not know (a ballpark offset)."""
    best_available: bool
    """False where PROJ knows a better operation that cannot run here."""
    better_accuracy_m: float | None = None
    """Accuracy in metres of the best operation that cannot run here."""
    missing_grids: tuple[str, ...] = ()
    """Grid files whose absence prevents better operations, best first."""

    def facts(self) -> dict[str, Any]:
        """The same as small JSON."""
        return asdict(self) | {"missing_grids": list(self.missing_grids)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprojection:
    """A transformation chosen for one layer; `apply` does it for arrays of geometries."""

    source: CRS
    target: CRS
    operation: Operation
    transformer: Transformer | None
    """None where both CRSs are the same: coordinates then stay bit-identical."""

    def apply(self, geoms: Geometries) -> tuple[Geometries, NDArray[np.bool_]]:
        """Transform `geoms` (None and empty stay as they are).

        Returns:
            The geometries, and which of them got a coordinate that is not finite.
        """
        geoms = without_m(geoms)
        bad = np.zeros(len(geoms), dtype=bool)
        if self.transformer is None:
            return geoms, bad
        out = np.array(geoms, dtype=object)
        with_z = shapely.has_z(geoms)
        for include_z in (False, True):
            rows = np.flatnonzero(with_z == include_z)
            if len(rows):
                out[rows], bad[rows] = self._bulk(geoms[rows], include_z=include_z)
        return out, bad

    def _bulk(self, geoms: Geometries, *, include_z: bool) -> tuple[Geometries, NDArray[np.bool_]]:
        """All coordinates of geometries of one dimension in a single call of PROJ."""
        assert self.transformer is not None
        coords = shapely.get_coordinates(geoms, include_z=include_z)
        if not len(coords):
            return geoms, np.zeros(len(geoms), dtype=bool)
        columns: Any = [np.ascontiguousarray(axis) for axis in coords.T]
        moved = np.column_stack(self.transformer.transform(*columns))
        finite = np.isfinite(moved[:, :2]).all(axis=1)
        bad = np.zeros(len(geoms), dtype=bool)
        if not finite.all():
            owner = np.repeat(np.arange(len(geoms)), shapely.get_num_coordinates(geoms))
            bad[owner[~finite]] = True
        return shapely.set_coordinates(np.array(geoms, dtype=object), moved), bad


def plan_reprojection(
    source: CRS,
    target: CRS,
    *,
    bounds: Sequence[float] | None = None,
    required_accuracy_m: float | None = None,
    where: str = "",
) -> Reprojection:
    """Choose the operation for a layer.

    Args:
        source: The CRS of the coordinates.
        target: The CRS they are wanted in.
        bounds: The layer's bounds in `source`, which narrow the choice to its place.
        required_accuracy_m: Accuracy in metres that the operation must state.
        where: The layer, for messages.

    Raises:
        ContractError: The accuracy cannot be reached here; names the missing grid.
        InputError: PROJ knows no operation between the two.
    """
    if same_crs(source, target):
        same = Operation(name="none", definition="noop", accuracy_m=0.0, best_available=True)
        return Reprojection(source=source, target=target, operation=same, transformer=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyproj warns of what is recorded below
        try:
            group = TransformerGroup(
                source,
                target,
                always_xy=True,
                area_of_interest=_area(source, bounds),  # type: ignore[arg-type]
            )
        except ProjError as error:
            raise _no_operation(source, target, where, str(error)) from None
    if not group.transformers:
        raise _no_operation(source, target, where, "no operation found")
    transformer = group.transformers[0]
    operation = _operation(transformer, group)
    if required_accuracy_m is not None:
        _check_accuracy(operation, required_accuracy_m, source, target, where)
    return Reprojection(source=source, target=target, operation=operation, transformer=transformer)


def _operation(transformer: Transformer, group: TransformerGroup) -> Operation:
    stated = transformer.accuracy
    unavailable = sorted(
        (item for item in group.unavailable_operations if item.accuracy >= 0),
        key=lambda item: item.accuracy,
    )
    better = [item for item in unavailable if stated < 0 or item.accuracy < stated]
    grids = [grid.short_name for item in better for grid in item.grids if not grid.available]
    return Operation(
        name=transformer.description,
        definition=transformer.definition,
        accuracy_m=float(stated) if stated >= 0 else None,
        best_available=not better,
        better_accuracy_m=float(better[0].accuracy) if better else None,
        missing_grids=tuple(dict.fromkeys(grids)),
    )


def _check_accuracy(
    operation: Operation, required_m: float, source: CRS, target: CRS, where: str
) -> None:
    reached = operation.accuracy_m
    if reached is not None and reached <= required_m:
        return
    got = "an unknown accuracy" if reached is None else f"{reached:g} m"
    grids = ", ".join(operation.missing_grids)
    fix = (f"Install the PROJ grid {grids} (projsync, or PROJ_DATA), or declare a larger "
           "accuracy." if grids else "No grid would help: declare a larger accuracy.")  # fmt: skip
    raise ContractError(
        f"The operation from {crs_name(source)} to {crs_name(target)} is accurate to "
        f"{required_m:g} m", f"{got} ({operation.name})", where, fix)  # fmt: skip


def _no_operation(source: CRS, target: CRS, where: str, reason: str) -> InputError:
    return InputError("PROJ can transform the layer to its canonical CRS", reason, where,
                      f"From {crs_name(source)} to {crs_name(target)}.")  # fmt: skip


def _area(source: CRS, bounds: Sequence[float] | None) -> AreaOfInterest | None:
    """The layer's place in longitude and latitude, or None where it makes no sense."""
    if bounds is None or not np.isfinite(bounds).all():
        return None
    try:
        to_lonlat = Transformer.from_crs(source, "OGC:CRS84", always_xy=True)
        left, bottom, right, top = (float(value) for value in bounds)
        west, south, east, north = to_lonlat.transform_bounds(
            left, bottom, right, top, densify_pts=21
        )
    except ProjError:
        return None
    box = (west, south, east, north)
    possible = -180 <= west < east <= 180 and -90 <= south < north <= 90
    return AreaOfInterest(*box) if possible else None


def without_m(geoms: Geometries) -> Geometries:
    """The same geometries without M values; Z stays."""
    with_m = shapely.has_m(geoms)
    if not with_m.any():
        return geoms
    out = np.array(geoms, dtype=object)
    both = with_m & shapely.has_z(geoms)
    # GEOS's force_3d loses Z together with M; a WKB of three dimensions keeps Z.
    out[both] = shapely.from_wkb(shapely.to_wkb(geoms[both], output_dimension=3))
    out[with_m & ~both] = shapely.force_2d(geoms[with_m & ~both])
    return out


def crosses_antimeridian(geoms: Geometries) -> NDArray[np.bool_]:
    """Which geometries (longitude, latitude) have an edge of more than 180 degrees of longitude.

    Such an edge is nearly always the short way round across 180 degrees, drawn the long way.
    """
    coords, owner = shapely.get_coordinates(geoms, return_index=True)
    crossing = np.zeros(len(geoms), dtype=bool)
    if len(coords) > 1:
        jump = np.abs(np.diff(coords[:, 0])) > 180.0
        lines = shapely.get_dimensions(geoms)[owner] > 0
        crossing[owner[1:][jump & (np.diff(owner) == 0) & lines[1:]]] = True
    return crossing
