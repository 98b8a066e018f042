"""Gaps and overlaps up to a width are closed; what changed is accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.errors import ConfigError
from geo_assets.kernels.topology import TopologyRules
from geo_assets.kernels.topology_clean import CHANGES, CLEANED, CleanSpec, clean_coverage
from geo_assets.rules.coverage import CoverageRules

SIDE = 5
RULES = TopologyRules(coverage=CoverageRules(gap_width_m=60.0))


@pytest.fixture
def broken(planting: Any) -> list:
    shapes = planting.coverage(SIDE)
    shapes[6] = planting.moved(shapes[6], 1, (0.0, 30.0))
    shapes[8] = planting.moved(shapes[8], 1, (0.0, -30.0))
    shapes[17] = planting.moved(shapes[17], 1, (0.0, -200.0))
    return shapes


def clean(layer: Path, folder: Path, width: float) -> tuple[gpd.GeoDataFrame, Any, Any]:
    folder.mkdir()
    result = clean_coverage(CleanSpec(layer=layer, key="name", width_m=width), folder)
    changes = pq.read_table(folder / CHANGES).to_pylist()
    return gpd.read_parquet(folder / CLEANED), changes, result.facts


def test_narrow_defects_are_closed_and_the_rest_keeps_its_bytes(
    tmp_path: Path, planting: Any, examine: Any, broken: list
) -> None:
    layer = planting.write(tmp_path / "layer.parquet", broken)
    assert set(planting.pairs(examine(layer, RULES)[0])["overlap"]) == {"f3+f8", "f12+f17"}
    frame, changes, facts = clean(layer, tmp_path / "clean", 60.0)
    left = planting.pairs(examine(tmp_path / "clean" / CLEANED, RULES)[0])
    assert left["overlap"] == ["f12+f17"]  # wider than declared: it stays
    assert not {"f1", "f6", "f3", "f8"} & {
        n for ids in left.values() for i in ids for n in i.split("+")
    }
    assert facts["kept"] == 2
    names = {change["name"] for change in changes}
    assert names <= {"f1", "f6", "f3", "f8"}
    for name, before, after in zip(frame["name"], broken, frame.geometry, strict=True):
        if name not in names:
            assert shapely.to_wkb(before) == shapely.to_wkb(after)
    for change in changes:
        row = int(change["name"][1:])
        moved = broken[row].symmetric_difference(frame.geometry[row]).area
        assert change["changed_m2"] == pytest.approx(moved, rel=1e-6)
        assert change["area_before_m2"] == pytest.approx(broken[row].area, rel=1e-9)
    assert frame.crs == "EPSG:32633"


def test_a_clean_layer_stays_as_it_is(tmp_path: Path, planting: Any) -> None:
    shapes = [*planting.coverage(SIDE), None, shapely.Polygon()]
    layer = planting.write(tmp_path / "layer.parquet", shapes)
    frame, changes, facts = clean(layer, tmp_path / "clean", 60.0)
    assert changes == []
    assert facts == {"changed": 0, "changed_m2": 0.0, "kept": 0}
    assert (
        shapely.to_wkb(frame.geometry.to_numpy()).tolist()
        == shapely.to_wkb(np.array(shapes, object)).tolist()
    )


def test_nobody_fills_the_place_of_an_invalid_feature(tmp_path: Path, planting: Any) -> None:
    shapes = planting.coverage(SIDE)
    xy = shapely.get_coordinates(shapes[12])
    xy[[1, 6]] = xy[[6, 1]]
    shapes[12] = shapely.Polygon(xy)
    layer = planting.write(tmp_path / "layer.parquet", shapes)
    _, changes, _ = clean(layer, tmp_path / "clean", 5000.0)
    assert changes == []


def test_a_spec_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="strategy"):
        CleanSpec(layer=tmp_path, key="name", width_m=1, strategy="coin")
    with pytest.raises(ConfigError, match="width_m"):
        CleanSpec(layer=tmp_path, key="name", width_m=-1)
