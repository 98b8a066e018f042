"""A declared extent quarantines what lies elsewhere, such as exchanged coordinates."""

import geopandas
import numpy as np
import pytest
import shapely

from geo_assets.kernels.layer import build_layer
from geo_assets.kernels.layer_spec import LayerSpec

PLACES = [(15.0, 50.0), (50.0, 15.0), (12.0, 48.0), (11.9, 50.0), (15.0, 52.1)]
INSIDE = [0, 2]


@pytest.mark.parametrize("source", ["EPSG:4326", "EPSG:3035"])
def test_what_lies_elsewhere_is_quarantined_by_id(tmp_path, source):
    frame = geopandas.GeoDataFrame(
        {"id": np.arange(5)}, geometry=shapely.points(PLACES), crs="EPSG:4326"
    ).to_crs(source)
    path = tmp_path / "points.parquet"
    frame.to_parquet(path)
    work = tmp_path / "work"
    work.mkdir()
    spec = LayerSpec(
        source=path, name="points", crs="EPSG:32633", key="id",
        extent=(11.99, 47.99, 18.0, 52.0), misplaced="keep",
    )  # fmt: skip
    result = build_layer(spec, work)
    kept = geopandas.read_parquet(next(f.path for f in result.files if "data" in f.roles))
    assert sorted(kept["id"]) == INSIDE
    assert result.facts["quarantine"]["counts"] == {"out_of_bounds": 3}
    assert {s["feature"] for s in result.facts["quarantine"]["samples"]} == {"1", "3", "4"}
