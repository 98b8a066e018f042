"""Whatever the coverage: the cut does not matter, and brute force finds the same."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_assets.rules.duplicates import duplicate_pairs
from geo_assets.rules.topology import CoverageRules, TopologyRules

GAP, TOLERANCE = 120.0, 0.001
RULES = TopologyRules(coverage=CoverageRules(gap_width_m=GAP, tolerance_m=TOLERANCE))
SIDE = 4

changes = st.lists(
    st.tuples(
        st.sampled_from(
            ["move", "move", "nudge", "insert", "copy", "drop", "bowtie", "grow", "layer"]
        ),
        st.integers(0, SIDE * SIDE - 1),
        st.integers(0, 11),
        st.integers(-150, 150),
        st.integers(-150, 150),
    ),
    max_size=6,
)


def spoiled(planting: Any, seed: int, changes: list) -> list:
    shapes = planting.coverage(SIDE, seed)
    for kind, at, vertex, dx, dy in changes:
        shape = shapes[at]
        if shape is None:
            continue
        xy = shapely.get_coordinates(shape)[:-1].copy()
        vertex = vertex % len(xy)  # noqa: PLW2901
        if kind == "move":
            xy[vertex] += dx, dy
        elif kind == "nudge":
            xy[vertex] += dx / 1e6, dy / 1e6
        elif kind == "insert":
            xy = np.insert(xy, vertex, (xy[vertex] + xy[vertex - 1]) / 2, axis=0)
        elif kind == "bowtie":
            xy[[vertex, vertex - 2]] = xy[[vertex - 2, vertex]]
        if kind == "copy":
            shapes.append(shapely.Polygon(np.roll(xy, vertex, axis=0)))
        elif kind == "drop":
            shapes[at] = None
        elif kind == "grow":
            shapes[at] = shape.buffer(abs(dx) / 10 + 0.1, quad_segs=1)
        elif kind == "layer":  # a feature of another coverage, laid over this one
            shapes.append(shapely.affinity.translate(shape, dx * 3, dy * 3))
        else:
            shapes[at] = shapely.Polygon(xy)
    return shapes


def in_coverage(shapes: np.ndarray) -> np.ndarray:
    """Rows that brute force looks at: valid and not duplicates."""
    rows = np.flatnonzero(shapely.is_valid(shapes) & ~shapely.is_missing(shapes))
    return np.delete(rows, duplicate_pairs(shapes[rows], TOLERANCE)[:, 1])


def fits(polygon: shapely.Polygon, width: float) -> bool:
    return not polygon.buffer(-width / 2, quad_segs=4).is_empty


def brute_overlaps(shapes: np.ndarray, rows: np.ndarray) -> set[str]:
    found = set()
    for k, i in enumerate(rows):
        for j in rows[k + 1 :]:
            parts = shapely.get_parts(shapely.intersection(shapes[i], shapes[j]))
            if any(part.area > 0 and fits(part, TOLERANCE) for part in parts):
                found.add(f"f{i}+f{j}")
    return found


def brute_gaps(shapes: np.ndarray, rows: np.ndarray) -> list[float]:
    """Areas of the narrow holes of the union of everything."""
    union = shapely.union_all(shapes[rows])
    broken = shapes[~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)]
    voids = shapely.union_all(shapely.make_valid(broken, method="structure", keep_collapsed=False))
    areas = []
    for part in shapely.get_parts(union):
        for ring in shapely.get_rings(part)[1:]:
            hole = shapely.difference(shapely.Polygon(ring), union)
            for piece in shapely.get_parts(hole):
                around = [
                    r
                    for r in rows
                    if shapes[r].boundary.intersection(piece.buffer(1e-6)).length > 1e-3
                ]
                filled = shapely.intersection(piece, voids).area > 0.5 * piece.area
                if (
                    piece.area > 0
                    and fits(piece, TOLERANCE)
                    and not fits(piece, GAP)
                    and len(around) > 1
                    and not filled
                ):
                    areas.append(piece.area)
    return sorted(areas)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 5), changes=changes)
def test_partitioned_equals_unpartitioned_equals_brute_force(
    planting: Any, seed: int, changes: list
) -> None:
    shapes = np.array(spoiled(planting, seed, changes), object)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layer = planting.write(folder / "layer.parquet", list(shapes))
        table, result = planting.run(layer, RULES, folder / "whole")
        parts, _ = planting.run(layer, RULES, folder / "parts", 700)
    assert parts.equals(table)
    rows = in_coverage(shapes)
    edges = shapely.coverage_invalid_edges(shapes[rows])
    flagged = rows[~shapely.is_empty(edges)]
    assert result.facts["flagged"] == len(flagged)
    found = planting.pairs(table)
    assert set(found.get("overlap", [])) == brute_overlaps(shapes, rows)
    named = {
        name
        for kind in ("overlap", "gap", "unmatched_edge")
        for ids in found.get(kind, [])
        for name in ids.split("+")
    }
    assert {f"f{row}" for row in flagged} <= named
    gaps = sorted(row["area_m2"] for row in table.to_pylist() if row["kind"] == "gap")
    assert gaps == pytest.approx(brute_gaps(shapes, rows), rel=1e-6, abs=1e-6)


def test_the_width_does_not_hide_gaps(tmp_path: Path, planting: Any, examine: Any) -> None:
    """GEOS's own gap search finds fewer at larger widths; here a larger width only adds."""
    shapes = spoiled(
        planting, 1, [("move", 5, 1, 0, 20), ("move", 10, 4, -40, 0), ("move", 3, 7, 3, -9)]
    )
    layer = planting.write(tmp_path / "layer.parquet", shapes)
    seen: set[str] = set()
    for width in (2.0, 10.0, 50.0, 300.0, 3000.0):
        rules = TopologyRules(coverage=CoverageRules(gap_width_m=width))
        found = set(planting.pairs(examine(layer, rules, 900)[0]).get("gap", []))
        assert found >= seen
        seen = found
    assert seen


