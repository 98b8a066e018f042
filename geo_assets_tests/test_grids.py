"""Grids: OGC tiles, square cells, and that no cell with a pixel is ever missing."""

from __future__ import annotations

import pickle
from typing import Any

import morecantile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geo_assets.errors import ConfigError
from geo_assets.grids import Canvas, Extent, Grid, SquareGrid, TileMatrixGrid, grid_from_dict

MERCATOR = TileMatrixGrid("WebMercatorQuad", 10, 4096)
UTM = SquareGrid("EPSG:32633", 10.0, 512)


def test_tiles_are_those_of_the_ogc_set() -> None:
    for name in ("WebMercatorQuad", "WorldCRS84Quad", "EuropeanETRS89_LAEAQuad", "NZTM2000Quad"):
        tms = morecantile.tms.get(name)
        for level in (0, 5, 12):
            grid = TileMatrixGrid(name, level)
            matrix = tms.matrix(level)
            column, row = matrix.matrixWidth // 3, matrix.matrixHeight // 2
            cell = grid.cell(column, row)
            expected = tms.xy_bounds(morecantile.Tile(column, row, level))
            assert cell.bounds == pytest.approx(tuple(expected), rel=1e-9)
            assert cell.id == f"{level}/{column}/{row}"
            assert (cell.width, cell.height) == (256, 256)


def test_tiles_of_a_level_nest_in_those_above() -> None:
    parent = TileMatrixGrid("WebMercatorQuad", 9).cell(261, 190).bounds
    child = TileMatrixGrid("WebMercatorQuad", 10).cell(523, 381).bounds
    assert parent[2] == child[2]
    assert parent[1] == child[1]
    assert TileMatrixGrid("WebMercatorQuad", 0).cell(0, 0).bounds[0] == -20037508.342789244


def test_square_cells_are_counted_from_the_origin() -> None:
    grid = SquareGrid("EPSG:32633", 10.0, 512, origin=(100.0, -20.0))
    assert grid.cell(0, 0).bounds == (100.0, -20.0, 5220.0, 5100.0)
    assert grid.cell(-3, 12).id == "-3/12"
    assert grid.cell(2, 1).transform == (10.0, 0.0, 10340.0, 0.0, -10.0, 10220.0)


@pytest.mark.parametrize("grid", [MERCATOR, UTM])
def test_grids_survive_pickle_and_json(grid: Grid) -> None:
    assert pickle.loads(pickle.dumps(grid)) == grid
    again = grid_from_dict(grid.to_dict())
    assert again.to_dict() == grid.to_dict()
    assert again.cell(3, 5) == grid.cell(3, 5)


def test_grids_are_told_in_words() -> None:
    told = str(TileMatrixGrid("WebMercatorQuad", 11, 1024))
    assert told == "WebMercatorQuad, level 11, tiles of 1024 px"
    told = str(SquareGrid("EPSG:25832", 0.2))
    assert told == "ETRS89 / UTM zone 32N, pixels of 0.2 metre, tiles of 4096 px"


@given(x=st.integers(-(10**10), 10**10), y=st.integers(-(10**10), 10**10))
def test_every_point_has_one_owner(x: float, y: float) -> None:
    x, y = x / 512, y / 512
    for grid in (TileMatrixGrid("WebMercatorQuad", 3), SquareGrid("EPSG:3857", 1000.0, 512)):
        cell = grid.owner(x, y)
        assert cell is not None
        left, bottom, right, top = cell.bounds
        assert left <= x <= right
        assert bottom <= y <= top


