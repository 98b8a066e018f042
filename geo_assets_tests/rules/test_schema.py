"""Schema rules: the declared columns and keys, and GeoParquet's own specification."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.rules.schema import SchemaRules, check_schema, conformance


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    frame = gpd.GeoDataFrame(
        {"id": ["a", "b", "a", None, "b", "c"], "n": range(6)},
        geometry=shapely.points([[i, i] for i in range(6)]),
        crs=4326,
    )
    path = tmp_path / "layer.parquet"
    frame.to_parquet(path, write_covering_bbox=True, schema_version="1.1.0", row_group_size=2)
    return path


def test_a_layer_as_declared_has_no_findings(layer: Path) -> None:
    kind = str(pq.read_schema(layer).field("id").type)
    rules = SchemaRules(columns={"id": kind, "n": "int64"}, key="n")
    assert check_schema([layer], rules).total == 0
    assert check_schema([layer], SchemaRules()).total == 0


def test_columns_and_keys_are_held_against_the_declaration(layer: Path) -> None:
    rules = SchemaRules(columns={"n": "int32", "owner": "string"}, key="id")
    found = check_schema([layer], rules)
    assert dict(found.counts) == {"wrong_type": 1, "missing_column": 1}
    assert "n is int64, not int32" in found.samples[0].detail
    found = check_schema([layer], SchemaRules(columns={"n": "int64"}, key="id"))
    assert dict(found.counts) == {"null_key": 1, "duplicate_key": 2}
    assert [s.feature for s in found.samples if s.kind == "duplicate_key"] == ["a", "b"]
    found = check_schema([layer, layer], SchemaRules(key="n"))
    assert dict(found.counts) == {"duplicate_key": 6}
    found = check_schema([layer], SchemaRules(columns={"n": "int64"}))
    assert [s.detail for s in found.samples] == ["layer.parquet has a column 'id'"]
    assert check_schema([layer], SchemaRules(columns={"n": "int64"}, extra_columns=True)).total == 0


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    edit(geo)
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), path)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda geo: geo.update(version="0.4.0"), "version is '0.4.0'"),
        (lambda geo: geo.update(primary_column="shape"), "'shape' is not among"),
        (lambda geo: geo.update(columns={}), "columns is empty"),
        (lambda geo: geo["columns"].update(other={}), "'other' is not in the file"),
        (lambda geo: geo["columns"]["geometry"].update(encoding="WKT"), "encoding is 'WKT'"),
        (lambda geo: geo["columns"]["geometry"].update(geometry_types=["Blob"]), "Blob"),
        (lambda geo: geo["columns"]["geometry"].update(geometry_types=["Point"] * 2), "twice"),
        (lambda geo: geo["columns"]["geometry"].update(crs={"type": "x"}), "no PROJJSON"),
        (lambda geo: geo["columns"]["geometry"].update(bbox=[1, 2, 3]), "bbox is"),
        (lambda geo: geo["columns"]["geometry"].update(edges="round"), "edges is 'round'"),
        (lambda geo: geo["columns"]["geometry"].update(orientation="cw"), "orientation"),
        (lambda geo: geo["columns"]["geometry"].update(covering={"bbox": {}}), "covering"),
    ],
)
def test_metadata_against_the_specification_is_named(
    edit: Callable[[dict[str, Any]], None], words: str, layer: Path
) -> None:
    assert not list(conformance(layer))
    change(layer, edit)
    found = list(conformance(layer))
    assert {defect.kind for defect in found} == {"bad_geo_metadata"}
    assert words in found[0].detail


def test_what_is_not_geoparquet_is_named(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain.parquet", tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), plain)
    other.write_bytes(b"PAR1 and nothing more")
    found = check_schema([plain, other], SchemaRules(key="a"))
    assert dict(found.counts) == {"no_geo_metadata": 1, "not_parquet": 1, "missing_column": 1} or (
        dict(found.counts) == {"no_geo_metadata": 1, "not_parquet": 1}
    )
