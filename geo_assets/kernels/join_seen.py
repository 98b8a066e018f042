"""What a join has to know of the geometries of its right side, and how to see it cheaply.

Most polygons are told from the bytes of their WKB; only the others are made into geometries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from geo_assets.kernels.join_geometry import decode
from geo_assets.kernels.join_layer import Project
from geo_assets.kernels.label_grid import Array
from geo_assets.kernels.label_grid_edges import Rings
from geo_assets.rules.plain import Plain, plain_polygons, plain_vertices

_POLYGONAL = (-1, 3, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Some geometries."""

    wkb: pa.Array
    """In the join's CRS; null where nothing can be compared."""
    bounds: Array
    """(n, 4) xmin, ymin, xmax, ymax; NaN where nothing can be compared."""
    sizes: Array
    """(n,) int32: coordinates of each; 0 where nothing can be compared."""
    valid: Array
    """(n,) bool."""
    polygonal: bool
    """What can be compared is polygons."""
    plain: Plain
    others: Array
    """Positions of those that `plain` is not certain of."""
    shapes: Array
    """Their geometries; None where nothing can be compared."""

    def rings(self, first: int) -> Rings:
        """The rings of the valid ones, which have to be polygonal and are numbered from `first`."""
        at = np.flatnonzero(self.plain.certain)
        told = Rings(
            vertices=plain_vertices(self.wkb, self.plain, at),
            counts=self.plain.vertices[at],
            polygon=(at + first).astype(np.int32),
            turn=np.where(self.plain.ccw[at], 1, -1).astype(np.int8),
        )
        good = self.valid[self.others] & ~shapely.is_missing(self.shapes)
        return Rings.merge(told, Rings.of(self.shapes[good], self.others[good] + first))


def see(source: pa.Array, project: Project | None, where: str) -> Seen:
    """Look at an array of WKB in the layer's CRS.

    Raises:
        InputError: Something is not WKB.
    """
    source = source.cast(pa.large_binary())
    # After reprojection edges go elsewhere: what holds of the bytes says nothing.
    plain = plain_polygons(source if project is None else pa.nulls(len(source), source.type))
    others = np.flatnonzero(~plain.certain)
    shapes = decode(source.take(pa.array(others)), project, where)
    kinds = shapely.get_type_id(shapes)
    bounds, sizes, valid = plain.bounds, plain.vertices.astype(np.int32), plain.certain.copy()
    bounds[others], valid[others] = shapely.bounds(shapes), shapely.is_valid(shapes)
    sizes[others] = shapely.get_num_coordinates(shapes)
    if project is None:
        gone = np.zeros(len(source), bool)
        gone[others[kinds < 0]] = True
        wkb = pc.if_else(pa.array(gone), None, source) if gone.any() else source
    else:
        wkb = pa.array(shapely.to_wkb(shapes), source.type)
    return Seen(wkb=wkb, bounds=bounds, sizes=sizes, valid=valid,
                polygonal=bool(np.isin(kinds, _POLYGONAL).all()), plain=plain, others=others,
                shapes=shapes)  # fmt: skip
