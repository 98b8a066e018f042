"""From borders to polygons: transformed, rounded, closed, and proven to be a coverage."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from geo_assets.demo.borders import Borders, Indices, Lines
from geo_assets.demo.world import CRS
from geo_assets.errors import ContractError

DELIVERED_CRS = "EPSG:3035"
"""The CRS of the delivered layer: ETRS89-extended / LAEA Europe, metres, stored easting first."""
GAP_WIDTH_M = 3.0
"""Coverage checks of this gap width find every planted defect in `CRS`, and nothing else."""

_ROUNDS = 8


def polygons(site: Indices, lines: Lines) -> NDArray[np.object_]:
    """One polygon for each site in `DELIVERED_CRS`, on a grid of 1 mm.

    Args:
        site: The site of each ring entry; entries of one site are contiguous, in ring order.
        lines: The border of each ring entry, in the direction of the ring, metres in `CRS`.

    Returns:
        Polygons in the order in which their sites appear.
    """
    xy = lines[:, :-1].reshape(-1, 2)  # the last vertex is the first of the next border
    xy = np.round(np.column_stack(_transformer(CRS, DELIVERED_CRS).transform(*xy.T)), 3)
    ring = np.concatenate([[0], np.cumsum(site[1:] != site[:-1])])
    ring = np.repeat(ring, lines.shape[1] - 1)
    fresh = np.ones(len(xy), np.bool_)
    fresh[1:] = (xy[1:] != xy[:-1]).any(1) | (ring[1:] != ring[:-1])
    return np.asarray(shapely.polygons(shapely.linearrings(xy[fresh], indices=ring[fresh])))


def returned(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Delivered geometry as a reader sees it after the transformation back to `CRS`."""
    transform = _transformer(DELIVERED_CRS, CRS).transform
    return np.asarray(shapely.transform(geometry, transform, interleaved=False))


def unmatched(coverage: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which polygons of a valid-by-itself set break the coverage, at `GAP_WIDTH_M`."""
    edges = shapely.coverage_invalid_edges(coverage, gap_width=GAP_WIDTH_M)
    return np.asarray(~shapely.is_empty(edges))


def settle(borders: Borders) -> Borders:
    """Straighten the few borders that rounding has folded, or that could pass for a gap.

    Raises:
        ContractError: The coverage is still not valid in both CRSs.
    """
    for _ in range(_ROUNDS):
        delivered = polygons(borders.ring_site, borders.ring_lines())
        back = returned(delivered)
        bad = ~(shapely.is_valid(delivered) & shapely.is_valid(back))
        if not bad.any():
            bad = unmatched(back)
        if not bad.any():
            return borders
        borders = borders.straightened(np.unique(borders.ring_border[bad[borders.ring_site]]))
    raise ContractError("Districts without defects form a valid coverage",
                        f"{int(bad.sum())} districts that do not", "the demo world",
                        "Choose another seed or a larger world.")  # fmt: skip


@lru_cache(maxsize=2)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
