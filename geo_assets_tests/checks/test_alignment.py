"""Scenes of a series lie on one pixel grid, or it is said how far beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from geo_assets.checks.alignment import aligned
from geo_assets.kernels.raster.footprint import lonlat_place
from geo_assets.model import Artifact, Findings
from geo_assets_tests.checks.conftest import Shelf

BASE = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0)


def _scene(transform: Sequence[float], crs: str = "EPSG:32633", files: int = 1) -> dict[str, Any]:
    box, _ = lonlat_place(CRS.from_user_input(crs), Affine(*transform), 1000, 800)
    extent = {"crs": crs, "transform": list(transform), "width": 1000, "height": 800}
    return {"files": [{"extent": extent}] * files, "bbox": box}


async def _series(shelf: Shelf, *scenes: dict[str, Any]) -> list[Artifact]:
    file = shelf.folder / "scene.tif"
    file.write_bytes(b"scene")
    return [
        await shelf.publish("raw/scenes", f"v{number}", [(file, "image/tiff")],
                            partition=f"2026-01-{number + 1:02d}", scene=scene)
        for number, scene in enumerate(scenes)
    ]  # fmt: skip


async def _second(shelf: Shelf, scene: dict[str, Any]) -> Findings:
    first, second = await _series(shelf, _scene(BASE), scene)
    assert (await aligned(first, shelf.store, Path())).total == 0
    return await aligned(second, shelf.store, Path())


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (BASE, "EPSG:32633"),
        ((10.0, 0, 500_000 + 30.0, 0, -10.0, 5_300_000 - 70_000.0), "EPSG:32633"),
        ((10.0, 0, 500_000.004, 0, -10.0, 5_300_000.0), "EPSG:32633"),  # rounding
        (BASE, CRS.from_epsg(32633).to_wkt()),
    ],
)
async def test_scenes_shifted_by_whole_pixels_are_aligned(
    shelf: Shelf, transform: Sequence[float], crs: str
) -> None:
    found = await _second(shelf, _scene(transform, crs))
    assert (found.checked, found.total) == (1, 0)


@pytest.mark.parametrize(
    ("transform", "crs", "kind", "said"),
    [
        ((10.0, 0, 500_003.0, 0, -10.0, 5_299_995.0), "EPSG:32633", "off_grid",
         "Shifted by +0.300 pixels in x and +0.500 in y"),
        ((10.01, 0, 500_000.0, 0, -10.01, 5_300_000.0), "EPSG:32633", "other_pixels",
         "10.01 and 10 wide"),
        (BASE, "EPSG:32634", "other_crs", "zone 34N, not WGS 84 / UTM zone 33N"),
    ],
)  # fmt: skip
async def test_what_lies_beside_the_grid_is_measured_and_placed(
    shelf: Shelf, transform: Sequence[float], crs: str, kind: str, said: str
) -> None:
    found = await _second(shelf, _scene(transform, crs))
    assert found.counts == {kind: 1}
    (defect,) = found.samples
    assert defect.feature == "2026-01-02"
    assert said in defect.detail
    assert "raw/scenes[2026-01-01] is the reference" in defect.detail
    assert defect.lat == pytest.approx(47.8, abs=0.2)


async def test_another_number_of_files_is_told(shelf: Shelf) -> None:
    found = await _second(shelf, _scene(BASE, files=2))
    assert found.counts == {"other_files": 1}
