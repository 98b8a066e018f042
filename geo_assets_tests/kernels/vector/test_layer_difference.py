"""What is other between two versions of a layer, against a comparison by hand."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geo_assets.kernels.layer_difference import LayerDifferenceSpec, layer_difference
from geo_assets.kernels.vector_preview import MAX_SVG_BYTES


def layer(number: int, seed: int = 0) -> gpd.GeoDataFrame:
    chance = np.random.default_rng(seed)
    xy = chance.uniform(0, 10_000, (number, 2))
    return gpd.GeoDataFrame(
        {"id": [f"k{n}" for n in range(number)], "value": chance.integers(0, 9, number)},
        geometry=shapely.box(xy[:, 0], xy[:, 1], xy[:, 0] + 100, xy[:, 1] + 100),
        crs="EPSG:32633",
    )


def compared(tmp_path, before, now, key="id", parts=1):
    old, new = tmp_path / "old.parquet", []
    before.to_parquet(old, write_covering_bbox=True)
    for n in range(parts):
        new.append(tmp_path / f"new-{n}.parquet")
        now.iloc[n::parts].to_parquet(new[-1], write_covering_bbox=True)
    spec = LayerDifferenceSpec(before=(old,), now=tuple(new), key=key, title="core/x")
    return layer_difference(spec, tmp_path).facts


@pytest.mark.parametrize("number", [40, 5000])
def test_features_new_gone_and_changed_are_counted(tmp_path, number):
    before = layer(number)
    now = before.iloc[5:].copy()
    now.iloc[0, now.columns.get_loc("value")] += 100
    now.iloc[1, now.columns.get_loc("geometry")] = shapely.box(0, 0, 1, 1)
    more = layer(3, seed=9)
    more["id"] = ["new1", "new2", "new3"]
    now = gpd.GeoDataFrame(gpd.pd.concat([now, more]), crs=before.crs).sample(
        frac=1, random_state=1
    )
    facts = compared(tmp_path, before, now, parts=2)
    assert {name: facts[name] for name in ("added", "removed", "changed", "same")} == {
        "added": 3, "removed": 5, "changed": 2, "same": number - 7,
    }  # fmt: skip
    assert facts["alt"] == f"core/x: 3 new, 5 gone, 2 changed, {number - 7:,} the same features"
    assert len(facts["svg"].encode()) <= MAX_SVG_BYTES
    ET.fromstring(facts["svg"])
    for colour, dots in (("#2a9d8f", 3), ("#e5484d", 5), ("#d98e32", 2)):
        (path,) = [p for p in ET.fromstring(facts["svg"]).iter() if p.get("stroke") == colour]
        assert path.get("d").count("h0") == dots


def test_the_same_layer_in_another_order_has_no_difference(tmp_path):
    before = layer(200)
    facts = compared(tmp_path, before, before.sample(frac=1, random_state=3))
    assert (facts["added"], facts["removed"], facts["changed"], facts["same"]) == (0, 0, 0, 200)


def test_without_a_key_a_changed_feature_is_gone_and_new(tmp_path):
    before = layer(50)
    now = before.copy()
    now.loc[7, "value"] += 1
    facts = compared(tmp_path, before, now, key=None)
    assert (facts["added"], facts["removed"], facts["changed"], facts["same"]) == (1, 1, 0, 49)


def test_rows_of_one_key_count_as_one_feature(tmp_path):
    before = layer(10)
    before.loc[1, "id"] = before.loc[0, "id"]
    now = before.iloc[::-1].copy()
    assert compared(tmp_path, before, now)["same"] == 9
    now.loc[1, "value"] += 1
    assert compared(tmp_path, before, now)["changed"] == 1


def test_many_changes_become_squares_and_an_empty_layer_is_no_trouble(tmp_path):
    before = layer(3000)
    facts = compared(tmp_path, before, before.iloc[:0])
    assert facts["removed"] == 3000
    assert len(facts["svg"].encode()) <= MAX_SVG_BYTES
    assert compared(tmp_path, before.iloc[:0], before.iloc[:0])["alt"] == "core/x: no features"