def test_edges_belong_to_the_cell_right_of_and_below_them() -> None:
    grid = SquareGrid("EPSG:32633", 1.0, 16)
    owner = grid.owner(16.0, 16.0)
    assert owner is not None
    assert (owner.column, owner.row) == (1, 0)
    tile = TileMatrixGrid("WorldCRS84Quad", 1).owner(0.0, 0.0)
    assert tile is not None
    assert (tile.column, tile.row) == (2, 1)
    assert TileMatrixGrid("WorldCRS84Quad", 1).owner(0.0, 91.0) is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SquareGrid("EPSG:4326", 10.0), "projected CRS.*WorldCRS84Quad"),
        (lambda: SquareGrid("EPSG:4171", 10.0), "projected CRS"),
        (lambda: SquareGrid("nonsense", 10.0), "a CRS that PROJ knows"),
        (lambda: SquareGrid("EPSG:32633", 0.0), "positive pixel size"),
        (lambda: SquareGrid("EPSG:32633", float("nan")), "positive pixel size"),
        (lambda: SquareGrid("EPSG:32633", 10.0, 100), "multiple of 16"),
        (lambda: SquareGrid("EPSG:32633", 10.0, 256, origin=(0.0, float("inf"))), "origin"),
        (lambda: TileMatrixGrid("WebMercator", 3), "Near: WebMercatorQuad"),
        (lambda: TileMatrixGrid("WebMercatorQuad", 33), "0 to 24"),
        (lambda: TileMatrixGrid("WebMercatorQuad", 3, 1000), "multiple of 16"),
        (lambda: TileMatrixGrid("CDB1GlobalGrid", 3), "equal square tiles"),
        (lambda: MERCATOR.cell(-1, 0), "1024 x 1024 tiles"),
        (lambda: grid_from_dict({"kind": "hexagon"}), "tile_matrix or square"),
    ],
)
def test_what_makes_no_grid_is_refused_with_what_would(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


def test_a_local_geographic_crs_gets_its_utm_zone_as_advice() -> None:
    with pytest.raises(ConfigError, match="EPSG:32620"):
        SquareGrid("EPSG:4621", 10.0)  # Fort Marigot, in the Caribbean


EXTENTS = {
    "utm": Extent(crs="EPSG:32633", transform=(30, 0, 5e5, 0, -30, 5.3e6), width=300, height=200),
    "utm far off its zone": Extent(
        crs="EPSG:32632", transform=(3000, 0, 1e6, 0, -3000, 6e6), width=300, height=200
    ),
    "rotated": Extent(
        crs="EPSG:32633", transform=(21, 21, 5e5, 21, -21, 5.3e6), width=300, height=200
    ),
    "beyond 180": Extent.of_bounds("EPSG:4326", (170, -20, 190, -5)),
    "zero to 360": Extent.of_bounds("EPSG:4326", (0, -89, 360, 89)),
    "utm zone 60": Extent.of_bounds("EPSG:32660", (400_000, 5e6, 1_100_000, 5.5e6)),
    "south pole": Extent.of_bounds("EPSG:3031", (-2e6, -2e6, 2e6, 2e6)),
    "north pole, off centre": Extent.of_bounds("EPSG:3413", (-5e5, -1e6, 2e6, 3e6)),
    "sinusoidal": Extent.of_bounds("+proj=sinu +R=6371007.181", (-1.1e7, 3.3e6, -1e7, 4.4e6)),
    "one pixel": Extent(crs="EPSG:4326", transform=(1e-4, 0, 15, 0, -1e-4, 47), width=1, height=1),
}
GRIDS: dict[str, Grid] = {
    "mercator": TileMatrixGrid("WebMercatorQuad", 7),
    "degrees": TileMatrixGrid("WorldCRS84Quad", 6),
    "utm": SquareGrid("EPSG:32633", 100.0, 256),
    "pacific": SquareGrid("EPSG:3832", 1000.0, 256),
    "antarctic": SquareGrid("EPSG:3031", 1000.0, 256),
}


ENDLESS = {
    ("zero to 360", "utm"), ("zero to 360", "pacific"), ("zero to 360", "antarctic"),
    ("south pole", "utm"), ("north pole, off centre", "utm"),
    ("north pole, off centre", "antarctic"), ("south pole", "pacific"),
    ("north pole, off centre", "pacific"),
}  # fmt: skip


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("grid", GRIDS)
def test_no_cell_with_a_pixel_is_missing(extent: str, grid: str) -> None:
    """Brute force: a dense lattice of the source's own points, each put into its cell."""
    source, target = EXTENTS[extent], GRIDS[grid]
    if (extent, grid) in ENDLESS:
        pytest.skip("the scene has no end on this plane")
    cells = {(cell.column, cell.row) for cell in target.cells_over(source)}
    x = (np.arange(200) + 0.5) * source.width / 200
    y = (np.arange(200) + 0.5) * source.height / 200
    columns, rows = (part.ravel() for part in np.meshgrid(x, y))
    a, b, c, d, e, f = source.transform
    there = Transformer.from_crs(CRS(source.crs), CRS(target.crs_wkt), always_xy=True)
    px, py = there.transform(a * columns + b * rows + c, d * columns + e * rows + f)
    if "CRS84" in str(target):
        px = (px + 180) % 360 - 180
    seen = {
        (cell.column, cell.row)
        for point in np.unique(_coarse(px, py, target), axis=0)
        if np.isfinite(point).all() and (cell := target.owner(*point)) is not None
    }
    assert seen - cells == set()
    assert len(cells) <= 4 * len(seen) + 8, "far more cells than have pixels"


def _coarse(x: Any, y: Any, grid: Grid) -> Any:
    """Points thinned to a few for each cell, so that the brute force is not slow."""
    cell = grid.cell(0, 0)
    side = (cell.bounds[2] - cell.bounds[0]) / 4
    finite = np.isfinite(x) & np.isfinite(y)
    points = np.stack([x[finite], y[finite]], axis=1)
    _, first = np.unique(np.floor(points / side), axis=0, return_index=True)
    return points[first]


@settings(max_examples=30, deadline=None)
@given(
    lon=st.floats(-180, 180), lat=st.floats(-80, 80), size=st.floats(0.001, 5.0),
    turn=st.floats(0, 6.28), level=st.integers(3, 9),
)  # fmt: skip
def test_random_rotated_scenes_miss_no_cell(
    lon: float, lat: float, size: float, turn: float, level: int
) -> None:
    cos, sin = size / 64 * np.cos(turn), size / 64 * np.sin(turn)
    extent = Extent(crs="EPSG:4326", transform=(cos, sin, lon, sin, -cos, lat), width=64, height=64)
    grid = TileMatrixGrid("WorldCRS84Quad", level)
    cells = {(cell.column, cell.row) for cell in grid.cells_over(extent)}
    columns, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    x, y = cos * columns + sin * rows + lon, sin * columns - cos * rows + lat
    for px, py in zip(((x + 180) % 360 - 180).ravel(), y.ravel(), strict=True):
        owner = grid.owner(px, py)
        assert owner is None or (owner.column, owner.row) in cells


def test_a_scene_on_a_fine_grid_is_planned_in_moments() -> None:
    world_cover = Extent.of_bounds("EPSG:4326", (6, 0, 9, 3))
    assert len(TileMatrixGrid("WebMercatorQuad", 14).cells_over(world_cover)) < 20_000
    with pytest.raises(ConfigError, match="100,000 cells"):
        TileMatrixGrid("WebMercatorQuad", 20).cells_over(world_cover)


def test_the_canvas_holds_all_cells() -> None:
    cells = UTM.cells_over(EXTENTS["utm"])
    canvas = Canvas.of(cells)
    offsets = {canvas.offset(cell) for cell in cells}
    assert len(offsets) == len(cells)
    assert min(offsets)[0] == 0
    assert canvas.width == max(x for x, _ in offsets) + 512
    assert canvas.height == max(y for _, y in offsets) + 512


def test_extents_survive_json() -> None:
    for extent in EXTENTS.values():
        assert Extent.from_dict(extent.to_dict()) == extent
