"""Small scenes of every kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from geo_assets_tests.kernels.raster.oracle import UTM, MakeScene, some_values


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data; tests that need it are skipped where there is none."""
    folder = os.environ.get("GEO_ASSETS_TEST_DATA")
    if not folder:
        pytest.skip("GEO_ASSETS_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """Write a GeoTIFF; the values are smooth with noise, so that a shift of a pixel shows."""

    def make(
        name: str = "scene.tif",
        *,
        shape: tuple[int, int, int] = (1, 150, 200),
        dtype: str = "uint16",
        crs: Any = "EPSG:32633",
        transform: Affine = UTM,
        values: Any = None,
        mask: Any = None,
        palette: dict[int, tuple[int, int, int, int]] | None = None,
        interp: tuple[ColorInterp, ...] | None = None,
        **options: Any,
    ) -> Path:
        path = tmp_path / name
        data = some_values(shape, dtype) if values is None else np.asarray(values)
        count, height, width = data.shape
        profile = {"driver": "GTiff", "dtype": dtype, "count": count, "height": height,
                   "width": width, "crs": crs, "transform": transform, "tiled": True,
                   "blockxsize": 64, "blockysize": 64} | options  # fmt: skip
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **profile) as dataset,
        ):
            if palette:
                dataset.write_colormap(1, palette)
            if interp:
                dataset.colorinterp = interp
            dataset.write(data)
            if mask is not None:
                dataset.write_mask(np.asarray(mask, dtype=np.uint8) * 255)
        return path

    return make
