"""Zonal statistics are exactextract's, bit by bit, however the work is cut."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import exactextract
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from geo_assets.errors import ConfigError, ContractError, InputError

ALL = (
    "count", "sum", "mean", "min", "max", "stdev", "variance", "median", "quantile(q=0.25)",
    "majority", "minority", "variety", "unique", "frac", "quantile(q=0.1)",
)  # fmt: skip
SIZE = 200


def pixels(dtype: str, bands: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 40, (bands, SIZE, SIZE))
    return (values * (1.37 if np.dtype(dtype).kind == "f" else 1)).astype(dtype)


def whole(raster: Path, zones: list, statistics: tuple[str, ...]) -> list[dict[str, Any]]:
    """exactextract over the whole raster."""
    frame = gpd.GeoDataFrame(geometry=gpd.GeoSeries(zones))
    features = [
        {"type": "Feature", "properties": {}, "geometry": g.__geo_interface__}
        for g in frame.geometry
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = exactextract.exact_extract(raster, features, list(statistics))
    return [answer["properties"] for answer in answers]


def check(table: Any, raster: Path, zones: list, statistics: tuple[str, ...]) -> None:
    """Rows with statistics equal exactextract's; the others are outside and have nulls."""
    with rasterio.open(raster) as file:
        extent = shapely.box(*file.bounds)
    wanted = whole(raster, zones, statistics)
    for row, want, zone in zip(table.to_pylist(), wanted, zones, strict=True):
        inside = shapely.intersection(zone, extent).area > 0
        assert row["zone_status"] == ("ok" if inside else "outside")
        for name, value in want.items():
            if not inside:
                assert row[name] is None
            elif isinstance(value, np.ndarray):
                assert row[name] == value.tolist()
            elif value is None or value != value:
                assert row[name] is None
            else:
                assert row[name] == value, name


@pytest.mark.parametrize(
    ("dtype", "nodata", "masked", "scale"),
    [
        ("uint8", None, False, None),
        ("uint16", 0, False, None),
        ("int16", None, True, None),
        ("float32", -3.4e38, False, None),
        ("float64", float("nan"), False, None),
        ("uint16", 3, False, 0.25),
    ],
)
def test_statistics_equal_exactextract_on_the_whole(
    tmp_path: Path, made: Any, compute: Any, dtype: str, nodata: float, masked: bool, scale: float
) -> None:
    values = pixels(dtype)
    if nodata is not None:
        values[:, 40:90, 30:160] = nodata
        values[values == 5] = nodata
    if dtype == "float32":
        values[:, 120:130, 50:60] = np.nan
    mask = np.random.default_rng(1).integers(0, 2, (SIZE, SIZE)) * 255 if masked else None
    raster = made.scene(
        tmp_path / "s.tif", values, nodata=nodata,
        mask=None if mask is None else mask.astype("uint8"), scale=scale,
    )  # fmt: skip
    zones = made.blobs(60, 2, SIZE)
    table, facts = compute(raster, made.layer(tmp_path / "z.parquet", zones), ALL)
    check(table, raster, zones, ALL)
    assert table.column("name").to_pylist() == [f"z{i}" for i in range(60)]
    assert facts["status"]["outside"] == table.column("mean").null_count - sum(
        c == 0 for c in table.column("coverage").to_pylist() if c is not None
    )


def test_the_number_of_groups_changes_nothing(tmp_path: Path, made: Any, compute: Any) -> None:
    raster = made.scene(tmp_path / "s.tif", pixels("float32", 3), nodata=0)
    zones = made.layer(tmp_path / "z.parquet", made.blobs(80, 3, SIZE, 400.0))
    one, _ = compute(raster, zones, ALL, chunks=1)
    for chunks in (2, 7, 80):
        assert compute(raster, zones, ALL, chunks=chunks)[0].equals(one)
    tight, _ = compute(raster, zones, ALL, chunks=3, cache_bytes=1_000_000)
    assert tight.equals(one)


def test_bands_are_named_as_exactextract_does(tmp_path: Path, made: Any, compute: Any) -> None:
    raster = made.scene(tmp_path / "s.tif", pixels("uint8", 3), interleave="pixel")
    zones = made.blobs(20, 4, SIZE)
    path = made.layer(tmp_path / "z.parquet", zones)
    table, _ = compute(raster, path, ("mean", "variety"))
    check(table, raster, zones, ("mean", "variety"))
    assert table.column_names[2:] == [
        "band_1_mean", "band_2_mean", "band_3_mean",
        "band_1_variety", "band_2_variety", "band_3_variety",
        "band_1_coverage", "band_2_coverage", "band_3_coverage",
    ]  # fmt: skip
    second, _ = compute(raster, path, ("mean",), bands=(2,))
    assert second.column("mean").equals(table.column("band_2_mean"))


