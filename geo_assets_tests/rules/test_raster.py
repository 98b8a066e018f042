"""Raster rules find what is planted, say where, and find nothing in sound tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window

from geo_assets.grids import SquareGrid
from geo_assets.kernels.raster.tiff import directories
from geo_assets.kernels.scene import SceneSpec, inspect_scene
from geo_assets.kernels.tile_checks import RULES, TileCheckSpec, check_tiles
from geo_assets.kernels.tiling import cut_tiles, plan_chunks
from geo_assets.model import Findings

GRID = SquareGrid("EPSG:32633", 10.0, 1024)
NOISE = np.random.default_rng(5).integers(1, 4000, (1, 1024, 1024)).astype(np.uint16)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tile as the kernel makes it, and its cell."""
    folder = tmp_path_factory.mktemp("sound")
    scene = folder / "scene.tif"
    with rasterio.open(scene, "w", driver="GTiff", width=1024, height=1024, count=1,
                       dtype="uint16", crs="EPSG:32633", nodata=0,
                       transform=Affine(10, 0, 501_760, 0, -10, 5_304_320)) as dataset:  # fmt: skip
        dataset.write(NOISE)
    facts = inspect_scene(SceneSpec(files=(scene,)), folder).facts
    for chunk in plan_chunks(facts, GRID, [scene], resampling="nearest"):
        result = cut_tiles(chunk.spec, folder)
        for tile in result.files:
            if tile.facts["valid_share"] == 1:
                return tile.path, GRID.cell(tile.facts["column"], tile.facts["row"])
    raise AssertionError


@pytest.fixture
def spec(sound: Any, tmp_path: Path) -> Iterator[TileCheckSpec]:
    """A check of a copy of the sound tile, to be spoiled."""
    path, cell = sound
    copy = tmp_path / "tile.tif"
    copy.write_bytes(path.read_bytes())
    yield TileCheckSpec(files=(copy,), names=("49/518.tif",), cells=(cell,), crs=GRID.crs_wkt,
                        dtype="uint16", bands=1, most_nodata=0.2)  # fmt: skip


def run(spec: TileCheckSpec) -> dict[str, Findings]:
    facts = check_tiles(spec, Path()).facts
    assert tuple(facts) == RULES
    return {rule: Findings.from_dict(facts[rule]) for rule in RULES}


def kinds(findings: dict[str, Findings]) -> set[str]:
    return {kind for found in findings.values() for kind in found.counts}


def test_a_sound_tile_has_no_defects(spec: TileCheckSpec) -> None:
    findings = run(spec)
    assert kinds(findings) == set()
    assert [rule for rule, found in findings.items() if not found.checked] == ["seams"]


def test_a_block_that_cannot_be_decoded_is_located(spec: TileCheckSpec) -> None:
    _damage(spec.files[0], 2, slice(10, 200))
    (defect,) = run(spec)["readable"].samples
    assert defect.kind == "damaged_block"
    assert defect.feature == "49/518.tif"
    assert defect.window == (0, 512, 512, 512)
    assert defect.lon == pytest.approx(15.058, abs=1e-3)
    assert defect.lat == pytest.approx(47.823, abs=1e-3)


def test_a_flipped_byte_that_gdal_reads_over_is_found(spec: TileCheckSpec) -> None:
    """Some damage stops no decoder; the checksum of the deflate stream still tells."""
    path = spec.files[0]
    whole = path.read_bytes()
    image = directories(path)[0]
    silent = 0
    for place in range(200, 200 + 40 * 97, 97):
        body = bytearray(whole)
        body[int(image.offsets[3]) + place] ^= 0x10
        path.write_bytes(body)
        try:
            with rasterio.open(path) as dataset:
                silent += bool((dataset.read() != NOISE).any())
        except rasterio.errors.RasterioError:
            continue
        found = run(replace(spec, most_nodata=1.0, cog=False))["readable"]
        assert found.counts == {"damaged_block": 1}
        assert found.samples[0].window == (512, 512, 512, 512)
        break
    assert silent, "GDAL reads every flipped byte as an error now: intact_blocks may go"