DATA = os.environ.get("GEO_ASSETS_TEST_DATA")
REAL = {
    "raster/landsat_nyc_series/nycd.gpkg": 50.0,
    "area/western_cape/farms_33S.shp": 0.0,
    "vector/us_counties/geojson-counties-fips.json": 500.0,
    "vector/france_communes/communes-bretagne.geojson": 5.0,
}


@pytest.mark.skipif(not DATA, reason="GEO_ASSETS_TEST_DATA is not set")
@pytest.mark.parametrize(("name", "width"), REAL.items())
def test_real_layers_equal_shapely_on_the_whole(
    tmp_path: Path, planting: Any, examine: Any, name: str, width: float
) -> None:
    frame = gpd.read_file(Path(DATA or "") / name).reset_index(drop=True)
    frame = frame.iloc[:700].reset_index(drop=True)  # enough of them
    frame["name"] = [f"f{i}" for i in range(len(frame))]
    layer = tmp_path / "layer.parquet"
    frame[["name", "geometry"]].to_parquet(layer, write_covering_bbox=True, schema_version="1.1.0")
    rules = TopologyRules(coverage=CoverageRules(gap_width_m=width))
    table, result = examine(layer, rules)
    assert table.equals(examine(layer, rules, 150_000)[0])
    shapes = shapely.from_wkb(pq.read_table(layer)["geometry"].to_numpy())
    invalid = ~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)
    found = planting.pairs(table)
    bad = {i for k, ids in found.items() if k.endswith("self_intersection") for i in ids}
    assert bad == {f"f{row}" for row in np.flatnonzero(invalid)}
    rows = in_coverage(shapes)
    edges = shapely.coverage_invalid_edges(shapes[rows])
    assert result.facts["flagged"] == int((~shapely.is_empty(edges)).sum())
    if not result.facts["flagged"]:
        assert not found.keys() & {"gap", "overlap", "unmatched_edge", "duplicate"}
