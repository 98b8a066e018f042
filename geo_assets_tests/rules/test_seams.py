"""Tiles of one scene continue each other; a line twice, missing or of another date is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from geo_assets.grids import Cell, SquareGrid
from geo_assets.kernels.tile_checks import TileCheckSpec, check_tiles
from geo_assets.model import Findings

SIZE = 256
GRID = SquareGrid("EPSG:32633", 10.0, SIZE)
NORTH = (0, 0), (1, 0), (0, 1), (1, 1)
"""Four tiles: places eastwards and southwards."""


def _smooth() -> NDArray[Any]:
    y, x = np.mgrid[0 : 2 * SIZE + 8, 0 : 2 * SIZE + 8]
    return (2000 + 900 * np.sin(x / 17) + 700 * np.cos(y / 23) + 3 * x).astype(np.float32)


def _noise() -> NDArray[Any]:
    return np.random.default_rng(3).integers(1, 4000, (2 * SIZE + 8,) * 2).astype(np.uint16)


def _classes() -> NDArray[Any]:
    coarse = np.random.default_rng(4).integers(1, 9, (40, 40)).astype(np.uint8)
    return np.kron(coarse, np.ones((14, 14), np.uint8))[: 2 * SIZE + 8, : 2 * SIZE + 8]


def _enlarged() -> NDArray[Any]:
    """Pixels four times as fine as the data: what bilinear warping of a coarse scene gives."""
    coarse = np.random.default_rng(5).uniform(0, 100, (150, 150))
    places = np.arange(2 * SIZE + 8) / 4
    rows = np.stack([np.interp(places, np.arange(150), row) for row in coarse])
    return np.stack([np.interp(places, np.arange(150), each) for each in rows.T], axis=1)


def _tile(scene: NDArray[Any], x: int, y: int, shift: int = 0) -> NDArray[Any]:
    left = 4 + x * SIZE + shift
    return scene[4 + y * SIZE : 4 + (y + 1) * SIZE, left : left + SIZE]


def _spec(folder: Path, tiles: dict[tuple[int, int], NDArray[Any]]) -> TileCheckSpec:
    files, names, cells = [], [], []
    for (x, y), data in tiles.items():
        cell = _cell(x, y)
        path = folder / f"{cell.id.replace('/', '-')}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=SIZE, height=SIZE, count=1, nodata=0,
            dtype=data.dtype, crs="EPSG:32633", tiled=True, blockxsize=256, blockysize=256,
            transform=Affine(*cell.transform),
        ) as dataset:  # fmt: skip
            dataset.write(data, 1)
        files.append(path)
        names.append(path.name)
        cells.append(cell)
    return TileCheckSpec(files=tuple(files), names=tuple(names), cells=tuple(cells),
                         crs=GRID.crs_wkt, cog=False)  # fmt: skip


def _cell(x: int, y: int) -> Cell:
    first = GRID.owner(501_000, 5_301_000)
    assert first is not None
    left, _, _, top = first.bounds
    cell = GRID.owner(left + (x + 0.5) * SIZE * 10, top - (y + 0.5) * SIZE * 10)
    assert cell is not None
    return cell


def _seams(spec: TileCheckSpec, folder: Path) -> Findings:
    return Findings.from_dict(check_tiles(spec, folder).facts["seams"])


@pytest.mark.parametrize("scene", [_smooth, _noise, _classes, _enlarged])
def test_windows_of_one_scene_have_sound_seams(
    tmp_path: Path, scene: Callable[[], NDArray[Any]]
) -> None:
    whole = scene()
    found = _seams(_spec(tmp_path, {place: _tile(whole, *place) for place in NORTH}), tmp_path)
    assert (found.checked, found.total) == (4, 0)


@pytest.mark.parametrize(
    ("scene", "shift", "kind"),
    [
        (_smooth, -1, "seam_doubled_line"),
        (_noise, -1, "seam_doubled_line"),
        (_smooth, 1, "seam_step"),  # a line is missing
        (_smooth, 3, "seam_step"),
    ],
)
def test_a_tile_shifted_by_pixels_is_found_at_its_edge(
    tmp_path: Path, scene: Callable[[], NDArray[Any]], shift: int, kind: str
) -> None:
    whole = scene()
    tiles = {place: _tile(whole, *place) for place in NORTH}
    tiles[1, 0] = _tile(whole, 1, 0, shift)
    found = _seams(_spec(tmp_path, tiles), tmp_path)
    assert found.counts[kind] >= 1
    defect = found.samples[0]
    assert defect.kind == kind
    assert defect.feature == f"{_cell(0, 0).id.replace('/', '-')}.tif"
    assert defect.lon == pytest.approx(15.04, abs=0.05)
    assert _cell(1, 0).id.replace("/", "-") in defect.detail


def test_a_tile_of_another_date_is_found(tmp_path: Path) -> None:
    whole = _smooth()
    tiles = {place: _tile(whole, *place) for place in NORTH}
    tiles[1, 1] = tiles[1, 1] * np.float32(1.2)
    found = _seams(_spec(tmp_path, tiles), tmp_path)
    assert found.counts == {"seam_step": 2}


def test_files_that_do_not_touch_are_found(tmp_path: Path) -> None:
    whole = _smooth()
    spec = _spec(tmp_path, {place: _tile(whole, *place) for place in NORTH})
    with rasterio.open(spec.files[3], "r+") as dataset:
        dataset.transform = dataset.transform @ Affine.translation(0.5, 0)
    found = _seams(spec, tmp_path)
    assert found.counts == {"seam_gap": 2}
    assert "0.5 pixels apart" in found.samples[0].detail


def test_tiles_of_other_chunks_are_only_neighbours(tmp_path: Path) -> None:
    whole = _smooth()
    tiles = {place: _tile(whole, *place) for place in NORTH}
    tiles[1, 0] = _tile(whole, 1, 0, -1)
    spec = _spec(tmp_path, tiles)

    def part(*own: int) -> TileCheckSpec:
        other = [place for place in range(4) if place not in own]
        return replace(
            spec,
            **{name: tuple(getattr(spec, name)[at] for at in own)
               for name in ("files", "names", "cells")},
            beside=tuple(spec.files[at] for at in other),
            beside_names=tuple(spec.names[at] for at in other),
            beside_cells=tuple(spec.cells[at] for at in other),
        )  # fmt: skip

    whole_found = _seams(spec, tmp_path)
    parts = [_seams(part(0, 1), tmp_path), _seams(part(2, 3), tmp_path)]
    assert sum(found.checked for found in parts) == whole_found.checked == 4
    assert parts[0].counts == whole_found.counts
    assert parts[1].total == 0


def test_edges_without_data_are_not_judged(tmp_path: Path) -> None:
    whole = _smooth()
    tiles = {place: _tile(whole, *place).copy() for place in NORTH}
    tiles[0, 0][:, -3:] = 0
    found = _seams(_spec(tmp_path, tiles), tmp_path)
    assert (found.checked, found.total) == (4, 0)
