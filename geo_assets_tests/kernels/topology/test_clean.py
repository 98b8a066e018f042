"""Gaps and overlaps up to a width are closed; what changed is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geo_assets.kernels.layer_spec import CleanSpec
from geo_assets.kernels.topology_clean import CLEANED, clean_coverage
from geo_assets.policies import CoverageRepair
from geo_assets.rules.topology import CoverageRules, TopologyRules

SIDE = 5
RULES = TopologyRules(coverage=CoverageRules(gap_width_m=60.0))


@pytest.fixture
def broken(planting: Any) -> list:
    shapes = planting.coverage(SIDE)
    shapes[6] = planting.moved(shapes[6], 1, (0.0, 30.0))
    shapes[8] = planting.moved(shapes[8], 1, (0.0, -30.0))
    shapes[17] = planting.moved(shapes[17], 1, (0.0, -200.0))
    return shapes


@pytest.fixture
def clean(planting: SimpleNamespace, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Cleans shapes; gives the layer, the changes as records, and the facts."""

    def run(shapes: list, width: float, **options: Any) -> SimpleNamespace:
        layer = planting.write(tmp_path / "layer.parquet", shapes)
        folder = tmp_path / "clean"
        folder.mkdir(exist_ok=True)
        how = CoverageRepair(width_m=width)
        spec = CleanSpec(layer=layer, key="name", how=how, **options)
        result = clean_coverage(spec, folder)
        changes = [gpd.read_parquet(file.path) for file in result.files if "data" not in file.roles]
        return SimpleNamespace(
            frame=gpd.read_parquet(folder / CLEANED),
            changes=changes[0].to_dict("records") if changes else [],
            facts=result.facts,
            left={s["feature"]: s["kind"] for s in result.facts["left_alone"]["samples"]},
            path=folder / CLEANED,
        )

    return run


def test_narrow_defects_are_closed_and_the_rest_keeps_its_bytes(
    clean: Any, planting: Any, examine: Any, broken: list, tmp_path: Path
) -> None:
    layer = planting.write(tmp_path / "before.parquet", broken)
    assert set(planting.pairs(examine(layer, RULES)[0])["overlap"]) == {"f3+f8", "f12+f17"}
    made = clean(broken, 60.0)
    left = planting.pairs(examine(made.path, RULES)[0])
    assert left["overlap"] == ["f12+f17"]  # wider than declared: it stays
    assert not {"f1", "f6", "f3", "f8"} & {
        n for ids in left.values() for i in ids for n in i.split("+")
    }
    assert made.left == {"f12": "wide_overlap", "f17": "wide_overlap"}
    names = {change["name"] for change in made.changes}
    assert names <= {"f1", "f6", "f3", "f8"}
    for name, before, after in zip(made.frame["name"], broken, made.frame.geometry, strict=True):
        if name not in names:
            assert shapely.to_wkb(before) == shapely.to_wkb(after)
    for change in made.changes:
        row = int(change["name"][1:])
        moved = broken[row].symmetric_difference(made.frame.geometry[row])
        assert change["how"] == "coverage"
        assert change["geometry"].equals(moved)
        assert change["changed_m2"] == pytest.approx(moved.area, rel=1e-6)
        assert change["area_before_m2"] == pytest.approx(broken[row].area, rel=1e-9)
        assert -180 <= change["lon"] <= 180
    assert made.frame.crs == "EPSG:32633"
    total = sum(change["changed_m2"] for change in made.changes)
    assert made.facts["repair"]["changed_m2"] == pytest.approx(total, abs=0.01)
    assert made.facts["repair"]["by"] == {"coverage": len(made.changes)}


def test_a_clean_layer_stays_as_it_is(clean: Any, planting: Any) -> None:
    shapes = [*planting.coverage(SIDE), None, shapely.Polygon()]
    made = clean(shapes, 60.0)
    assert made.changes == []
    assert made.facts["repair"]["repaired"] == made.facts["repair"]["changed_m2"] == 0
    assert made.left == {}
    assert (
        shapely.to_wkb(made.frame.geometry.to_numpy()).tolist()
        == shapely.to_wkb(np.array(shapes, object)).tolist()
    )


def test_nobody_fills_the_place_of_an_invalid_feature(clean: Any, planting: Any) -> None:
    shapes = planting.coverage(SIDE)
    xy = shapely.get_coordinates(shapes[12])
    xy[[1, 6]] = xy[[6, 1]]
    shapes[12] = shapely.Polygon(xy)
    assert clean(shapes, 5000.0).changes == []


