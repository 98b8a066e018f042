"""Rules of a coverage on cases small enough to see."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geo_assets.errors import ConfigError
from geo_assets.rules.coverage import coverage_defects, polygonal
from geo_assets.rules.duplicates import duplicate_pairs
from geo_assets.rules.found import Found, Metric
from geo_assets.rules.gaps import gaps
from geo_assets.rules.topology import CoverageRules

METRIC = Metric("EPSG:32633")
NONE = np.empty(0, object)


def examine(shapes: list, *, gap: float = 0.0, tolerance: float = 0.001) -> dict[str, list[Found]]:
    """Findings by kind, of the whole at once."""
    geometries = np.array(shapes, object)
    rules = CoverageRules(gap_width_m=gap, tolerance_m=tolerance)
    everything = np.ones(len(geometries), np.bool_)
    piece = coverage_defects(geometries, np.arange(len(geometries)), everything, rules, METRIC)
    found: dict[str, list[Found]] = {}
    for one in [*piece.found, *gaps(piece.loose, NONE, rules, METRIC)]:
        found.setdefault(one.kind, []).append(one)
    return found


def squares(*corners: tuple[float, float], size: float = 10.0) -> list:
    return [shapely.box(x, y, x + size, y + size) for x, y in corners]


def test_neighbours_that_share_every_vertex_have_no_defect() -> None:
    assert examine(squares((0, 0), (10, 0), (0, 10), (10, 10)), gap=100) == {}


def test_features_that_touch_nobody_have_no_defect() -> None:
    assert examine(squares((0, 0), (30, 0), (0, 30)), gap=5) == {}


def test_an_overlap_names_both_with_its_width_and_area() -> None:
    (one,) = examine(squares((0, 0), (8, 0)))["overlap"]
    assert one.rows == (0, 1)
    assert (one.size_m, one.area_m2) == pytest.approx((2, 20), rel=0.02)


def test_a_feature_inside_another_overlaps_it() -> None:
    found = examine([shapely.box(0, 0, 100, 100), *squares((40, 40))])
    assert [one.rows for one in found["overlap"]] == [(0, 1)]


def test_two_coverages_over_each_other_overlap_everywhere() -> None:
    """No segment inside is unpaired; only the features under each other show it."""
    lower = squares(*((x, y) for x in range(0, 60, 10) for y in range(0, 60, 10)))
    upper = [shapely.affinity.translate(shape, 5, 5) for shape in lower]
    found = examine(lower + upper)["overlap"]
    brute = {
        (i, j)
        for i, a in enumerate(lower + upper)
        for j, b in enumerate(lower + upper)
        if i < j and a.intersection(b).area > 0
    }
    assert {one.rows for one in found} == brute


def test_a_vertex_that_the_neighbour_lacks_is_an_unmatched_edge() -> None:
    east = shapely.Polygon([(10, 0), (20, 0), (20, 10), (10, 10), (10, 4)])
    found = examine([*squares((0, 0)), east])
    assert list(found) == ["unmatched_edge"]
    assert {one.rows for one in found["unmatched_edge"]} == {(0, 1)}


@pytest.mark.parametrize("off", [0.0004, -0.0004])
def test_gaps_and_overlaps_within_tolerance_are_unmatched_edges(off: float) -> None:
    east = shapely.Polygon([(10, 0), (20, 0), (20, 10), (10, 10), (10 + off, 4)])
    found = examine([*squares((0, 0)), east], gap=5)
    assert list(found) == ["unmatched_edge"]


def test_a_gap_is_a_narrow_hole_between_features() -> None:
    ring = squares((0, 0), (10, 0), (20, 0), (0, 10), (20, 10), (0, 20), (10, 20), (20, 20))
    (one,) = examine(ring, gap=10.5)["gap"]
    assert one.rows == (1, 3, 4, 6)
    assert (one.size_m, one.area_m2) == pytest.approx((10, 100), rel=0.02)
    assert examine(ring, gap=9) == {}


def test_the_hole_of_one_feature_is_its_own_affair() -> None:
    holed = shapely.Polygon(shapely.box(0, 0, 10, 10).exterior, [shapely.box(4, 4, 5, 5).exterior])
    assert examine([holed, *squares((10, 0))], gap=5) == {}
    filled = shapely.box(4.2, 4.2, 4.8, 4.8)
    (one,) = examine([holed, filled], gap=5)["gap"]
    assert one.rows == (0, 1)


def test_a_hole_that_an_invalid_feature_fills_is_no_gap() -> None:
    shapes = np.array(
        squares((0, 0), (10, 0), (20, 0), (0, 10), (20, 10), (0, 20), (10, 20), (20, 20))
    )
    rules = CoverageRules(gap_width_m=20)
    piece = coverage_defects(shapes, np.arange(8), np.ones(8, bool), rules, METRIC)
    assert len(gaps(piece.loose, NONE, rules, METRIC)) == 1
    assert gaps(piece.loose, np.array([shapely.box(9, 9, 19, 19)]), rules, METRIC) == []


def test_duplicates_are_found_whatever_their_first_vertex() -> None:
    shape = shapely.Polygon([(0, 0), (10, 1), (9, 9), (1, 8)])
    turned = shapely.Polygon([(9, 9), (1, 8), (0, 0), (10, 1)])
    near = shapely.affinity.translate(shape, 0.0005, 0)
    bent = shapely.Polygon([(0, 0), (5, 0.5), (10, 1), (9, 9), (1, 8)])
    far = shapely.affinity.translate(shape, 0.01, 0)
    shapes = np.array([shape, turned, near, bent, far], object)
    assert duplicate_pairs(shapes, 0.001).tolist() == [[0, 1], [0, 2], [0, 3]]
    assert duplicate_pairs(shapes, 0.0).tolist() == [[0, 1], [0, 3]]
    assert list(examine([shape, turned])) == ["duplicate"]


def test_only_valid_areas_are_part_of_a_coverage() -> None:
    bowtie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    shapes = np.array(
        [None, shapely.Point(0, 0), shapely.Polygon(), bowtie, *squares((0, 0))], object
    )
    assert polygonal(shapes, shapely.is_valid(shapes)).tolist() == [False] * 4 + [True]


def test_widths_are_numbers_of_metres() -> None:
    for wrong in ({"gap_width_m": -1}, {"tolerance_m": float("nan")}):
        with pytest.raises(ConfigError, match="metres"):
            CoverageRules(**wrong)