def _damage(path: Path, block: int, where: slice) -> None:
    image = directories(path)[0]
    body = bytearray(path.read_bytes())
    start = int(image.offsets[block])
    length = where.stop - where.start
    body[start + where.start : start + where.stop] = b"\xff" * length
    path.write_bytes(body)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"transform": Affine(10, 0, 501_765, 0, -10, 5_304_320)}, {"off_grid"}),
        ({"transform": Affine(10.001, 0, 501_760, 0, -10, 5_304_320)}, {"off_grid"}),
        ({"transform": Affine(10, 0.01, 501_760, 0, -10, 5_304_320)}, {"off_grid"}),
        ({"crs": "EPSG:32634"}, {"wrong_crs"}),
        ({"nodata": None}, {"nodata_undeclared"}),
        ({"dtype": "int32"}, {"wrong_dtype"}),
        ({"count": 2}, {"wrong_bands", "too_little_data"}),
        ({"width": 1000}, {"wrong_size", "off_grid"}),
    ],
)
def test_what_is_not_as_declared_is_named(
    change: dict[str, Any], found: set[str], spec: TileCheckSpec
) -> None:
    with rasterio.open(spec.files[0]) as dataset:
        profile = dataset.profile | change
    with rasterio.open(spec.files[0], "w", **profile) as dataset:
        data = NOISE[:, :, : profile["width"]].astype(profile["dtype"])
        dataset.write(data[0], 1)
    findings = run(replace(spec, cog=False))
    assert kinds(findings) - {"off_grid", "too_little_data"} == found - {
        "off_grid", "too_little_data"}  # fmt: skip
    assert ("off_grid" in found) <= ("off_grid" in kinds(findings)) or "wrong_size" in found


def test_too_little_data_is_told_with_the_share(spec: TileCheckSpec) -> None:
    with rasterio.open(spec.files[0], "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(np.zeros((1, 512, 1024), np.uint16), window=Window(0, 0, 1024, 512))
    findings = run(replace(spec, cog=False))
    (defect,) = findings["nodata"].samples
    assert defect.kind == "too_little_data"
    assert "50.0% of pixels without data, 20.0% allowed" in defect.detail


@pytest.mark.parametrize(
    ("options", "overviews", "found"),
    [
        ({"tiled": False}, True, {"not_tiled"}),
        ({"tiled": True, "blockxsize": 256, "blockysize": 256}, False, {"no_overviews"}),
        ({"tiled": True, "blockxsize": 256, "blockysize": 256}, True,
         {"header_not_first", "data_in_disorder"}),
    ],
)  # fmt: skip
def test_layouts_that_serve_no_http_reader_are_told(
    options: dict[str, Any], overviews: bool, found: set[str], spec: TileCheckSpec, tmp_path: Path
) -> None:
    path = tmp_path / "other.tif"
    with rasterio.open(path, "w", driver="GTiff", width=1024, height=1024, count=1, nodata=0,
                       dtype="uint16", crs="EPSG:32633", **options,
                       transform=Affine(10, 0, 501_760, 0, -10, 5_304_320)) as dataset:  # fmt: skip
        dataset.write(NOISE)
    if overviews:
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2])
    findings = run(replace(spec, files=(path,)))
    assert found <= set(findings["cog"].counts)


def test_a_file_that_is_no_raster_is_a_defect_not_an_error(
    spec: TileCheckSpec, tmp_path: Path
) -> None:
    path = tmp_path / "broken.tif"
    path.write_bytes(spec.files[0].read_bytes()[:5000])
    findings = run(replace(spec, files=(path,)))
    assert findings["readable"].counts == {"unreadable": 1}
    assert "cut short" in findings["readable"].samples[0].detail
