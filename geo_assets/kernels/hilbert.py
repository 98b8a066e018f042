"""Positions along a Hilbert curve, for spatial order of features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ORDER = 16
"""Bits per axis: codes are below 2**32."""


def hilbert_codes(
    x: NDArray[np.float64], y: NDArray[np.float64], bounds: Sequence[float]
) -> NDArray[np.uint64]:
    """Codes of points on the Hilbert curve over `bounds`, in bulk.

    Args:
        x: Shape (n,), any unit.
        y: Shape (n,), the same unit.
        bounds: x min, y min, x max, y max; points outside are moved to the border.

    Returns:
        Shape (n,), values below 2**32; points that are not finite get the largest value.
    """
    known = np.isfinite(x) & np.isfinite(y)
    column = _cells(x, bounds[0], bounds[2], known)
    row = _cells(y, bounds[1], bounds[3], known)
    codes = np.zeros(len(x), dtype=np.uint32)
    for bit in range(ORDER - 1, -1, -1):
        right = (column >> np.uint32(bit)) & np.uint32(1)
        upper = (row >> np.uint32(bit)) & np.uint32(1)
        codes = (codes << np.uint32(2)) | ((np.uint32(3) * right) ^ upper)
        # Rotate the quadrant so that the curve stays connected.
        flip = (upper == 0) & (right == 1)
        column[flip] = np.uint32((1 << ORDER) - 1) - column[flip]
        row[flip] = np.uint32((1 << ORDER) - 1) - row[flip]
        turn = upper == 0
        column[turn], row[turn] = row[turn], column[turn]
    codes[~known] = np.uint32(0xFFFFFFFF)
    return codes.astype(np.uint64)


def _cells(
    values: NDArray[np.float64], low: float, high: float, known: NDArray[np.bool_]
) -> NDArray[np.uint32]:
    """Cell numbers 0 to 2**ORDER - 1 along one axis."""
    last = (1 << ORDER) - 1
    width = high - low
    if not width > 0 or not np.isfinite(width):
        return np.zeros(len(values), dtype=np.uint32)
    scaled = np.where(known, (values - low) / width * last, 0.0)
    return np.clip(scaled, 0, last).astype(np.uint32)
