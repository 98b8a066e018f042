"""Rows that refer to nothing are found, whatever the types of the keys, and placed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import geopandas
import pandas as pd
import pytest
import shapely

from geo_assets.checks.references import referential_integrity_check
from geo_assets.errors import ConfigError
from geo_assets.kernels.references import ReferenceSpec, check_references
from geo_assets.model import PARQUET, Findings
from geo_assets_tests.checks.conftest import Shelf


def _districts(path: Path, keys: list[Any]) -> Path:
    pd.DataFrame({"district_id": keys}).to_parquet(path)
    return path


def _events(path: Path, refers: list[Any]) -> Path:
    points = shapely.points([(12 + number / 10, 50) for number in range(len(refers))])
    frame = geopandas.GeoDataFrame({"zone": refers}, geometry=points, crs="EPSG:4326")
    frame.to_crs("EPSG:32633").to_parquet(
        path,
        schema_version="1.1.0",
        write_covering_bbox=True,
        row_group_size=max(2, len(refers) // 4),
    )
    return path


def _look(
    tmp_path: Path, refers: list[Any], keys: list[Any], *, nulls: bool = False, to: str = ""
) -> Findings:
    spec = ReferenceSpec(
        paths=(_events(tmp_path / "events.parquet", refers),),
        column="zone",
        to_paths=(_districts(tmp_path / "districts.parquet", keys),),
        to_key=to or "district_id",
        nulls=nulls,
    )
    return Findings.from_dict(check_references(spec, tmp_path).facts["references"])


@pytest.mark.parametrize(
    ("refers", "keys"),
    [(["a", "b", "a"], ["b", "a", "c"]), ([1, 2, 2], [1, 2, 3]), (["1", "2", "1"], [2, 1])],
)
def test_references_that_lead_somewhere_pass(
    tmp_path: Path, refers: list[Any], keys: list[Any]
) -> None:
    found = _look(tmp_path, refers, keys)
    assert (found.checked, found.total) == (3, 0)


def test_what_leads_nowhere_is_named_and_placed(tmp_path: Path) -> None:
    found = _look(tmp_path, ["a", "b", "x", None, "y"], ["a", "b"])
    assert (found.checked, found.counts) == (5, {"unknown_reference": 2, "null_reference": 1})
    assert [sample.feature for sample in found.samples] == ["x", None, "y"]
    assert found.samples[0].lon == pytest.approx(12.2, abs=1e-6)
    assert found.samples[0].lat == pytest.approx(50.0, abs=1e-6)
    assert found.samples[0].detail == "zone 'x' is no district_id there."
    assert _look(tmp_path, ["a", None], ["a"], nulls=True).total == 0


def test_counts_are_those_of_a_merge_by_pandas(tmp_path: Path) -> None:
    refers = [number % 700 for number in range(5000)]
    keys = list(range(0, 700, 3))
    found = _look(tmp_path, refers, keys)
    merged = pd.DataFrame({"k": refers}).merge(
        pd.DataFrame({"k": keys}), how="left", indicator=True
    )
    assert found.counts == {"unknown_reference": int((merged["_merge"] == "left_only").sum())}


def test_a_column_that_is_not_there_is_a_defect(tmp_path: Path) -> None:
    found = _look(tmp_path, ["a"], ["a"], to="id")
    assert found.counts == {"missing_column": 1}
    assert "districts.parquet has no column 'id'" in found.samples[0].detail


async def test_the_check_holds_current_versions_together(shelf: Shelf, tmp_path: Path) -> None:
    days = dg.StaticPartitionsDefinition(["mon", "tue"])
    declared = referential_integrity_check(
        "out/events", column="zone", to="core/districts", key="district_id", partitions=days
    )
    districts = _districts(tmp_path / "districts.parquet", ["a", "b"])
    events = _events(tmp_path / "events.parquet", ["a", "b"])
    await shelf.publish("out/events", "one", [(events, PARQUET)], partition="mon", rows=2)

    async def verdict() -> dg.AssetCheckEvaluation:
        found = await shelf.check(declared, asset="out/events", partitions=days, partition="mon")
        return found["references_districts"]

    assert "Materialize core/districts first" in str((await verdict()).description)
    await shelf.publish("core/districts", "one", [(districts, PARQUET)], rows=2)
    assert (await verdict()).passed
    _districts(districts, ["a", "c"])
    await shelf.publish("core/districts", "two", [(districts, PARQUET)], rows=2)
    failed = await verdict()
    assert not failed.passed
    assert failed.description == "1 defect in 2 checked: 1 unknown_reference"


def test_a_declaration_without_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="to_partitioned goes with partitions"):
        referential_integrity_check("a", column="b", to="c", key="d", to_partitioned=True)
