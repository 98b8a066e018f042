"""Values and geometries of every kind survive every way that a feature can go."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import CRS

from geo_assets.kernels.changes import CHANGES
from geo_assets.kernels.geoparquet import geo_schema
from geo_assets.kernels.layer_spec import CleanSpec
from geo_assets.kernels.topology_clean import CLEANED, clean_coverage
from geo_assets.policies import CoverageRepair
from geo_assets.rules.geo_metadata import read_geo_column


def written(path: Path, shapes: list, crs: int) -> pa.Table:
    """A delivery with columns of every kind, one row for each shape."""
    number = len(shapes)
    table = pa.table({
        "größe": pa.array([1.5, None, float("nan")] * number)[:number],
        "money": pa.array([Decimal("1.10"), None] * number, pa.decimal128(10, 2))[:number],
        "day": pa.array([dt.date(1, 1, 1), None] * number)[:number],
        "tags": pa.array([["a", "b"], None, []] * number, pa.list_(pa.string()))[:number],
        "address": pa.array([{"street": "Ü", "no": 1}, None] * number)[:number],
        "bbox": pa.array(["mine"] * number),
        "id": pa.array([f"北{i}" for i in range(number)]),
    })  # fmt: skip
    wkb = pa.array(shapely.to_wkb(np.array(shapes, dtype=object), flavor="iso"), pa.binary())
    schema = geo_schema(table.schema, CRS(crs), covering=None)
    pq.write_table(pa.Table.from_arrays([*table.columns, wkb], schema=schema), path)
    return table


def same(got: pa.Table, wanted: pa.Table) -> None:
    for name in wanted.column_names:
        assert got.column(name).type == wanted.column(name).type
        values = zip(got.column(name).to_pylist(), wanted.column(name).to_pylist(), strict=True)
        for mine, theirs in values:
            assert mine == theirs or (mine != mine and theirs != theirs)


def test_what_is_quarantined_is_as_delivered_and_located(build: Any, tmp_path: Path) -> None:
    shapes = [
        shapely.Point(8, 47, 300),
        shapely.Point(-80, 35),  # PROJ puts it somewhere in the Swiss grid, far off the map
        None,
        shapely.LineString([(8, 47, 1), (9, 46, 2)]),
    ]
    table = written(tmp_path / "in.parquet", shapes, 4326)
    result, got = build(tmp_path / "in.parquet", crs="EPSG:2056", key="id",
                        geometry_types=("Point",))  # fmt: skip
    lost = pq.read_table(result.files[1].path).sort_by("_row")
    assert lost.column("_reason").to_pylist() == [
        "untransformable", "null_geometry", "unexpected_type",
    ]  # fmt: skip
    same(lost, table.slice(1))
    back = shapely.from_wkb(lost.column("geometry").to_numpy())
    assert shapely.to_wkb(back).tolist() == shapely.to_wkb(np.array(shapes[1:])).tolist()
    samples = result.facts["quarantine"]["samples"]
    assert [(s["feature"], s.get("lon"), s.get("lat")) for s in samples] == [
        ("北1", -80, 35), ("北2", None, None), ("北3", 8.5, 46.5),
    ]  # fmt: skip
    assert got["id"].tolist() == ["北0"]
    assert got.geometry[0].z == pytest.approx(300)


def test_a_cleaned_layer_keeps_its_columns_row_groups_and_covering(
    build: Any, tmp_path: Path
) -> None:
    shapes = [shapely.box(x, 5e6, x + 10, 5e6 + 10) for x in np.arange(4e5, 4e5 + 60, 10)]
    shapes[2] = shapely.box(4e5 + 19.5, 5e6, 4e5 + 30, 5e6 + 10)  # half a metre into its neighbour
    table = written(tmp_path / "in.parquet", shapes, 32633)
    result, _ = build(tmp_path / "in.parquet", key="id")
    layer = result.files[0].path
    (tmp_path / "clean").mkdir()
    cleaned = clean_coverage(
        CleanSpec(layer=layer, key="id", how=CoverageRepair(width_m=1.0)), tmp_path / "clean"
    )
    assert {file.name for file in cleaned.files} == {CLEANED, CHANGES}
    before, after = pq.ParquetFile(layer), pq.ParquetFile(tmp_path / "clean" / CLEANED)
    assert after.schema_arrow.names == before.schema_arrow.names
    assert read_geo_column(tmp_path / "clean" / CLEANED).covering == "bbox_1"
    same(after.read().sort_by("id"), table)
    sizes = [
        [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        for file in (before, after)
    ]
    assert sizes[0] == sizes[1]
    assert cleaned.facts["repair"]["changed_m2"] == pytest.approx(5.0)


def test_a_place_that_the_target_cannot_show_is_quarantined(build: Any, tmp_path: Path) -> None:
    written(tmp_path / "in.parquet", [shapely.Point(14, 50), shapely.Point(105, 0)], 4326)
    result, got = build(tmp_path / "in.parquet", crs="EPSG:32633", key="id")  # PROJ says inf
    (sample,) = result.facts["quarantine"]["samples"]
    assert sample["kind"] == "untransformable"
    assert (sample["lon"], sample["lat"]) == (105, 0)
    assert got["id"].tolist() == ["北0"]