def test_a_feature_that_would_vanish_is_left_and_nobody_grows_into_it(
    clean: Any, planting: Any
) -> None:
    shapes = planting.coverage(SIDE)
    shapes[6] = planting.moved(shapes[6], 1, (0.0, 30.0))  # a gap that can be closed
    x, y = shapely.get_coordinates(shapes[18].centroid)[0]
    shapes.append(shapely.box(x, y, x + 20, y + 500))  # narrow, and wholly inside another
    made = clean(shapes, 60.0)
    assert made.left == {"f25": "would_vanish"}
    assert len(made.frame) == 26
    assert made.frame.geometry[25].equals(shapes[25])
    names = {change["name"] for change in made.changes}
    assert names
    assert names <= {"f1", "f6"}
    assert not made.frame.geometry.is_empty.any()


def test_a_narrow_feature_keeps_its_place_when_it_is_left_alone(clean: Any, planting: Any) -> None:
    # It lies in a slot between two others and overlaps one of them: GEOS alone would give the
    # slot to a neighbour once the feature is out of the way.
    left = shapely.box(0, 0, 1000, 1000)
    right = shapely.box(0, 0, 2000, 1000) - left - shapely.box(1000, 100, 1020, 900)
    slot = shapely.box(999, 100, 1020, 900)
    shapes = [
        shapely.affinity.translate(shape, *planting.ORIGIN)
        for shape in (left, right, shapely.force_3d(slot, 7.0))
    ]
    made = clean(shapes, 30.0)
    assert made.left["f2"] == "has_z"
    assert "would_intrude" in made.left.values()
    assert made.changes == []
    for before, after in zip(shapes, made.frame.geometry, strict=True):
        assert shapely.equals_identical(before, after)


@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_features_keep_to_the_declared_type(clean: Any, broken: list, kind: str) -> None:
    if kind == "MultiPolygon":
        broken = [shapely.multipolygons([shape]) for shape in broken]
    made = clean(broken, 60.0, geometry_types=(kind,))
    assert set(made.frame.geom_type) == {kind}
    assert made.changes


def test_earlier_changes_come_first(clean: Any, broken: list, tmp_path: Path) -> None:
    first = clean(broken, 60.0)
    earlier = tmp_path / "earlier.parquet"
    (tmp_path / "clean" / "changes.parquet").rename(earlier)
    again = clean(broken, 60.0, earlier=earlier)
    assert [c["name"] for c in again.changes] == [c["name"] for c in first.changes] * 2
    assert again.facts["repair"]["repaired"] == 2 * first.facts["repair"]["repaired"]


@pytest.mark.parametrize("seed", range(4))
def test_cleaning_never_does_harm(clean: Any, planting: Any, seed: int) -> None:
    """Whatever is broken: nothing vanishes, nothing left alone changes, no overlap grows."""
    rng = np.random.default_rng(seed)
    shapes = planting.coverage(SIDE, seed)
    number = len(shapes)
    for row in rng.integers(number, size=8).tolist():
        vertex = int(rng.integers(len(shapes[row].exterior.coords) - 1))
        shapes[row] = planting.moved(shapes[row], vertex, tuple(rng.uniform(-90, 90, 2)))
    for row in rng.integers(number, size=3).tolist():
        x, y = shapes[row].exterior.coords[0]
        shapes.append(shapely.box(x - 10, y - 15, x + 20, y + rng.uniform(10, 300)))
    solid = int(rng.integers(number))
    shapes[solid] = shapely.force_3d(shapes[solid], 5)
    before = np.array(shapes, object)
    made = clean(shapes, 60.0)
    after = made.frame.geometry.to_numpy()
    valid = shapely.is_valid(before)
    assert made.changes
    assert not shapely.is_empty(after).any()
    assert shapely.is_valid(after[valid]).all()
    still = [int(name[1:]) for name in made.left] + np.flatnonzero(~valid).tolist()
    assert shapely.to_wkb(after[still]).tolist() == shapely.to_wkb(before[still]).tolist()
    sound = np.flatnonzero(valid)
    one, other = (sound[rows] for rows in np.triu_indices(len(sound), 1))
    was = shapely.area(shapely.intersection(before[one], before[other]))
    now = shapely.area(shapely.intersection(after[one], after[other]))
    assert (now <= was + 1.0).all()
