"""Statistics by zone: exact, the same whatever the partition, as pandas groups."""

import math
from fractions import Fraction

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.join_aggregate import Aggregate, ColumnSums
from geo_assets.kernels.join_spec import Statistic
from geo_assets.kernels.table_facts import TableSpec, table_facts

EVERY = tuple(Statistic(name=name, column=column) for column in ("value", "number")
              for name in ("count", "sum", "mean", "min", "max"))  # fmt: skip


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    n = 5000
    value = rng.lognormal(0, 8, n) * rng.choice([-1, 1], n)
    value[::50] = np.nan
    points = gpd.GeoDataFrame(
        {"value": value, "number": rng.integers(-9, 9, n)},
        geometry=shapely.points(rng.random((n, 2)) * 100),
        crs="EPSG:32633",
    )
    x, y = rng.random((2, 40)) * 100
    zones = gpd.GeoDataFrame(
        {"code": [f"z{i}" for i in range(40)]},
        geometry=shapely.box(x, y, x + 15, y + 10),
        crs="EPSG:32633",
    )
    zones.loc[40] = ["far away", shapely.box(900, 900, 901, 901)]
    return points, zones


def test_statistics_are_those_of_pandas(bench, frames):
    points, zones = frames
    table = bench.table(bench.frame(points, rows=800), bench.frame(zones), how="aggregate",
                        statistics=(Statistic(name="count"), *EVERY)).to_pandas()  # fmt: skip
    pairs = gpd.sjoin(points, zones)
    groups = pairs.groupby("index_right")
    assert table["index_right"].tolist() == list(range(41))
    assert table["code"].tolist() == zones["code"].tolist()
    assert table["count"].tolist() == groups.size().reindex(range(41), fill_value=0).tolist()
    for name in ("value", "number"):
        for statistic in ("count", "mean", "min", "max", "sum"):
            kept = {"min_count": 1} if statistic == "sum" else {}
            expected = getattr(groups[name], statistic)(**kept).reindex(range(41))
            if statistic == "count":
                expected = expected.fillna(0)
            found = table[f"{name}_{statistic}"].astype(float)
            pd.testing.assert_series_equal(
                found, expected.astype(float), check_names=False, rtol=1e-12
            )
    assert table["value_sum"].isna().tolist() == [False] * 40 + [True]


def test_partitions_change_nothing_not_even_the_last_bit(bench, frames):
    points, zones = frames
    left, right = bench.frame(points, rows=700), bench.frame(zones)
    whole = bench.table(left, right, how="aggregate", statistics=EVERY, cuts=[])
    cut = bench.table(left, right, how="aggregate", statistics=EVERY, cuts=[1, 10, 1400, 3333])
    assert cut.equals(whole)


def test_zones_keep_their_geometry_and_key_when_asked(bench, frames, tmp_path):
    points, zones = frames
    path = bench.run(bench.frame(points), bench.frame(zones, covering=True), how="aggregate",
                     zone_geometry=True, right_key="code", index_column="zone",
                     statistics=(Statistic(name="count"),))  # fmt: skip
    found = gpd.read_parquet(path)
    assert found.crs == zones.crs
    assert found["zone"].tolist() == zones["code"].tolist()
    assert found.geometry.geom_equals(zones.geometry.reset_index(drop=True)).all()
    assert found["count"].sum() == len(gpd.sjoin(points, zones))
    facts = table_facts(TableSpec(paths=(path,)), tmp_path).facts
    assert facts["thumbnail"].startswith("<svg"), "the result is drawn"
    assert facts["bbox"]


def test_what_cannot_be_added_up_is_refused(bench, frames):
    points, zones = frames
    left, right = bench.frame(points.assign(text="a")), bench.frame(zones)
    for column, message in (("text", "numbers"), ("nothing", "columns of the left")):
        with pytest.raises(InputError, match=message):
            bench.run(
                left, right, how="aggregate", statistics=(Statistic(name="sum", column=column),)
            )
    with pytest.raises(ConfigError):
        Statistic(name="median", column="value")
    with pytest.raises(ConfigError):
        Statistic(name="sum")
    with pytest.raises(ConfigError, match="own"):
        bench.run(left, right, how="aggregate", index_column="count")


def sums_of(values, parts=1, zones=1, zone=None):
    array = pa.array(values)
    zone = np.zeros(len(values), np.intp) if zone is None else zone
    made = []
    for at in np.array_split(np.arange(len(values)), parts):
        made.append(Aggregate(rows=np.zeros(zones, np.int64), columns={
            "v": ColumnSums.empty("v", zones, whole=pa.types.is_integer(array.type))}))  # fmt: skip
        table = pa.table({"v": array})
        made[-1].add(zone[at], table, at)
    total = Aggregate.merged([Statistic(name="sum", column="v")], [m.dump() for m in made], zones)
    return total.columns["v"].total()


@given(
    st.lists(
        st.floats(
            allow_nan=False, allow_infinity=False, width=64, min_value=-1e300, max_value=1e300
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 5),
)
@settings(max_examples=200, deadline=None)
def test_sums_are_right_to_the_last_place(values, parts):
    (found,) = sums_of([float(v) for v in values], parts)
    exact = sum((Fraction(v) for v in values), Fraction(0))
    assert abs(Fraction(float(found)) - exact) <= 2 * Fraction(math.ulp(float(exact)))
    assert found == sums_of([float(v) for v in values], 1)[0]


@given(st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=3), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_whole_numbers_are_summed_exactly(values, parts):
    assert sums_of(values, parts)[0] == sum(values)


def test_sums_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="64 bits"):
        sums_of([2**62, 2**62])
    with pytest.raises(InputError, match="63 bits"):
        sums_of(np.array([2**64 - 1], np.uint64))


def test_infinite_values_stay_infinite():
    zone = np.array([0, 0, 1, 1, 2, 2])
    found = sums_of([np.inf, 1.0, -np.inf, 2.0, 3.0, 1e-30], 2, 3, zone)
    assert found.tolist() == [np.inf, -np.inf, 3.0]


def test_the_partial_results_are_small(bench, frames):
    points, zones = frames
    path = bench.run(bench.frame(points), bench.frame(zones), how="aggregate", statistics=EVERY)
    part = pq.read_metadata(path.parent / "part-000000.parquet")
    assert part.num_rows == 40