@pytest.mark.parametrize("block", [32, 256, None])
def test_a_group_reads_each_block_once(
    tmp_path: Path, made: Any, compute: Any, block: int | None
) -> None:
    options = {"tiled": False} if block is None else {"blockxsize": block, "blockysize": block}
    big = np.tile(pixels("uint8"), (1, 8, 8))
    raster = made.scene(tmp_path / "s.tif", big, **options)
    zones = made.layer(tmp_path / "z.parquet", made.blobs(200, 5, SIZE * 8, 900.0))
    _, facts = compute(raster, zones, ("mean",), chunks=3)
    assert len(facts["chunks"]) == 3
    for chunk in facts["chunks"]:
        assert 0 < chunk["block_reads"] <= chunk["blocks"]


def test_zones_of_another_crs_are_brought_into_the_rasters(
    tmp_path: Path, made: Any, compute: Any
) -> None:
    raster = made.scene(tmp_path / "s.tif", pixels("int32"))
    zones = np.array(made.blobs(30, 6, SIZE), object)
    away = Transformer.from_crs(made.CRS, 4326, always_xy=True)
    lonlat = shapely.transform(zones, lambda c: np.column_stack(away.transform(*c.T)))
    table, facts = compute(
        raster, made.layer(tmp_path / "z.parquet", list(lonlat), "EPSG:4326"), ALL
    )
    back = Transformer.from_crs(4326, made.CRS, always_xy=True)
    moved = shapely.transform(lonlat, lambda c: np.column_stack(back.transform(*c.T)))
    check(table, raster, list(moved), ALL)
    assert "UTM" in facts["operation"]["name"]


def test_an_accuracy_that_cannot_be_reached_is_an_error(
    tmp_path: Path, made: Any, compute: Any
) -> None:
    raster = made.scene(tmp_path / "s.tif", pixels("uint8"), crs="EPSG:26917")
    zones = made.layer(tmp_path / "z.parquet", [shapely.box(-81, 35, -80, 36)], "EPSG:4267")
    with pytest.raises(ContractError, match="accura"):
        compute(raster, zones, ("mean",), required_accuracy_m=0.01)


def test_coverage_is_the_part_of_a_zone_with_valid_data(
    tmp_path: Path, made: Any, compute: Any
) -> None:
    values = np.ones((1, SIZE, SIZE), "uint8")
    values[:, :, 100:] = 0
    raster = made.scene(tmp_path / "s.tif", values, nodata=0)
    west, north = made.WEST, made.NORTH
    zones = [
        shapely.box(west + 100, north - 300, west + 300, north - 100),
        shapely.box(west - 200, north - 300, west + 200, north - 100),
        shapely.box(west + 900, north - 300, west + 1100, north - 100),
        shapely.box(west + 1500, north - 300, west + 1700, north - 100),
        shapely.box(west - 500, north - 300, west - 100, north - 100),
        shapely.box(west - 500, north - 300, west, north - 100),
    ]
    table, facts = compute(raster, made.layer(tmp_path / "z.parquet", zones), ("count", "mean"))
    assert table.column("coverage").to_pylist() == pytest.approx([1, 0.5, 0.5, 0, None, None])
    assert table.column("count").to_pylist() == [400, 400, 200, 0, None, None]
    assert table.column("mean").to_pylist() == [1, 1, 1, None, None, None]
    assert facts["status"] == {"ok": 4, "outside": 2, "null_geometry": 0, "invalid": 0}
    assert facts["findings"]["counts"] == {}


def test_zones_that_cannot_be_computed_are_named_and_null(
    tmp_path: Path, made: Any, compute: Any
) -> None:
    raster = made.scene(tmp_path / "s.tif", pixels("uint8"))
    box = shapely.box(made.WEST + 100, made.NORTH - 300, made.WEST + 300, made.NORTH - 100)
    ring = shapely.get_coordinates(box)
    ring[[1, 2]] = ring[[2, 1]]
    nan = shapely.get_coordinates(box)
    nan[1] = np.nan
    with np.errstate(invalid="ignore"):
        zones = [
            box,
            None,
            shapely.Polygon(),
            shapely.Polygon(ring),
            box.centroid,
            shapely.Polygon(nan),
        ]
    table, facts = compute(raster, made.layer(tmp_path / "z.parquet", zones), ("count",))
    assert table.column("count").to_pylist() == [400, None, None, None, None, None]
    assert facts["findings"]["counts"] == {"null_geometry": 2, "invalid": 3}
    assert [d["feature"] for d in facts["findings"]["samples"]] == ["z1", "z2", "z3", "z4", "z5"]


