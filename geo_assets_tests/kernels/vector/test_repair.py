"""Repair happens only where it is declared, and says what it changed, feature by feature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod

from geo_assets.kernels.changes import CHANGES
from geo_assets.kernels.repair import repair
from geo_assets.policies import Repair

BOW = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])


@pytest.mark.parametrize("method", ["structure", "linework"])
def test_invalid_geometry_only_is_changed_and_by_how_much_is_told(method: str) -> None:
    spike = shapely.from_wkt("POLYGON ((0 0, 4 0, 4 4, 4 9, 4 4, 0 4, 0 0))")
    flat = shapely.from_wkt("POLYGON ((0 0, 1 1, 2 2, 0 0))")
    good = shapely.Point(1, 1).buffer(1)
    shapes = np.array([BOW, spike, flat, good, None], dtype=object)
    result = repair(shapes, Repair(method=method), CRS(32633))
    assert result.changed.tolist() == [True, True, False, False, False]
    assert result.lost.tolist() == [False, False, True, False, False]
    assert shapely.is_valid(result.geoms[:2]).all()
    assert set(shapely.get_dimensions(result.geoms[:2])) == {2}
    assert shapely.equals_identical(result.geoms[3], good)
    assert result.before_m2 == pytest.approx([0.0, 16.0, 0.0, 0.0, 0.0])
    assert result.after_m2 == pytest.approx([2.0, 16.0, 0.0, 0.0, 0.0])


def test_areas_in_degrees_are_square_metres_of_the_ellipsoid() -> None:
    bow = shapely.affinity.scale(BOW, 0.01, 0.01, origin=(12, 48))
    made = repair(np.array([bow]), Repair(), CRS(4326))
    true, _ = Geod(ellps="WGS84").geometry_area_perimeter(shapely.normalize(made.geoms[0]))
    assert made.after_m2[0] == pytest.approx(abs(true), rel=1e-3)


def test_snapping_moves_to_the_grid() -> None:
    snapped = repair(shapely.points([[0.4, 0.6], [1, 1]]), Repair(precision=1.0), CRS(32633))
    assert [p.wkt for p in snapped.geoms] == ["POINT (0 1)", "POINT (1 1)"]
    assert snapped.changed.tolist() == [True, False]


def test_every_change_is_a_row_with_its_areas_and_its_place(
    build: Any, tmp_path: Path, mixed_layer: gpd.GeoDataFrame
) -> None:
    frame = mixed_layer.assign(number=[1, 2, 3, 3])
    bow = shapely.affinity.translate(BOW, 5e5 + 10, 5e6)
    frame.loc[1, "geometry"] = bow
    frame.loc[2, "geometry"] = shapely.box(5e5 + 20.2, 5e6, 5e5 + 30, 5e6 + 10)
    frame.loc[3, "geometry"] = bow  # changed, and then rejected: its key is not its own
    frame.to_file(tmp_path / "source.gpkg")
    result, got = build(tmp_path / "source.gpkg", key="number", invalid="repair",
                        repair=Repair(precision=1.0))  # fmt: skip
    log = next(file for file in result.files if file.name == CHANGES)
    assert log.roles == ("metadata",)
    changes = gpd.read_parquet(log.path)
    assert changes.crs == "EPSG:32633"
    assert changes["number"].tolist() == [2, 3]
    assert changes["how"].tolist() == ["make_valid", "snap"]
    assert changes["area_before_m2"].tolist() == pytest.approx([0, 98])
    assert changes["area_after_m2"].tolist() == pytest.approx([2, 100])
    assert changes["changed_m2"].tolist() == pytest.approx([2, 2])
    assert changes.geometry[0].equals(got.set_index("number").geometry[2])
    assert changes.geometry[1] is None
    assert changes["lon"].between(14.9, 15.1).all()
    assert changes["lat"].between(45.1, 45.2).all()
    assert result.facts["repair"] == log.facts == {
        "repaired": 2, "by": {"make_valid": 1, "snap": 1}, "area_gained_m2": 4.0,
        "area_lost_m2": 0.0, "changed_m2": 4.0, "largest_change_m2": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize("invalid", ["keep", "quarantine"])
def test_nothing_is_changed_where_no_repair_is_declared(
    build: Any, tmp_path: Path, mixed_layer: gpd.GeoDataFrame, invalid: str
) -> None:
    mixed_layer.loc[1, "geometry"] = shapely.affinity.translate(BOW, 5e5 + 10, 5e6)
    mixed_layer.to_file(tmp_path / "source.gpkg")
    result, _ = build(tmp_path / "source.gpkg", invalid=invalid)
    assert CHANGES not in [file.name for file in result.files]
    assert result.facts["repair"]["repaired"] == 0
