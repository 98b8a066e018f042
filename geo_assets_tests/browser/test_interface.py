"""What people do in Dagster's UI, in a browser, on a stack as `dagster dev` starts one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from geo_assets.pictures.svg import INLINE_LIMIT
from geo_assets_tests.browser.conftest import DATES, launched
from geo_assets_tests.browser.interface import Interface
from geo_assets_tests.browser.stack import Stack

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("everything")]

BAD_DAY = "2026-06-02"


def rename(path: Path, old: str, new: str) -> None:
    """Give a column of a delivery another name."""
    table = pq.read_table(path)
    names = [new if name == old else name for name in table.column_names]
    pq.write_table(table.rename_columns(names).replace_schema_metadata(table.schema.metadata), path)


@pytest.fixture(scope="module")
def everything(stack: Stack) -> Iterator[str]:
    """All assets and partitions, asked for in the UI; one day has been delivered badly."""
    rename(stack.source / f"events/{BAD_DAY}.parquet", "id", "number")
    with launched() as browser:
        opened = Interface(browser.new_page(), stack.url)
        opened.open("/asset-groups")
        dialog = opened.materialize()
        dialog.get_by_role("button", name="Launch backfill").click()
        backfill = opened.launched("backfill")
        assert not opened.troubles
    assert stack.end_of_backfill(backfill) == "COMPLETED_FAILED"
    yield backfill


def test_materialize_all_makes_everything_but_the_bad_day(interface: Interface):
    interface.open_asset("core/events", "partitions")
    assert interface.states() == {"Failed": 1, "Materialized": 2, "Missing": 0}
    interface.open_asset("core/scene_tiles", "partitions")
    assert interface.states() == {"Failed": 0, "Materialized": 2, "Missing": 0}


def test_the_bad_day_is_made_once_it_is_delivered_well(interface: Interface, stack: Stack):
    rename(stack.source / f"events/{BAD_DAY}.parquet", "number", "id")
    interface.open_job("daily_events")
    dialog = interface.materialize()
    days = dialog.locator("input[type=text]").first
    days.fill(BAD_DAY)
    days.press("Enter")
    dialog.get_by_role("button", name="Launch 1 run").click()
    assert stack.end_of_run(interface.launched("run")) == "SUCCESS"
    interface.open_asset("core/events", "partitions")
    assert interface.states() == {"Failed": 0, "Materialized": 3, "Missing": 0}


@pytest.mark.parametrize(
    ("asset", "succeeded", "failed"),
    [("out/topology_report", ["edges"], ["gaps", "overlaps"]),
     ("core/scene_tiles", ["grid", "cog"], [])],
)  # fmt: skip
def test_checks_run_by_themselves(
    interface: Interface, stack: Stack, asset: str, succeeded: list[str], failed: list[str]
):
    interface.open_asset(asset, "checks")
    interface.page.get_by_role("button", name="Execute all").click()
    assert stack.end_of_run(interface.launched("run")) == "SUCCESS"
    interface.open_asset(asset, "checks")
    for names, verdict in ((succeeded, "Succeeded"), (failed, "Failed")):
        for name in names:
            interface.wait_for_check(name, verdict)


@pytest.mark.parametrize(
    ("asset", "partition"),
    [("raw/scenes", DATES[0]), ("core/scene_tiles", DATES[1]), ("core/events", "2026-06-01"),
     ("core/districts", None), ("out/topology_report", None), ("out/map", DATES[0])],
)  # fmt: skip
def test_every_picture_is_drawn(
    interface: Interface, stack: Stack, asset: str, partition: str | None
):
    texts = stack.drawn(asset, partition)
    inline = sum(len(text) <= INLINE_LIMIT for text in texts)
    interface.open_asset(asset, "events")
    pictures = interface.pictures(partition, inline=inline)
    assert len(pictures) == len(texts) > 0
    for text, width in pictures:
        assert width > 0, text
        assert text, "a picture says in words what it shows"
