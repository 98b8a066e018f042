"""A grid that is installed later makes a layer outdated."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pyproj import datadir

from geo_assets.assets import layers
from geo_assets.declarations import Layer
from geo_assets.model import Artifact
from geo_assets.rules.proj_grids import proj_grids


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datadir, "get_user_data_dir", lambda create: str(tmp_path / "proj"))
    return tmp_path / "proj"


def test_grids_are_found_where_proj_looks(user_folder: Path) -> None:
    before = proj_grids()
    user_folder.mkdir()
    (user_folder / "us_noaa_conus.tif").touch()
    (user_folder / "readme.txt").touch()
    assert set(proj_grids()) - set(before) == {"us_noaa_conus.tif"}


class OneDelivery:
    """A store with one version of one delivery."""

    async def newest(self, asset: tuple[str, ...], partition: str | None) -> Artifact:
        return Artifact(asset=asset, partition=partition, sequence=1, version="v", data_prefix="",
                        objects=())  # fmt: skip


@pytest.mark.parametrize(("source_crs", "outdated"), [("EPSG:4267", True), ("EPSG:4326", False)])
def test_a_new_grid_makes_reprojected_layers_outdated(
    user_folder: Path, source_crs: str, outdated: bool
) -> None:
    layer = Layer(name="x", source="x.gpkg", source_crs=source_crs, crs="EPSG:4326")
    before = asyncio.run(layers.plan_layer(layer, None, OneDelivery()))
    user_folder.mkdir()
    (user_folder / "us_noaa_conus.tif").touch()
    after = asyncio.run(layers.plan_layer(layer, None, OneDelivery()))
    assert (after.version != before.version) == outdated
