"""Ends of lines in a network."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geo_assets.errors import ConfigError
from geo_assets.rules.found import Metric
from geo_assets.rules.lines import network_defects
from geo_assets.rules.topology import NetworkRules


def examine(lines: list, **rules: float | bool) -> list[tuple[str, tuple[int, ...], float | None]]:
    shapes = np.array(lines, object)
    found = network_defects(
        shapes, np.arange(len(lines)), np.ones(len(lines), bool),
        NetworkRules(**({"snap_m": 1.0} | rules)), Metric("EPSG:32633"),
    )  # fmt: skip
    return sorted((one.kind, one.rows, one.size_m) for one in found)


def line(*xy: tuple[float, float]) -> shapely.LineString:
    return shapely.LineString(xy)


def test_a_closed_chain_has_no_loose_end() -> None:
    assert examine([line((0, 0), (10, 0)), line((10, 0), (10, 10)), line((10, 10), (0, 0))]) == []
    assert examine([line((0, 0), (10, 0), (10, 10), (0, 0))]) == []


def test_an_end_that_meets_nothing_dangles() -> None:
    cross = [line((0, 0), (10, 0)), line((10, 0), (20, 0))]
    assert examine(cross) == [("dangle", (0,), 10.0), ("dangle", (1,), 10.0)]
    assert examine(cross, dangles=False) == []


def test_an_end_on_another_line_is_connected() -> None:
    found = examine([line((0, 0), (10, 0)), line((5, 0), (5, 9))], dangles=False)
    assert found == []


@pytest.mark.parametrize("y", [0.4, -0.4])
def test_an_end_that_falls_short_or_runs_over_is_unconnected(y: float) -> None:
    found = examine([line((0, 0), (10, 0)), line((5, y), (5, 9))], dangles=False)
    assert found == [("unconnected_end", (0, 1), pytest.approx(0.4))]


def test_the_nearest_line_is_named() -> None:
    lines = [line((0, 0), (10, 0)), line((0, 0.7), (10, 0.7)), line((5, 0.3), (5, 0.31))]
    found = [one for one in examine(lines, dangles=False) if 2 in one[1]]
    assert found[0][1] == (0, 2)


def test_a_line_may_end_on_itself() -> None:
    balloon = line((0, 0), (5, 0), (10, 5), (15, 0), (10, -5), (5, 0))
    assert examine([balloon]) == [("dangle", (0,), balloon.length)]
    lollipop = line((0, 0), (20, 0), (20, 5), (10, 5), (10, 0))
    assert examine([lollipop]) == [("dangle", (0,), lollipop.length)]


def test_parts_of_one_feature_connect() -> None:
    both = shapely.MultiLineString([[(0, 0), (10, 0)], [(10, 0), (10, 9), (0, 0)]])
    assert examine([both]) == []


AGAIN = {
    "the same": ((0, 0), (10, 0)),
    "the other way": ((10, 0), (0, 0)),
    "half a millimetre off": ((0, 0.0005), (10, 0.0005)),
    "with one vertex more": ((0, 0), (5, 0.0005), (10, 0)),
}


@pytest.mark.parametrize("how", AGAIN)
def test_a_line_delivered_twice_is_a_duplicate_and_holds_no_end(how: str) -> None:
    again = line(*AGAIN[how])
    found = examine([line((0, 0), (10, 0)), line((0, 30), (10, 30)), again])
    off = 0.0005 if any(y for _, y in AGAIN[how]) else 0.0
    dangles = [("dangle", (0,), 10.0)] * 2 + [("dangle", (1,), 10.0)] * 2
    assert found == [*dangles, ("duplicate", (0, 2), pytest.approx(off, abs=1e-9))]


def test_lines_that_share_both_ends_are_no_duplicates() -> None:
    assert examine([line((0, 0), (10, 0)), line((0, 0), (5, 2), (10, 0))]) == []


def test_distances_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="snap_m"):
        NetworkRules(snap_m=0.0001)
