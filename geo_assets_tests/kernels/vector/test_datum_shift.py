"""The shift of a reprojection is the distance that the datum makes, and its picture says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod, Transformer

from geo_assets.kernels.datum_shift import SAMPLES, Sampler, measure_shift
from geo_assets.kernels.reproject import plan_reprojection
from geo_assets.kernels.reproject_picture import PICTURE, draw_reprojection

BRITAIN = np.array([[530_000.0, 180_000.0], [260_000.0, 660_000.0], [90_000.0, 10_000.0]])


def test_the_shift_is_the_distance_between_the_datums_longitudes_and_latitudes() -> None:
    shift = measure_shift(plan_reprojection(CRS(27700), CRS(4326)), BRITAIN)
    assert shift is not None
    own = Transformer.from_crs(27700, 4277, always_xy=True).transform(*BRITAIN.T)
    wgs84 = Transformer.from_crs(27700, 4326, always_xy=True).transform(*BRITAIN.T)
    _, _, metres = Geod(ellps="WGS84").inv(*own, *wgs84)
    assert shift.metres == pytest.approx(metres, abs=1e-6)
    assert 80 < shift.largest_m < 140  # known: OSGB36 and WGS 84 are some 100 m apart
    at = int(np.argmax(metres))
    assert shift.worst == pytest.approx((wgs84[0][at], wgs84[1][at]))
    assert shift.facts()["largest_m"] == pytest.approx(metres.max(), abs=1e-3)


@pytest.mark.parametrize(
    ("source", "target", "places"),
    [
        (4326, 32633, [[12.0, 48.0], [15.0, 50.0]]),  # one datum, a map projection
        (3035, 25833, [[4_500_000.0, 3_000_000.0]]),
        (3857, 4326, [[1_000_000.0, 6_000_000.0]]),  # one datum, computed on a sphere
    ],
)
def test_a_map_projection_is_no_shift(source: int, target: int, places: list) -> None:
    shift = measure_shift(plan_reprojection(CRS(source), CRS(target)), np.array(places))
    assert shift is not None
    assert shift.metres == pytest.approx(0.0, abs=1e-4)
    assert shift.unshifted == pytest.approx(shift.target, abs=1e-4)


def test_grads_from_paris_are_degrees_from_greenwich() -> None:
    paris = np.array([[0.0, 54.2]])  # grads: Paris, by the datum NTF
    shift = measure_shift(plan_reprojection(CRS(4807), CRS(4326)), paris)
    assert shift is not None
    assert shift.target[0] == pytest.approx([2.337, 48.78], abs=0.002)
    assert 30 < shift.largest_m < 120


def test_a_shift_that_cannot_be_known_is_none() -> None:
    assert measure_shift(plan_reprojection(CRS(4326), CRS(4326)), BRITAIN) is None
    assert measure_shift(plan_reprojection(CRS(27700), CRS(4326)), np.empty((0, 2))) is None


def test_samples_are_bounded_and_spread_over_all_batches() -> None:
    sampler, sizes = Sampler(), [1, 5000, 3, 20_000, 1, 70_000]
    start = 0
    for size in sizes:
        x = np.arange(start, start + size, dtype=float)
        places = np.column_stack([x, x])
        sampler.add(np.concatenate([places, [[np.nan, 0.0]]]))
        start += size
    kept = sampler.places[:, 0]
    assert SAMPLES / 2 <= len(kept) <= SAMPLES
    assert len(set(np.diff(kept))) == 1, "every n-th place of the whole"
    assert kept[-1] > start - 64


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (27700, 4326, "largest datum shift"),
        (4326, 32633, "no datum shift"),
        (4267, 4269, "accuracy unknown; better with the grid"),
    ],
)
def test_the_picture_is_small_and_tells_its_numbers(
    tmp_path: Path, source: int, target: int, said: str
) -> None:
    rng = np.random.default_rng(1)
    boxes = {27700: (1e5, 6e5), 4326: (12, 14), 4267: (-101, -99)}
    places = rng.uniform(*boxes[source], (SAMPLES, 2))
    if source != 27700:
        places[:, 1] = rng.uniform(38, 42, SAMPLES)
    bounds = (*places.min(axis=0), *places.max(axis=0))
    plan = plan_reprojection(CRS(source), CRS(target), bounds=bounds)
    shift = measure_shift(plan, places)
    file = draw_reprojection(plan, shift, tmp_path)
    assert file.name == PICTURE
    assert file.size <= 16 << 10
    picture = ET.fromstring(file.path.read_text())
    title = picture.find("{http://www.w3.org/2000/svg}title").text
    assert title == file.facts["alt"]
    assert said in title
    arrows = picture.findall(".//{http://www.w3.org/2000/svg}circle")
    assert bool(arrows) == (source == 27700)


def test_a_layer_says_its_operation_its_shift_and_what_it_left_out(
    build: Any, tmp_path: Path
) -> None:
    shapes = shapely.from_wkt([
        "POINT M (530000 180000 7)", "POINT Z (260000 660000 5)", "POINT ZM (90000 10000 5 7)",
    ])  # fmt: skip
    frame = gpd.GeoDataFrame({"id": [1, 2, 3]}, geometry=list(shapes), crs=27700)
    frame.to_parquet(tmp_path / "s.parquet")
    result, got = build(tmp_path / "s.parquet", crs="EPSG:4326", key="id")
    assert result.facts["m_dropped"] == 2
    assert shapely.has_z(got.sort_values("id").geometry.to_numpy()).tolist() == [False, True, True]
    assert result.facts["shift"]["places"] == 3
    assert 80 < result.facts["shift"]["largest_m"] < 140
    assert [file.roles for file in result.files if file.name == PICTURE] == [("overview",)]


@pytest.mark.parametrize(("source", "drawn"), [("EPSG:4326", False), ("EPSG:4277", True)])
def test_of_many_partitions_those_are_drawn_whose_places_move(
    build: Any, tmp_path: Path, source: str, drawn: bool
) -> None:
    (tmp_path / "s.csv").write_text("id,x,y\n1,-1.0,52.0\n2,-2.0,53.0\n")
    settings = {"source_crs": source, "crs": "EPSG:32630", "xy_columns": ("x", "y")}
    one, _ = build(tmp_path / "s.csv", one_of_many=True, **settings)
    alone, _ = build(tmp_path / "s.csv", **settings)
    assert (PICTURE in [file.name for file in one.files]) == drawn
    assert PICTURE in [file.name for file in alone.files]


def test_bounds_found_before_choose_the_operation_where_the_file_states_none(
    build: Any, tmp_path: Path
) -> None:
    (tmp_path / "s.csv").write_text("id,x,y\n1,-9.0,38.0\n2,-8.0,39.0\n")
    place = (-9.0, 38.0, -8.0, 39.0)
    settings = {"source_crs": "EPSG:4230", "crs": "EPSG:4326", "xy_columns": ("x", "y")}
    anywhere, _ = build(tmp_path / "s.csv", **settings)
    placed, _ = build(tmp_path / "s.csv", bounds=place, **settings)
    oracle = plan_reprojection(CRS(4230), CRS(4326), bounds=place)
    assert placed.facts["operation"] == oracle.operation.facts()
    assert placed.facts["operation"]["accuracy_m"] < anywhere.facts["operation"]["accuracy_m"]
