"""Reports and maps follow the data versions of what they show, once that is switched on."""

from __future__ import annotations

import dagster as dg
import pytest

from geo_assets.automation.conditions import SENSOR, when_inputs_change
from geo_assets.automation.jobs import automation
from geo_assets.definitions import defs as project

SCENES = dg.StaticPartitionsDefinition(["a", "b"])


def definitions() -> dg.Definitions:
    @dg.asset(automation_condition=when_inputs_change(), deps=["layer"])
    def report() -> None: ...

    @dg.asset(automation_condition=when_inputs_change(), deps=["scene"], partitions_def=SCENES)
    def map() -> None: ...  # noqa: A001

    @dg.asset
    def layer() -> None: ...

    @dg.asset(partitions_def=SCENES)
    def scene() -> None: ...

    return dg.Definitions(assets=[report, map, layer, scene])


class Clock:
    """Evaluates the conditions, tick after tick."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.definitions = definitions()
        self.cursor = None

    def version(self, asset: str, version: str, partition: str | None = None) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset, partition=partition, tags={"dagster/data_version": version}
            )
        )

    def tick(self) -> set[tuple[str, str | None]]:
        """What is asked for now; all of it is made at once."""
        result = dg.evaluate_automation_conditions(
            self.definitions,
            self.instance,
            cursor=self.cursor,
            asset_selection=dg.AssetSelection.assets("report", "map"),
        )
        self.cursor = result.cursor
        asked = {
            (name, key)
            for name in ("report", "map")
            for key in result.get_requested_partitions(dg.AssetKey(name))
        }
        for name, key in asked:
            self.version(name, "made", key)
        return asked


@pytest.fixture
def clock():
    with dg.instance_for_test() as instance:
        yield Clock(instance)


def test_only_another_version_makes_a_report_again(clock):
    clock.tick()
    clock.version("layer", "1")
    assert clock.tick() == {("report", None)}
    assert clock.tick() == set()
    clock.version("layer", "1")
    assert clock.tick() == set()
    clock.version("layer", "2")
    assert clock.tick() == {("report", None)}


def test_only_the_map_of_the_scene_that_has_changed_is_made_again(clock):
    clock.tick()
    clock.version("scene", "1", "a")
    clock.version("scene", "1", "b")
    assert clock.tick() == {("map", "a"), ("map", "b")}
    assert clock.tick() == set()
    clock.version("scene", "1", "a")
    clock.version("scene", "2", "b")
    assert clock.tick() == {("map", "b")}


def test_the_report_and_the_map_of_the_project_have_it():
    graph = project.resolve_asset_graph()
    labelled = {
        key.to_user_string()
        for key in graph.materializable_asset_keys
        if graph.get(key).automation_condition is not None
    }
    assert labelled == {"out/topology_report", "out/map"}


@pytest.mark.parametrize(("value", "status"), [("on", "RUNNING"), ("off", "STOPPED")])
def test_it_is_off_until_it_is_switched_on(monkeypatch, value, status):
    monkeypatch.setenv("GEO_ASSETS_AUTOMATION", value)
    sensors = {sensor.name: sensor for sensor in automation(definitions()).sensors}
    assert sensors[SENSOR].default_status.value == status
