"""What a deployment does by itself, once it is switched on."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import numpy as np
import rasterio

from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets_tests.automation import service as api
from geo_assets_tests.automation.service import Service
from geo_assets_tests.automation.small_defs import CELLS, REGIONS

SENSOR = {
    "repositoryName": "__repository__", "repositoryLocationName": api.LOCATION,
    "sensorName": "scenes_sensor",
}  # fmt: skip


def deliver(folder: Path, scene: str) -> None:
    """A scene that has not changed for a while."""
    path = folder / "scenes" / f"{scene}.tif"
    place = rasterio.Affine(10, 0, 500000, 0, -10, 5500000)
    options = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8",
               "crs": "EPSG:32633", "transform": place}  # fmt: skip
    with rasterio.open(path, "w", **options) as file:
        file.write(np.full((1, 64, 64), 7, "uint8"))
    os.utime(path, (1_700_000_000, 1_700_000_000))


def nothing_runs_until_it_is_switched_on(service, instance) -> None:
    """The daemon has looked at sensors and schedules all the time; the UI then starts one."""
    assert {"SENSOR", "SCHEDULER"} <= set(instance.get_daemon_heartbeats())
    found = service.automation()
    assert {"scenes_sensor", "daily_cells_schedule", "daily_cells_nightly"} <= set(found)
    assert set(found.values()) == {("STOPPED", 0)}
    by_sensor = dg.RunsFilter(tags={"dagster/sensor_name": "scenes_sensor"})
    assert instance.get_runs(by_sensor) == []

    assert service.ask(api.START_SENSOR, selector=SENSOR)["__typename"] == "Sensor"
    (run,) = service.until("a run", lambda: instance.get_runs(by_sensor))
    assert service.run_ended(run.run_id) == "SUCCESS"
    assert _ingested(instance) == {"2026-06-01"}

    def switched_off() -> bool:
        """Asked again: a tick under way writes the state it began with over the new one."""
        assert service.ask(api.RESET_SENSOR, selector=SENSOR)["__typename"] == "Sensor"
        return service.automation()["scenes_sensor"][0] == "STOPPED"

    service.until("the sensor is off", switched_off)
    found = service.automation()
    del found["scenes_sensor"]
    assert set(found.values()) == {("STOPPED", 0)}


def all_is_switched_on(service) -> None:
    assert {status for status, _ in service.automation().values()} == {"RUNNING"}


def a_day_that_is_over_is_made(service, instance) -> None:
    """The schedule is due every minute."""

    def runs() -> list[dg.DagsterRun]:
        tags = {"dagster/schedule_name": "daily_cells_schedule"}
        return instance.get_runs(dg.RunsFilter(tags=tags))

    (run, *_) = service.until("the schedule", runs)
    assert service.run_ended(run.run_id) == "SUCCESS"
    day = run.tags["dagster/run_key"]
    assert (run.tags[RANGE_START], run.tags[RANGE_END]) == (f"{day}|north", f"{day}|south")
    made = instance.get_materialized_partitions(dg.AssetKey(CELLS))
    assert made >= {f"{day}|{region}" for region in REGIONS}


def _ingested(instance) -> set[str]:
    """The scenes of which there are tiles."""
    return instance.get_materialized_partitions(dg.AssetKey(["core", "scene_tiles"]))


def the_sensor_ingests(service: Service, instance, source) -> None:
    deliver(source, "2026-06-02")
    both = {"2026-06-01", "2026-06-02"}
    service.until("the second scene", lambda: _ingested(instance) == both)
    (source / "scenes" / "2026-06-01.tif").unlink()

    def state() -> dict:
        return service.ask(api.SENSOR, selector=SENSOR)["sensorState"]

    def said() -> list[str]:
        events = [event for tick in state()["ticks"] for event in tick["logEvents"]["events"]]
        return [event["message"] for event in events]

    def deletions() -> list[str]:
        return [text for text in said() if "deleted at the source" in text]

    service.until("the deletion", deletions)
    scenes = dg.AssetKey(["raw", "scenes"])
    assert len(instance.fetch_observations(scenes, limit=9).records) == 1
    assert len(deletions()) == 1
    assert len([text for text in said() if "not a scene" in text and "notes.txt" in text]) == 1
    assert state()["status"] == "RUNNING"
    ticks = state()["ticks"]
    assert len(ticks) > 3
    assert len([run for tick in ticks for run in tick["runIds"]]) == 2
