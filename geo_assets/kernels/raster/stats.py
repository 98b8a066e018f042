"""Numbers of a tile that are cheap while its pixels are at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from geo_assets.kernels.raster.warp import Patch


class Stats:
    """Valid pixels, minimum, maximum and mean of each band, gathered patch by patch."""

    def __init__(self, bands: int) -> None:
        self.pixels = 0
        self.pixels_valid = 0
        self._count = np.zeros(bands, dtype=np.int64)
        self._sum = np.zeros(bands)
        self._low = np.full(bands, np.inf)
        self._high = np.full(bands, -np.inf)

    def add(self, patch: Patch) -> bool:
        """Count a patch in; False if it has no valid pixel."""
        self.pixels += patch.valid[0].size
        if not patch.valid.any():
            return False
        self.pixels_valid += int(np.count_nonzero(patch.valid.any(axis=0)))
        for band, (data, valid) in enumerate(zip(patch.data, patch.valid, strict=True)):
            values = data if valid.all() else data[valid]
            if np.iscomplexobj(values):
                values = np.abs(values)
            if np.issubdtype(values.dtype, np.floating):
                values = values[np.isfinite(values)]
            if values.size:
                self._count[band] += values.size
                self._sum[band] += values.sum(dtype=np.float64)
                self._low[band] = min(self._low[band], values.min())
                self._high[band] = max(self._high[band], values.max())
        return True

    def as_dict(self) -> dict[str, Any]:
        """`valid_share` of the cell, and per band `min`, `max`, `mean`, `valid` as JSON.

        Values that are not finite are left out; complex numbers count by their magnitude.
        """
        bands = [self._band(band) for band in range(len(self._count))]
        return {"valid_share": self.pixels_valid / self.pixels, "stats": bands}

    def _band(self, band: int) -> dict[str, Any]:
        count = int(self._count[band])
        if not count:
            return {"min": None, "max": None, "mean": None, "valid": 0}
        return {
            "min": float(self._low[band]),
            "max": float(self._high[band]),
            "mean": float(self._sum[band] / count),
            "valid": count,
        }
