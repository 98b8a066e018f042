"""A coverage with defects planted by another program: all are found, and no others, by id."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.rules.topology import CoverageRules, ShapeRules, TopologyRules

DATA = os.environ.get("GEO_ASSETS_TEST_DATA", "")
GENERATOR = Path(DATA).parent / "tools" / "synth.py"
DEFECTS = "gap=5,overlap=5,tjunction=3,bowtie=7,duplicate=4,wrongcrs=2,nan=1,null=2,empty=1"
RULES = TopologyRules(
    shape=ShapeRules(geometry_types=("Polygon",), orientation="ccw"),
    coverage=CoverageRules(gap_width_m=150.0),
)
ALONE = {
    "bowtie": "self_intersection", "nan": "non_finite", "null": "null_geometry",
    "empty": "empty_geometry", "wrongcrs": "degrees_in_projected_crs",
}  # fmt: skip


def repeating(layer: Path) -> list[str]:
    """Features with a vertex twice in a row: the generator makes some when it rounds."""
    table = pq.read_table(layer, columns=["id", "geometry"])
    with np.errstate(invalid="ignore"):
        shapes = shapely.from_wkb(table["geometry"].to_numpy())
    slim = shapely.remove_repeated_points(shapes)
    fewer = shapely.get_num_coordinates(slim) < shapely.get_num_coordinates(shapes)
    xy, index = shapely.get_coordinates(shapes, return_index=True)
    fewer[index[~np.isfinite(xy).all(axis=1)]] = False
    return [str(key) for key in table["id"].to_numpy()[fewer]]


def joined(pairs: list[list[int]]) -> set[str]:
    return {"+".join(map(str, sorted(pair))) for pair in pairs}


@pytest.mark.skipif(
    not (DATA and GENERATOR.exists()), reason="GEO_ASSETS_TEST_DATA has no synth.py beside it"
)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_the_generator_planted_is_found(
    tmp_path: Path, planting: Any, examine: Callable[..., Any], seed: int
) -> None:
    layer = tmp_path / "layer.parquet"
    subprocess.run(
        [sys.executable, str(GENERATOR), "coverage", str(layer), "--polygons", "2500",
         "--seed", str(seed), "--defects", DEFECTS],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    truth = json.loads(Path(f"{layer}.truth.json").read_text())["truth"]
    table, _ = examine(layer, RULES, 200_000, key="id")
    found = {kind: set(ids) for kind, ids in planting.pairs(table).items()}
    for planted, kind in ALONE.items():
        assert found.pop(kind) == {str(one) for one in truth[planted]}, planted
    assert found.pop("duplicate") == joined(truth["duplicate"])
    assert found.pop("unmatched_edge") == joined(truth["tjunction"])
    assert found.pop("repeated_point", set()) == set(repeating(layer))
    gaps, overlaps = joined(truth["gap"]), joined(truth["overlap"])
    # A border that is drawn apart crosses the other side here and there: then it shows as both.
    assert gaps <= found["gap"] <= gaps | overlaps
    assert overlaps <= found["overlap"] <= gaps | overlaps
    assert found.keys() == {"gap", "overlap"}
    assert table.equals(examine(layer, RULES, key="id")[0])
