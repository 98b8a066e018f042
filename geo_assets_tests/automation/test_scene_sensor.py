"""The sensor of a series: what it asks for when scenes arrive, change and go."""

from __future__ import annotations

import time
from collections.abc import Sequence

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from geo_assets.automation.listing import Limits
from geo_assets.automation.scenes import scene_sensor
from geo_assets.automation.switch import is_on
from geo_assets.declarations import SceneSeries
from geo_assets.errors import ConfigError
from geo_assets.grids import SquareGrid
from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets.resources import GeoStore


def series(source: str = "scenes/{scene}.tif", bands: tuple[str, ...] = ()) -> SceneSeries:
    grid = SquareGrid(crs="EPSG:32633", resolution=10.0, cell_px=256)
    return SceneSeries(name="scene_tiles", scenes="scenes", source=source, grid=grid, bands=bands)


class Sensor:
    """A sensor with the cursor and the partitions that a daemon would keep for it."""

    def __init__(self, instance, geo_store, declared=None, **limits) -> None:
        self.instance = instance
        self.store = geo_store
        self.cursor: str | None = None
        self._sensor = scene_sensor(declared or series(), limits=Limits(**limits))
        self._assets = dg.Definitions(
            assets=[
                dg.AssetSpec(["raw", "scenes"], partitions_def=_SCENES),
                dg.AssetSpec(["core", "scene_tiles"], partitions_def=_SCENES),
            ]
        )

    def evaluate(self) -> tuple[dg.SensorExecutionData, str]:
        """One tick whose outcome Dagster never hears of, and the cursor that it had asked for."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"geo_store": self.store},
            definitions=self._assets,
        ) as context:
            data = self._sensor.evaluate_tick(context)
        return data, data.cursor

    def tick(self) -> dg.SensorExecutionData:
        data, self.cursor = self.evaluate()
        for request in data.dynamic_partitions_requests:
            self.instance.add_dynamic_partitions("scenes", request.partition_keys)
        return data


_SCENES = dg.DynamicPartitionsDefinition(name="scenes")


@pytest.fixture
def sensor(instance, geo_store):
    return Sensor(instance, geo_store)


def added(data) -> list[str]:
    return [key for request in data.dynamic_partitions_requests for key in request.partition_keys]


def ranges(data) -> list[tuple[str, str]]:
    return [(run.tags[RANGE_START], run.tags[RANGE_END]) for run in data.run_requests]


def names(count: int, first: int = 0) -> Sequence[str]:
    return [f"s{number:05}" for number in range(first, first + count)]


def test_new_scenes_become_partitions_and_one_run(sensor, folder):
    folder.put("scenes/a.tif", "scenes/b.tif", "scenes/c.tif")
    data = sensor.tick()
    assert added(data) == ["a", "b", "c"]
    assert ranges(data) == [("a", "c")]
    again = sensor.tick()
    assert (again.run_requests, again.skip_message) == ([], "Nothing new among 3 objects")


def test_a_changed_scene_is_run_again_and_an_unchanged_one_is_not(sensor, folder):
    folder.put("scenes/a.tif", "scenes/b.tif")
    sensor.tick()
    folder.put("scenes/b.tif", body=b"xy")
    assert ranges(sensor.tick()) == [("b", "b")]
    folder.put("scenes/b.tif", body=b"xz", at=1_700_000_001)
    data = sensor.tick()
    assert (added(data), ranges(data)) == ([], [("b", "b")])


def test_a_copy_with_an_old_time_is_seen(sensor, folder):
    """A watermark on modification times would miss it."""
    folder.put("scenes/b.tif")
    sensor.tick()
    folder.put("scenes/a.tif", at=1_000_000_000)
    assert ranges(sensor.tick()) == [("a", "a")]


def test_a_new_and_a_changed_scene_share_a_run(sensor, folder):
    folder.put("scenes/a.tif", "scenes/b.tif")
    sensor.tick()
    folder.put("scenes/a.tif", body=b"other")
    folder.put("scenes/c.tif")
    data = sensor.tick()
    assert added(data) == ["c"]
    assert ranges(data) == [("a", "c")]
    assert data.run_requests[0].tags["geo_assets/wanted"] == "2"


def test_deleted_scenes_are_reported_once_and_come_back_as_new(sensor, folder):
    folder.put("scenes/a.tif", "scenes/b.tif")
    sensor.tick()
    folder.remove("scenes/a.tif")
    data = sensor.tick()
    assert [(event.asset_key.path, event.partition) for event in data.asset_events] == [
        (["raw", "scenes"], "a")
    ]
    assert (data.run_requests, added(data)) == ([], [])
    assert not sensor.tick().asset_events
    folder.put("scenes/a.tif")
    data = sensor.tick()
    assert (added(data), ranges(data)) == ([], [("a", "a")])


def test_malformed_names_are_reported_once_and_stop_nothing(sensor, folder, capsys):
    folder.put("scenes/a.tif", "scenes/notes.txt", "scenes/b|c.tif", "scenes/x...y.tif")
    folder.put("scenes/" + "n" * 181 + ".tif")
    assert ranges(sensor.tick()) == [("a", "a")]
    told = [line for line in capsys.readouterr().err.splitlines() if "not a scene" in line]
    assert len(told) == 4
    assert any("notes.txt" in line for line in told)
    folder.put("scenes/d.tif")
    assert ranges(sensor.tick()) == [("d", "d")]
    assert "not a scene" not in capsys.readouterr().err


def test_a_tick_that_dagster_never_heard_of_is_repeated_alike(sensor, folder):
    folder.put("scenes/a.tif", "scenes/b.tif")
    sensor.tick()
    folder.put("scenes/c.tif")
    lost, _ = sensor.evaluate()
    data = sensor.tick()
    assert [run.run_key for run in data.run_requests] == [run.run_key for run in lost.run_requests]
    assert added(data) == added(lost) == ["c"]


def test_the_same_change_twice_is_two_runs(sensor, folder):
    folder.put("scenes/a.tif")
    first = sensor.tick()
    folder.put("scenes/a.tif", body=b"other")
    sensor.tick()
    folder.put("scenes/a.tif")
    back = sensor.tick()
    assert back.run_requests[0].run_key != first.run_requests[0].run_key


def test_a_tick_stops_at_its_limit_and_the_next_goes_on_there(instance, geo_store, folder):
    sensor = Sensor(instance, geo_store, partitions=3)
    folder.put(*(f"scenes/{name}.tif" for name in names(8)))
    assert ranges(sensor.tick()) == [("s00000", "s00002")]
    folder.remove("scenes/s00001.tif")
    folder.put("scenes/s00007.tif", body=b"changed meanwhile")
    assert ranges(sensor.tick()) == [("s00003", "s00005")]
    data = sensor.tick()
    assert ranges(data) == [("s00006", "s00007")]
    assert not data.asset_events
    assert [event.partition for event in sensor.tick().asset_events] == ["s00001"]


def test_a_tick_without_time_still_makes_progress(instance, geo_store, folder):
    sensor = Sensor(instance, geo_store, seconds=0.0)
    folder.put("scenes/a.tif", "scenes/b.tif")
    assert [ranges(sensor.tick()) for _ in range(2)] == [[("a", "a")], [("b", "b")]]


def test_ten_thousand_scenes_take_three_ticks_and_then_none(instance, geo_store, folder):
    """A tick stops at 5,000 new scenes; what is known is compared in one tick however much."""
    folder.put(*(f"scenes/{name}.tif" for name in names(12_000)))
    sensor = Sensor(instance, geo_store)
    started = time.monotonic()
    found = [ranges(sensor.tick()) for _ in range(3)]
    assert found == [[("s00000", "s04999")], [("s05000", "s09999")], [("s10000", "s11999")]]
    quiet = sensor.tick()
    assert not quiet.run_requests
    assert quiet.skip_message == "Nothing new among 12,000 objects"
    assert time.monotonic() - started < 60  # what Dagster gives to each of them
    assert len(sensor.cursor) < 200


def test_two_thousand_new_scenes_among_known_ones_take_one_tick(instance, geo_store, folder):
    folder.put(*(f"scenes/{name}.tif" for name in names(4000)))
    sensor = Sensor(instance, geo_store)
    sensor.tick()
    folder.put(*(f"scenes/{name}.tif" for name in names(2000, first=4000)))
    folder.remove("scenes/s00100.tif")
    data = sensor.tick()
    assert ranges(data) == [("s04000", "s05999")]
    assert [event.partition for event in data.asset_events] == ["s00100"]


def test_names_that_sort_differently_as_folders_are_not_skipped(instance, geo_store, folder):
    """`a.b/` comes before `a/` in a bucket's listing; a folder's must be the same to resume."""
    declared = series("scenes/{scene}/image.tif")
    sensor = Sensor(instance, geo_store, declared, partitions=1)
    folder.put(*(f"scenes/{name}/image.tif" for name in ("a", "a.b", "a-b", "a0")))
    assert [ranges(sensor.tick())[0][0] for _ in range(4)] == ["a-b", "a.b", "a", "a0"]


def test_a_scene_waits_for_all_its_bands(instance, geo_store, folder):
    declared = series("scenes/{scene}_{band}.tif", ("B1", "B2"))
    sensor = Sensor(instance, geo_store, declared)
    folder.put("scenes/a_B1.tif", "scenes/b_B1.tif", "scenes/b_B2.tif")
    assert ranges(sensor.tick()) == [("b", "b")]
    assert not sensor.tick().run_requests
    folder.put("scenes/a_B2.tif")
    assert ranges(sensor.tick()) == [("a", "a")]
    folder.put("scenes/a_B1.tif", body=b"changed")
    assert ranges(sensor.tick()) == [("a", "a")]


def test_a_file_that_is_still_being_copied_waits(sensor, folder):
    folder.put("scenes/a.tif", at=time.time())
    assert not sensor.tick().run_requests
    folder.put("scenes/a.tif")
    assert ranges(sensor.tick()) == [("a", "a")]


def test_scattered_changes_share_ranges(sensor, folder):
    folder.put(*(f"scenes/{name}.tif" for name in names(1300)))
    sensor.tick()
    for name in ("s00000", "s00010", "s01200"):
        folder.put(f"scenes/{name}.tif", body=b"other")
    assert ranges(sensor.tick()) == [("s00000", "s00010"), ("s01200", "s01200")]


def test_a_lost_memory_looks_at_everything_again(sensor, folder, tmp_path):
    folder.put("scenes/a.tif")
    sensor.tick()
    for file in (tmp_path / "store" / "_sensors" / "scenes").iterdir():
        file.unlink()
    assert ranges(sensor.tick()) == [("a", "a")]


def test_a_bucket_is_watched_like_a_folder(instance, tmp_path, s3_server):
    bucket = s3_server.bucket()
    s3 = S3Resource(
        endpoint_url=s3_server.endpoint,
        region_name=s3_server.region,
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret,
    )
    store = GeoStore(root=str(tmp_path / "store"), source=f"s3://{bucket}/in", s3=s3)
    sensor = Sensor(instance, store, partitions=2)
    for name in ("a", "b", "c"):
        s3_server.put(f"/{bucket}/in/scenes/{name}.tif", b"x")
    assert [ranges(sensor.tick()) for _ in range(2)] == [[("a", "b")], [("c", "c")]]
    s3_server.put(f"/{bucket}/in/scenes/b.tif", b"changed")
    assert [ranges(sensor.tick()) for _ in range(2)] == [[("b", "b")], []]


def test_a_bucket_of_more_than_one_page_is_gone_through(instance, tmp_path, s3_server):
    """S3 lists a thousand objects at a time."""
    bucket = s3_server.bucket()
    for name in names(1100):
        s3_server.put(f"/{bucket}/in/scenes/{name}.tif", b"x")
    s3 = S3Resource(
        endpoint_url=s3_server.endpoint, region_name=s3_server.region,
        aws_access_key_id=s3_server.access_key, aws_secret_access_key=s3_server.secret,
    )  # fmt: skip
    store = GeoStore(root=str(tmp_path / "store"), source=f"s3://{bucket}/in", s3=s3)
    sensor = Sensor(instance, store, partitions=1050)
    assert [ranges(sensor.tick()) for _ in range(3)] == [
        [("s00000", "s01049")], [("s01050", "s01099")], [],
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [("on", True), ("off", False), ("", False)])
def test_one_variable_switches_everything_on(monkeypatch, value, expected):
    monkeypatch.setenv("GEO_ASSETS_AUTOMATION", value)
    assert is_on() is expected
    status = scene_sensor(series()).default_status
    assert (status == dg.DefaultSensorStatus.RUNNING) is expected


def test_another_value_of_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv("GEO_ASSETS_AUTOMATION", "yes")
    with pytest.raises(ConfigError, match="on or off"):
        scene_sensor(series())
