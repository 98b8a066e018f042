"""Segments without a partner, and what they say about the number of polygons above a place."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.rules.segments import unpaired_segments, winding

corner = st.integers(0, 6)
boxes = st.lists(
    st.tuples(corner, corner, st.integers(1, 4), st.integers(1, 4), st.booleans(), st.booleans()),
    min_size=1,
    max_size=8,
)


def polygons(drawn: list) -> np.ndarray:
    """Boxes, of one segment per unit, some with a hole, running either way."""
    shapes = []
    for x, y, wide, high, backwards, holed in drawn:
        shape = shapely.segmentize(shapely.box(x, y, x + wide, y + high), 1.0)
        if holed and wide > 2 and high > 2:
            shape = shape.difference(
                shapely.segmentize(shapely.box(x + 1, y + 1, x + 2, y + 2), 1.0)
            )
        shapes.append(shape.reverse() if backwards else shape)
    return np.array(shapes, object)


def brute(shapes: np.ndarray) -> Counter:
    """Directed segments that are not exactly one each way."""
    seen: Counter = Counter()
    for shape in shapes:
        for ring in shapely.get_rings(shapely.orient_polygons(shape)):
            xy = [tuple(place) for place in shapely.get_coordinates(ring).tolist()]
            seen.update(pairwise(xy))
    return Counter({
        (a, b): n for (a, b), n in seen.items() if not (n == 1 and seen[(b, a)] == 1)
    })  # fmt: skip


@settings(deadline=None)
@given(drawn=boxes)
def test_unpaired_segments_are_those_that_brute_force_finds(drawn: list) -> None:
    shapes = polygons(drawn)
    found = unpaired_segments(shapes)
    pairs = zip(map(tuple, found.start.tolist()), map(tuple, found.end.tolist()), strict=True)
    assert Counter(pairs) == brute(shapes)


@settings(deadline=None)
@given(drawn=boxes)
def test_they_alone_say_how_many_polygons_cover_a_point(drawn: list) -> None:
    shapes = polygons(drawn)
    points = np.random.default_rng(0).uniform(-1, 12, (60, 2))
    covered = shapely.contains_xy(shapes[:, None], points[None, :, 0], points[None, :, 1]).sum(
        axis=0
    )
    assert winding(points, unpaired_segments(shapes)).tolist() == covered.tolist()


def test_zero_has_no_sign() -> None:
    west = shapely.Polygon([(-1, 0), (-0.0, 0), (-0.0, 1), (-1, 1)])
    east = shapely.Polygon([(0.0, 0), (1, 0), (1, 1), (0.0, 1)])
    assert len(unpaired_segments(np.array([west, east], object))) == 6


def test_no_polygons_have_no_segments() -> None:
    assert len(unpaired_segments(np.empty(0, object))) == 0
