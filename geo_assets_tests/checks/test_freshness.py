"""The age of data is that of the data: its time window, its sources, its STAC datetime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from geo_assets.checks.freshness import freshness_check, newest_data, stale
from geo_assets.errors import ConfigError
from geo_assets_tests.checks.conftest import Shelf

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-06-01")
SCENES = dg.StaticPartitionsDefinition(["b", "a"])


@pytest.fixture
def file(tmp_path: Path) -> list[tuple[Path, str]]:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a")
    return [(path, "application/octet-stream")]


async def test_of_time_windows_the_newest_one_counts(shelf: Shelf, file: Any) -> None:
    for day in ("2026-06-02", "2026-06-07"):
        await shelf.publish("core/events", day.replace("-", ""), file, partition=day)
    newest = await newest_data(shelf.store, ["core", "events"], DAYS, NOW)
    assert newest is not None
    assert newest.time == datetime(2026, 6, 8, tzinfo=UTC)
    assert newest.missing == 2  # the 8th and the 9th; the 10th is not over
    assert stale(newest, NOW, timedelta(days=3)).total == 0
    found = stale(newest, NOW, timedelta(days=2))
    assert found.counts == {"stale": 1}
    assert found.samples[0].detail == (
        "The newest data is of 2026-06-08 00:00 (core/events[2026-06-07]), 2.5 days old; "
        "2.0 days are allowed; 2 windows since are not there."
    )


async def test_of_scenes_the_datetime_of_the_newest_counts(shelf: Shelf, file: Any) -> None:
    times = {"a": "2026-06-09T12:00:00Z", "b": "2026-05-01T00:00:00Z"}
    for key, time in times.items():
        await shelf.publish("core/scenes", key, file, partition=key, datetime=time)
    newest = await newest_data(shelf.store, ["core", "scenes"], SCENES, NOW)
    assert newest is not None
    assert newest.label == "core/scenes[a]"
    assert stale(newest, NOW, timedelta(hours=24)).total == 0
    assert stale(newest, NOW, timedelta(hours=23)).total == 1


async def test_of_a_delivery_the_change_of_its_source_counts(shelf: Shelf, file: Any) -> None:
    sources = [{"path": "a.gpkg", "size": 1, "modified": "2026-06-01T00:00:00+00:00"}]
    await shelf.publish("raw/districts", "one", file, sources=sources)
    newest = await newest_data(shelf.store, ["raw", "districts"], None, NOW)
    assert newest is not None
    assert newest.time == datetime(2026, 6, 1, tzinfo=UTC)


async def test_the_check_warns_once_for_the_whole_asset(shelf: Shelf, file: Any) -> None:
    declared = freshness_check("core/events", max_age=timedelta(days=2), partitions=DAYS)
    nothing = await shelf.check(declared, asset="core/events", partitions=DAYS)
    assert not nothing["freshness"].passed
    assert nothing["freshness"].description == "Nothing is published."
    await shelf.publish("core/events", "old", file, partition="2026-06-02")
    old = await shelf.check(declared, asset="core/events", partitions=DAYS)
    assert not old["freshness"].passed
    assert old["freshness"].severity == dg.AssetCheckSeverity.WARN
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    await shelf.publish("core/events", "new", file, partition=yesterday)
    new = await shelf.check(declared, asset="core/events", partitions=DAYS)
    assert new["freshness"].passed


def test_an_age_without_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_age is a positive time"):
        freshness_check("core/events", max_age=timedelta(0))
