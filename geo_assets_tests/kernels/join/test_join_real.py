"""Real layers: the same as geopandas, in one chunk and in many."""

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

DATA = os.environ.get("GEO_ASSETS_TEST_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="GEO_ASSETS_TEST_DATA is not set")


def layer(name):
    data = Path(DATA or "")
    if name == "zipcodes":
        table = pd.read_csv(data / "points/us_zipcodes/zipcodes.csv")
        return gpd.GeoDataFrame(
            table[["zip_code"]],
            crs="EPSG:4326",
            geometry=gpd.points_from_xy(table.longitude, table.latitude),
        )
    frame = {
        "counties": lambda: gpd.read_file(data / "vector/us_counties/geojson-counties-fips.json"),
        "land": lambda: gpd.read_parquet(data / "vector/natural_earth_conv/ne_10m_land.parquet"),
        "countries": lambda: gpd.read_parquet(
            data / "vector/natural_earth_conv/ne_50m_admin_0_countries.parquet"),
        "places": lambda: gpd.read_parquet(
            data / "vector/natural_earth_conv/ne_10m_populated_places_simple.parquet"),
        "districts": lambda: gpd.read_file(data / "raster/landsat_nyc_series/nycd.gpkg"),
        "samples": lambda: gpd.read_file(data / "raster/landsat_nyc_series/ny_samples.gpkg"),
        "farms": lambda: gpd.read_file(data / "area/western_cape/farms_33S.shp"),
        "urban": lambda: gpd.read_file(data / "area/western_cape/urban_33S.shp"),
        "buildings": lambda: gpd.read_file(data / "vector/boulder_buildings/boulder_buildings.zip"),
    }[name]()  # fmt: skip
    return gpd.GeoDataFrame(geometry=frame.geometry.values, crs=frame.crs)


def expected(left, right, how, predicate):
    pairs = gpd.sjoin(left, right, how=how, predicate=predicate)
    return pairs.sort_values(["row", "index_right"])[["row", "index_right"]].to_numpy(float)


@pytest.mark.parametrize(("left", "right", "crs", "predicates"), [
    ("zipcodes", "counties", "EPSG:4326", ("intersects", "within")),
    ("places", "land", "EPSG:4326", ("within",)),
    ("samples", "districts", "EPSG:32618", ("intersects", "within")),
    ("urban", "farms", "EPSG:32733", ("intersects", "within", "overlaps", "touches")),
    ("farms", "urban", "EPSG:32733", ("intersects", "contains")),
    ("farms", "farms", "EPSG:32733", ("touches", "overlaps", "covers")),
    ("buildings", "counties", "EPSG:4326", ("intersects", "within")),
    ("countries", "places", "EPSG:4326", ("contains",)),
])  # fmt: skip
def test_real_layers_join_as_in_geopandas(bench, left, right, crs, predicates):
    a, b = layer(left).to_crs(crs), layer(right).to_crs(crs)
    a["row"] = np.arange(len(a))
    first = bench.frame(a, rows=len(a) // 5 + 1, covering=left == "buildings")
    second = bench.frame(b)
    for predicate in predicates:
        for how in ("inner", "left"):
            table = bench.table(first, second, how=how, predicate=predicate, crs=crs)
            found = table.select(["row", "index_right"]).to_pandas().to_numpy(float)
            assert np.array_equal(found, expected(a, b, how, predicate), equal_nan=True)
        cut = bench.table(first, second, how=how, predicate=predicate, crs=crs,
                          cuts=[1, len(a) // 3, len(a) // 2])  # fmt: skip
        assert cut.equals(table)


@pytest.mark.parametrize(("left", "right", "crs"), [
    ("samples", "districts", "EPSG:32618"), ("places", "land", "EPSG:3857"),
    ("urban", "farms", "EPSG:32733"),
])  # fmt: skip
def test_real_layers_have_the_nearest_of_geopandas(bench, left, right, crs):
    a, b = layer(left).to_crs(crs), layer(right).to_crs(crs)
    if left == "places":
        a = a.cx[:, :15_000_000].iloc[::40].reset_index(drop=True)
    a["row"] = np.arange(len(a))
    pairs = gpd.sjoin_nearest(a, b, distance_col="far").sort_values(["row", "index_right"])
    table = pq.read_table(bench.run(bench.frame(a), bench.frame(b), predicate="nearest", crs=crs,
                                    distance_column="far"))  # fmt: skip
    for name in ("row", "index_right"):
        assert table[name].to_pylist() == pairs[name].tolist()
    np.testing.assert_allclose(table["far"].to_numpy(), pairs["far"].to_numpy(), rtol=0, atol=1e-6)
