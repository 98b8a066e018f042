"""Statistics of each scene over the districts, through Dagster, against exactextract's own."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import dagster as dg
import exactextract
import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from geo_assets.assets.zonal_statistics import zonal_statistics_asset
from geo_assets.errors import ConfigError
from geo_assets_tests.whole.conftest import DATES
from geo_assets_tests.whole.project import declared, failures, made

STATISTICS = (
    "count", "sum", "mean", "min", "max", "stdev", "quantile(q=0.9)", "majority", "minority",
    "variety", "frac",
)  # fmt: skip
KEY = ("out", "zonal_statistics")


def test_each_scene_has_exactextracts_numbers_and_nulls_where_there_is_none(copied, instance):
    zonal = zonal_statistics_asset(
        raster="raw/scenes",
        zones="districts",
        key="district_id",
        statistics=STATISTICS,
        bands=(1,),
        partitions=dg.DynamicPartitionsDefinition(name="scenes"),
    )
    source = copied.root / "core/districts/all"
    layer = next(source.rglob("districts.parquet"))
    zones = gpd.read_parquet(layer)
    project = replace(copied, parts=[*declared(), zonal])
    ran = project.run(instance, KEY, span=DATES)
    assert ran.success, failures(ran)
    shown = made(ran, *KEY)
    assert set(shown) == set(DATES)
    for date in DATES:
        folder = project.root.joinpath(*KEY, date)
        commit = json.loads((folder / "_commits/000000000001.json").read_text())
        (path,) = folder.rglob("statistics.parquet")
        table = pq.read_table(path).to_pylist()
        assert [row["district_id"] for row in table] == zones["district_id"].tolist()
        valid = zones.geometry.is_valid.tolist()
        assert [row["zone_status"] for row in table] == ["ok" if v else "invalid" for v in valid]
        (scene,) = (project.root / "raw/scenes" / date).rglob("*.tif")
        check(table, scene, zones)
        numbers = shown[date]
        assert numbers["geo_assets/zones_ok"] == sum(valid)
        assert numbers["geo_assets/zones_invalid"] == len(valid) - sum(valid) == 1
        assert numbers["geo_assets/crs_accuracy"] == "0 m"
        (sample,) = commit["properties"]["findings"]["samples"]
        assert sample["feature"] == zones["district_id"][valid.index(False)]


def check(table: list[dict], scene, zones: gpd.GeoDataFrame) -> None:
    """Every valid zone has what exactextract says of the whole scene; the invalid one nothing."""
    features = [
        {"type": "Feature", "properties": {}, "geometry": shape.__geo_interface__}
        for shape in zones.geometry
    ]
    with rasterio.open(scene) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert file.crs == zones.crs
        wanted = exactextract.exact_extract(str(scene), features, list(STATISTICS))
    for row, answer in zip(table, wanted, strict=True):
        answers = {
            name.removeprefix("band_1_"): value
            for name, value in answer["properties"].items()
            if name.startswith("band_1_")
        }
        assert len(answers) == len(STATISTICS)
        for name, value in answers.items():
            got = row[name]
            if row["zone_status"] != "ok":
                assert got is None
            elif isinstance(value, np.ndarray):
                assert got == value.tolist()
            else:
                assert got == value or (got is None and (value is None or value != value)), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"statistics": ()}, "at least one statistic"),
        ({"statistics": ("average",)}, "A statistic is one of count"),
        ({"statistics": ("quantile",)}, "quantile(q=0.9)"),
        ({"statistics": ("quantile(q=90)",)}, "q from 0 to 1"),
        ({"required_accuracy_m": 0.0}, "positive number of metres"),
    ],
)
def test_a_wrong_declaration_is_refused_at_load(options, said):
    with pytest.raises(ConfigError) as caught:
        zonal_statistics_asset(raster="raw/scenes", zones="districts", **options)
    assert said in str(caught.value)