def test_a_zone_larger_than_the_budget_is_done_in_parts(
    tmp_path: Path, made: Any, compute: Any
) -> None:
    raster = made.scene(tmp_path / "s.tif", pixels("uint16"))
    zones = made.layer(
        tmp_path / "z.parquet", [shapely.box(0, 0, 1e6, 1e7), *made.blobs(5, 7, SIZE)]
    )
    once, _ = compute(raster, zones, ALL)
    parts, _ = compute(raster, zones, ALL, max_cells=900)
    for name in once.column_names:
        for got, want in zip(parts[name].to_pylist(), once[name].to_pylist(), strict=True):
            if isinstance(want, list):
                got, want = sorted(got), sorted(want)  # noqa: PLW2901
            assert got == (
                pytest.approx(want, rel=1e-9)
                if want is not None and name not in ("name", "zone_status")
                else want
            )


def test_tiles_of_one_grid_are_one_raster(tmp_path: Path, made: Any, compute: Any) -> None:
    values = pixels("int16", 2)
    raster = made.scene(tmp_path / "s.tif", values, nodata=-1)
    tiles = []
    for row in range(0, SIZE, 64):
        for col in range(0, SIZE, 64):
            corner = Affine(10, 0, made.WEST + col * 10, 0, -10, made.NORTH - row * 10)
            cut = values[:, row : row + 64, col : col + 64]
            tiles.append(
                made.scene(tmp_path / f"t{row}-{col}.tif", cut, nodata=-1, transform=corner)
            )
    zones = made.layer(tmp_path / "z.parquet", made.blobs(50, 8, SIZE, 500.0))
    want, _ = compute(raster, zones, ALL)
    got, _ = compute(tiles[::-1], zones, ALL, chunks=4)
    assert got.equals(want)
    missing = [tile for tile in tiles if tile.name != "t64-64.tif"]
    hole = values.copy()
    hole[:, 64:128, 64:128] = -1
    want, _ = compute(made.scene(tmp_path / "h.tif", hole, nodata=-1), zones, ALL)
    assert compute(missing, zones, ALL)[0].equals(want)


def test_tiles_off_the_grid_are_refused(tmp_path: Path, made: Any, compute: Any) -> None:
    one = made.scene(tmp_path / "a.tif", pixels("uint8"))
    zones = made.layer(tmp_path / "z.parquet", made.blobs(1, 1, SIZE))
    for number, other in enumerate((
        {"transform": Affine(10, 0, made.WEST + 2003, 0, -10, made.NORTH)},
        {"transform": Affine(20, 0, made.WEST + 2000, 0, -20, made.NORTH)},
        {"crs": "EPSG:32634"},
        {"nodata": 9},
    )):  # fmt: skip
        two = made.scene(tmp_path / f"b{number}.tif", pixels("uint8"), **other)
        with pytest.raises(InputError, match="one grid"):
            compute([one, two], zones, ("mean",))


def test_what_cannot_be_right_is_refused(tmp_path: Path, made: Any, compute: Any) -> None:
    raster = made.scene(tmp_path / "s.tif", pixels("uint8"))
    zones = made.layer(tmp_path / "z.parquet", made.blobs(1, 1, SIZE))
    with pytest.raises(ConfigError, match="statistic"):
        compute(raster, zones, ("average",))
    with pytest.raises(ConfigError, match="statistic"):
        compute(raster, zones, ("quantile(q=[1])",))
    with pytest.raises(ConfigError, match="band"):
        compute(raster, zones, ("mean",), bands=(2,))
    with pytest.raises(InputError, match="block"):
        compute(raster, zones, ("mean",), cache_bytes=1000)
    turned = Affine(10, 2, made.WEST, 2, -10, made.NORTH)
    with pytest.raises(InputError, match="rows run"):
        compute(made.scene(tmp_path / "r.tif", pixels("uint8"), transform=turned), zones, ("mean",))


DATA = os.environ.get("GEO_ASSETS_TEST_DATA")


@pytest.mark.skipif(not DATA, reason="GEO_ASSETS_TEST_DATA is not set")
def test_real_scene_and_zones(tmp_path: Path, compute: Any) -> None:
    folder = Path(DATA or "") / "area" / "sao_miguel"
    (zones,) = [p for p in folder.iterdir() if p.suffix in (".gpkg", ".shp", ".geojson")]
    frame = gpd.read_file(zones)
    frame["name"] = [f"z{i}" for i in range(len(frame))]
    frame[["name", "geometry"]].to_parquet(tmp_path / "z.parquet")
    for raster in folder.glob("*.tif"):
        table, _ = compute(raster, tmp_path / "z.parquet", ("count", "mean", "majority", "frac"))
        with rasterio.open(raster) as file:
            shapes = list(frame.to_crs(file.crs).geometry)
        check(table, raster, shapes, ("count", "mean", "majority", "frac"))
