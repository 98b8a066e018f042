"""CRS rules: is this the declared CRS, and do the coordinates look as if they were in it.

Coordinates are in traditional GIS order (x, y; longitude, latitude) everywhere in geo_assets,
whatever axis order the CRS itself states, so CRS84 and EPSG:4326 are the same CRS here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from geo_assets.errors import ConfigError, InputError
from geo_assets.model import Defect, Findings
from geo_assets.rules.geo_metadata import GeoColumn, read_geo_column

DEGREES = "degrees_in_projected_crs"
SWAPPED = "swapped_axes"
OUTSIDE = "out_of_bounds"
_LON_LIMIT = 360.0
"""Longitudes from -180 to 360 are in use; up to a full turn either way is accepted."""
_SAME_CONFIDENCE = 90
_NORTH_EAST = ("north", "east")
_FAR = 10
"""Data often lies beside the registered area of its CRS; so many widths away it cannot."""


def parse_crs(text: str, where: str = "") -> CRS:
    """The CRS that `text` names: an authority code, WKT, PROJJSON or a PROJ string.

    Raises:
        ConfigError: PROJ does not know it.
    """
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(
            "A CRS is one that PROJ knows",
            repr(text[:120]),
            where,
            f"Write for example EPSG:32633. PROJ says: {error}",
        ) from None


def same_crs(first: CRS, second: CRS) -> bool:
    """Whether coordinates in one are coordinates in the other, in traditional GIS order.

    Compares CRS objects, not codes: many real CRSs have no code. Two spellings of one
    registered CRS (an ESRI .prj and its EPSG code) are the same when PROJ identifies both as
    that code with at least 90 % confidence.
    """
    if _east_first(first).equals(_east_first(second), ignore_axis_order=True):
        return True
    codes = [crs.to_authority(min_confidence=_SAME_CONFIDENCE) for crs in (first, second)]
    return codes[0] is not None and codes[0] == codes[1]


def _east_first(crs: CRS) -> CRS:
    """The CRS with easting before northing: PROJ ignores the order of geographic axes only."""
    if not crs.is_projected or crs.is_bound or len(crs.axis_info) < len(_NORTH_EAST):
        return crs
    if tuple(axis.direction for axis in crs.axis_info[:2]) != _NORTH_EAST:
        return crs
    value = crs.to_json_dict()
    if "coordinate_system" not in value:
        return crs
    axes = value["coordinate_system"]["axis"]
    axes[:2] = axes[1::-1]
    for place in (value, value["coordinate_system"]):
        place.pop("id", None)
    return CRS.from_json_dict(value)


def crs_name(crs: CRS) -> str:
    """`EPSG:32633 (WGS 84 / UTM zone 33N)`, or the name alone where there is no code."""
    authority = crs.to_authority()
    return f"{':'.join(authority)} ({crs.name})" if authority else str(crs.name)


def crs_facts(crs: CRS | None) -> dict[str, Any]:
    """Small JSON facts about a CRS; `{"name": None}` where there is none."""
    if crs is None:
        return {"name": None}
    authority = crs.to_authority()
    unit = crs.axis_info[0].unit_name if crs.axis_info else ""
    return {
        "name": crs.name,
        "authority": ":".join(authority) if authority else None,
        "wkt": crs.to_wkt(),
        "kind": "geographic" if crs.is_geographic else "projected" if crs.is_projected else "other",
        "unit": unit,
    }


def expect_crs(got: CRS | None, declared: CRS | None, where: str, *, missing: str = "") -> CRS:
    """The CRS that `got` is in, after it was held against the declared one.

    Args:
        got: What the file says, None where it says nothing.
        declared: What the declaration says; None trusts the file.
        where: The file, for the message.
        missing: What is absent where the file says nothing (`counties.prj`).

    Raises:
        InputError: The file says nothing and nothing is declared, or the two differ.
    """
    if got is None and declared is None:
        raise InputError(
            "A layer says what its CRS is",
            f"no CRS ({missing or 'none stored'})",
            where,
            "Declare source_crs, or deliver the file with its CRS.",
        )
    if got is None or declared is None:
        return got or declared  # type: ignore[return-value]
    if not same_crs(got, declared):
        raise InputError(f"The layer is delivered in the declared CRS {crs_name(declared)}",
                         crs_name(got), where,
                         "Declare the CRS that the file is in, or correct the file. "
                         "Coordinates are never reinterpreted silently.")  # fmt: skip
    return got


def misplaced(bounds: NDArray[np.float64], crs: CRS) -> NDArray[np.object_]:
    """Why each feature cannot be where its coordinates say, or None.

    Args:
        bounds: Shape (n, 4): x min, y min, x max, y max in `crs`; NaN rows are passed over.
        crs: What the coordinates are said to be in.

    Returns:
        Shape (n,): None, `out_of_bounds` (beyond latitude 90 or longitude 360, or farther from
        the CRS's area of use than ten times that area's size), `degrees_in_projected_crs` or
        `swapped_axes` (outside as it is, inside with x and y exchanged).
    """
    kinds = np.full(len(bounds), None, dtype=object)
    known = np.isfinite(bounds).all(axis=1)
    if crs.is_geographic:
        outside = known & ~_geographic(bounds)
        swapped = outside & _geographic(bounds[:, [1, 0, 3, 2]])
        kinds[outside] = OUTSIDE
    elif (area := area_of_use(crs)) is not None:
        swapped = known & ~_touches(bounds, _grown(area, 1))
        swapped &= _touches(bounds[:, [1, 0, 3, 2]], area)
        kinds[known & ~_touches(bounds, _grown(area, _FAR))] = OUTSIDE
        degrees = known & ~_touches(bounds, area) & _degrees(bounds)
        kinds[degrees] = DEGREES
        swapped &= ~degrees
    else:
        return kinds
    kinds[swapped] = SWAPPED
    return kinds


def looks_like_degrees(total: Sequence[float], crs: CRS) -> bool:
    """Whether a whole layer of a projected CRS spans no more than degrees could."""
    box = np.asarray([total], dtype=float)
    wide = box[0, 2] - box[0, 0] > 0 or box[0, 3] - box[0, 1] > 0
    return bool(crs.is_projected and wide and np.isfinite(box).all() and _degrees(box)[0])


@lru_cache(maxsize=64)
def area_of_use(crs: CRS) -> tuple[float, float, float, float] | None:
    """The registered area of use in the CRS's own coordinates, or None where unknown."""
    area = crs.area_of_use
    if area is None or area.west > area.east:
        return None
    try:
        to_crs = Transformer.from_crs("OGC:CRS84", crs, always_xy=True)
        box = to_crs.transform_bounds(area.west, area.south, area.east, area.north, densify_pts=21)
    except ProjError:
        return None
    return box if np.isfinite(box).all() else None


