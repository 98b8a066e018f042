"""Small layers with everything in them that formats disagree about."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geo_assets.kernels.layer import build_layer
from geo_assets.kernels.layer_spec import LayerSpec
from geo_assets.model import KernelResult


@pytest.fixture
def real_data() -> Path:
    """The folder with real layers, if this machine has it."""
    folder = os.environ.get("GEO_ASSETS_TEST_DATA")
    if not folder:
        pytest.skip("GEO_ASSETS_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., tuple[KernelResult, gpd.GeoDataFrame]]:
    """Runs the layer kernel in a fresh folder; gives its result and the layer by geopandas."""
    runs = iter(range(1000))

    def run(source: Path, **settings: object) -> tuple[KernelResult, gpd.GeoDataFrame]:
        workdir = tmp_path / f"run-{next(runs)}"
        workdir.mkdir()
        result = build_layer(LayerSpec(source=source, name="layer", **settings), workdir)
        return result, gpd.read_parquet(workdir / "layer.parquet")

    return run


@pytest.fixture
def mixed_layer() -> gpd.GeoDataFrame:
    """Polygons in UTM with text, numbers, nulls, dates and non-ASCII names."""
    return gpd.GeoDataFrame(
        {
            "name": ["Zürich", "São Paulo", None, "北京"],
            "number": np.array([1, 2, 3, 4], dtype="int32"),
            "share": [0.5, None, -1.25, 3.0],
            "day": [dt.date(2024, 2, 29), dt.date(1900, 1, 1), None, dt.date(2100, 12, 31)],
        },
        geometry=[shapely.box(5e5 + i * 10, 5e6, 5e5 + i * 10 + 10, 5e6 + 10) for i in range(4)],
        crs="EPSG:32633",
    )
