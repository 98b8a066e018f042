"""Geometry of one side of a join: from WKB to coordinates and shapes in the join's CRS."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import shapely

from geo_assets.errors import InputError
from geo_assets.kernels.join_layer import Project
from geo_assets.kernels.label_grid import Array

_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
_POINT_Z = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8"), ("z", "<f8")])
_FIRST = np.array([0, 5, 9, 13, 14, 18, 22, 0])
"""Where the first coordinate of a WKB geometry is, by its type; 0 if that is not fixed."""
_MULTIPLE = 4
"""From this type on there are parts, each with a byte order of its own."""
_SMALLEST = 20
"""No geometry with a coordinate has fewer bytes than one more."""
_HEADERS = {21: (_POINT, (1,)), 29: (_POINT_Z, (1001, 0x80000001))}


def point_coordinates(geometry: pa.Array, where: str) -> tuple[Array, Array] | None:
    """Coordinates of WKB points: x and y, NaN for null and empty ones; None if not all are points.

    Little-endian WKB of one size is read in place; everything else goes through GEOS.
    """
    fast = _fixed_points(geometry)
    if fast is not None or not _starts_with_point(geometry):
        return fast
    shapes = _from_wkb(geometry, where)
    kinds = shapely.get_type_id(shapes)
    if not ((kinds == 0) | (kinds == -1)).all():
        return None
    return shapely.get_x(shapes), shapely.get_y(shapes)


def _starts_with_point(geometry: pa.Array) -> bool:
    """Whether the first geometry may be a point: a look at its type code."""
    for value in geometry:
        if value.is_valid and len(wkb := value.as_py()) >= 5:
            code = int.from_bytes(wkb[1:5], "little" if wkb[0] else "big")
            return (code & 0x0FFFFFFF) % 1000 == 1  # ISO counts Z in thousands, EWKB sets high bits
    return True


def _fixed_points(geometry: pa.Array) -> tuple[Array, Array] | None:
    wide = pa.types.is_large_binary(geometry.type)
    if not (wide or pa.types.is_binary(geometry.type)):
        return None
    _, offsets, data = geometry.buffers()
    if data is None or len(geometry) == 0:
        return None
    first = geometry.offset
    at = np.frombuffer(offsets, np.int64 if wide else np.int32)[first : first + len(geometry) + 1]
    sizes = np.diff(at)
    valid = None if geometry.null_count == 0 else geometry.is_valid().to_numpy(zero_copy_only=False)
    size = int(sizes.max())
    if size not in _HEADERS or not (sizes == (size if valid is None else valid * size)).all():
        return None
    dtype, codes = _HEADERS[size]
    points = np.frombuffer(data, np.uint8)[at[0] : at[-1]].view(dtype)
    code = int(points["type"][0])
    if code not in codes or (points["order"] != 1).any() or (points["type"] != code).any():
        return None
    if valid is None:
        return points["x"].copy(), points["y"].copy()
    x, y = np.full(len(geometry), np.nan), np.full(len(geometry), np.nan)
    x[valid], y[valid] = points["x"], points["y"]
    return x, y


def wkb_bytes(geometry: pa.Array) -> tuple[Array, Array]:
    """(n + 1,) where each geometry starts, and the bytes of all; no copy."""
    wide = pa.types.is_large_binary(geometry.type)
    _, offsets, data = geometry.buffers()
    first, kind = geometry.offset, np.int64 if wide else np.int32
    at = np.zeros(1, kind) if offsets is None else np.frombuffer(offsets, kind)
    held = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return at[first : first + len(geometry) + 1], held


def anchors(geometry: pa.Array) -> Array:
    """(n, 2) the first x, y of each WKB geometry; NaN where a look at the bytes does not tell.

    That is: null, empty, big-endian, with an SRID, or of a type without a fixed place for it.
    """
    xy = np.full((2, len(geometry)), np.nan).T
    at, data = wkb_bytes(geometry)
    if data.size <= _SMALLEST:
        return xy
    codes = np.ndarray((data.size - 4,), "<u4", data, strides=(1,))
    pairs = np.ndarray((data.size - 15,), "<c16", data, strides=(1,))
    rows = np.flatnonzero(np.diff(at) > _SMALLEST)
    rows = rows[data[at[rows]] == 1]
    code = codes[at[rows] + 1]
    kind = np.where(code & 0x20000000, 0, (code & 0x0FFFFFFF) % 1000)
    place = _FIRST[np.minimum(kind, len(_FIRST) - 1)]
    known = (place > 0) & (place + 16 <= np.diff(at)[rows])
    known &= (kind < _MULTIPLE) | (data[at[rows] + np.where(known, 9, 0)] == 1)
    rows = rows[known]
    xy[rows] = pairs[at[rows] + place[known]].view(np.float64).reshape(-1, 2)
    return xy


def decode(geometry: pa.Array, project: Project | None, where: str) -> Array:
    """Shapes of an array of WKB, in the join's CRS; None where nothing can be compared.

    That is: null, empty, or with a coordinate that is not finite, before or after reprojection.

    Raises:
        InputError: Something is not WKB.
    """
    shapes = _from_wkb(geometry, where)
    shapes[shapely.is_empty(shapes)] = None
    if project is not None:
        shapes = shapely.transform(
            shapes, lambda xy: np.column_stack(project(xy[:, 0], xy[:, 1])), include_z=False
        )
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    finite = np.isfinite(xy)
    if not finite.all():
        shapes[owner[~finite.all(axis=1)]] = None
    return shapes


def reproject_wkb(geometry: pa.Array, project: Project, where: str) -> pa.Array:
    """WKB in the join's CRS; z stays as it is."""
    shapes = _from_wkb(geometry, where)
    solid = shapely.has_z(shapes)

    def move(xyz: Array) -> Array:
        x, y = project(xyz[:, 0], xyz[:, 1])
        return np.column_stack([x, y, xyz[:, 2:]])

    for part, has_z in ((solid, True), (~solid, False)):
        if part.any():
            shapes[part] = shapely.transform(shapes[part], move, include_z=has_z)
    return pa.array(shapely.to_wkb(shapes), geometry.type)


def _from_wkb(geometry: pa.Array, where: str) -> Array:
    try:
        with np.errstate(invalid="ignore"):  # NaN coordinates are dealt with by what reads them
            shapes: Array = shapely.from_wkb(geometry.to_numpy(zero_copy_only=False))
            return shapes
    except shapely.errors.ShapelyError as error:
        raise InputError("Geometry is well-formed WKB", str(error), where) from None