def check_crs(paths: Sequence[Path], declared: str) -> Findings:
    """Hold GeoParquet files against a declared CRS, and their features against its area.

    Reads the footers and the bounding box columns only, one row group at a time.

    Returns:
        Kinds `crs_mismatch` and `crs_missing` (once per file), and the kinds of `misplaced`
        (once per feature, named by row number in its file).
    """
    crs = parse_crs(declared)
    findings = Findings(checked=0)
    for path in paths:
        column = read_geo_column(path)
        defects = []
        if column.crs is None:
            defects = [Defect(kind="crs_missing", detail=f"{path.name} states no CRS")]
        elif not same_crs(column.crs, crs):
            detail = f"{path.name} is in {crs_name(column.crs)}, not {crs_name(crs)}"
            defects = [Defect(kind="crs_mismatch", detail=detail)]
        findings = findings + Findings.of(defects, checked=0) + _check_places(path, column, crs)
    return findings


def _check_places(path: Path, column: GeoColumn, crs: CRS) -> Findings:
    findings = Findings(checked=0)
    row = 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if column.covering is not None:
                table = file.read_row_group(group, columns=[column.covering])
                box = table.column(column.covering).combine_chunks()
                bounds = np.column_stack(
                    [box.field(name).to_numpy(zero_copy_only=False) for name in _BOX]
                ).astype(float)
                kinds = misplaced(bounds, crs)
                defects = [
                    Defect(kind=kinds[i], feature=str(row + int(i)),
                           detail=f"x {bounds[i, 0]:.6g}, y {bounds[i, 1]:.6g}")
                    for i in np.flatnonzero(kinds != None)  # noqa: E711
                ]  # fmt: skip
                findings += Findings.of(defects, checked=rows)
            row += rows
    return findings


_BOX = ("xmin", "ymin", "xmax", "ymax")


def _geographic(bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether bounds are possible longitudes and latitudes."""
    return _within(bounds, _LON_LIMIT, 90.0 + 1e-9)


def _degrees(bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
    return _within(bounds, 180.0, 90.0)


def _within(bounds: NDArray[np.float64], x_limit: float, y_limit: float) -> NDArray[np.bool_]:
    limits = np.array([x_limit, y_limit, x_limit, y_limit])
    return np.asarray((np.abs(bounds) <= limits).all(axis=1))


def _touches(
    bounds: NDArray[np.float64], area: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    """Whether bounds meet a box; False for NaN."""
    return (
        (bounds[:, 0] <= area[2])
        & (bounds[:, 2] >= area[0])
        & (bounds[:, 1] <= area[3])
        & (bounds[:, 3] >= area[1])
    )


def _grown(
    area: tuple[float, float, float, float], times: float
) -> tuple[float, float, float, float]:
    """The box with so many times its own width and height added on each side."""
    width, height = times * (area[2] - area[0]), times * (area[3] - area[1])
    return area[0] - width, area[1] - height, area[2] + width, area[3] + height
