"""Numbers of a version are held against what is declared and against the version before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from geo_assets.checks.drift import (
    outside,
    previous,
    row_drift,
    row_drift_check,
    thin_data,
    value_drift,
    value_range_check,
)
from geo_assets.checks.stored import stored_checks
from geo_assets.errors import ConfigError
from geo_assets.model import Artifact, StoredObject
from geo_assets_tests.checks.conftest import Shelf

ASSET = "core/parcels"


async def test_rows_are_held_against_the_version_before(shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"a")
    files = [(file, "application/octet-stream")]
    first = await shelf.publish(ASSET, "one", files, rows=100)
    second = await shelf.publish(ASSET, "two", files, rows=70)

    assert await previous(first, shelf.store) is None
    before = await previous(second, shelf.store)
    assert before is not None
    assert before.version == "one"
    assert row_drift(second, before, 0.3).total == 0
    found = row_drift(second, before, 0.29)
    assert found.samples[0].detail == "70 rows, 100 before: -30%, allowed is 29%."
    assert row_drift(first, None, 0.1).total == 0

    declared = stored_checks(("core", "parcels"), None, row_drift_check(0.2, ""))
    verdicts = await shelf.check(dg.Definitions(asset_checks=[declared]), asset=ASSET)
    assert verdicts["objects"].passed
    assert not verdicts["row_drift"].passed
    assert verdicts["row_drift"].severity == dg.AssetCheckSeverity.WARN


def _tiles(*means: tuple[float, int], share: float = 1.0) -> Artifact:
    objects = tuple(
        StoredObject(
            name=f"{number}.tif", size=1, sha256="", media_type="image/tiff",
            facts={
                "stats": [{"min": 0.0, "max": 100.0, "mean": mean, "valid": valid}],
                "bounds": [500_000, 5_300_000, 500_000 + 1000 * number, 5_301_000],
            },
        )
        for number, (mean, valid) in enumerate(means)
    )  # fmt: skip
    properties: dict[str, Any] = {"numbers": {"valid_share": share}, "crs": "EPSG:32633"}
    return Artifact(asset=("core", "tiles"), partition=None, sequence=1, version="v",
                    data_prefix="d", objects=objects, properties=properties)  # fmt: skip


def test_mean_of_a_band_weighs_tiles_by_their_valid_pixels() -> None:
    before = _tiles((10.0, 300), (50.0, 100))  # a mean of 20
    assert value_drift(_tiles((29.0, 10)), before, 0.1).total == 0
    found = value_drift(_tiles((31.0, 10)), before, 0.1)
    assert found.samples[0].detail == "Band 1: mean 31, 20 before, which ranged from 0 to 100."
    assert value_drift(replace(before, objects=()), before, 0.1).total == 0


def test_data_that_vanished_is_drift_too() -> None:
    before = _tiles((10.0, 300))
    found = value_drift(_tiles((10.0, 300), share=0.3), before, 0.5)
    assert found.counts == {"nodata_drift": 1}
    assert found.samples[0].detail == "30.0% of the pixels have data, 100.0% before."
    assert value_drift(_tiles((10.0, 300), share=0.6), before, 0.5).total == 0


def test_too_few_pixels_with_data_are_told() -> None:
    assert thin_data(_tiles(share=0.5), 0.5).total == 0
    assert thin_data(_tiles(share=0.4), 0.5).counts == {"nodata_share": 1}


def test_tiles_with_values_out_of_range_are_named_and_placed() -> None:
    tiles = _tiles((10.0, 300), (50.0, 100))
    assert outside(tiles, 0.0, 100.0).total == 0
    found = outside(tiles, 0.5, 99.0)
    assert found.counts == {"below_range": 2, "above_range": 2}
    assert found.samples[0].feature == "0.tif"
    assert found.samples[0].detail == "Band 1: 0, declared are 0.5 to 99."
    assert found.samples[2].lon == pytest.approx(15.0067, abs=1e-3)
    assert found.samples[2].lat == pytest.approx(47.855, abs=1e-2)
    empty = _tiles((0.0, 0))
    assert outside(empty, 200.0, 300.0).total == 0, "a band without data has no values"


def test_threshold_without_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="row_change is a positive share"):
        row_drift_check(0.0, "vector_layer_asset('a')")
    with pytest.raises(ConfigError, match="value_range is the lowest and the highest"):
        value_range_check((5.0, 5.0), "")
