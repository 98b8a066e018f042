"""One small world for all, materialized once; tests that change it take a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from geo_assets.demo import WorldReport, build_world
from geo_assets.demo.defects import Defects
from geo_assets_tests.whole.project import EVENTS, LAYER, SCENES, Project, Ran

DATES = ("2026-06-01", "2026-08-15")
DEFECTS = Defects(gap=1, overlap=1, bowtie=1, duplicate=1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldReport:
    """Two scenes of 512 pixels, 61 districts with four defects, three days of events."""
    return build_world(
        tmp_path_factory.mktemp("world"), size_px=512, dates=DATES, polygons=60,
        events_per_day=300, days=3, defects=DEFECTS,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The world after its first runs."""

    project: Project
    instance: dg.DagsterInstance
    layer: Ran
    """A run of assets without partitions."""
    scenes: Ran
    """A run of a range of dynamic partitions."""
    events: Ran
    """A run of a range of days."""


@pytest.fixture(scope="session")
def done(world: WorldReport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """Everything materialized and checked, with every blocking call of ours an error."""
    folder = tmp_path_factory.mktemp("done")
    project = Project(source=world.folder, root=folder / "root", scratch=folder / "scratch")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("scenes", list(DATES))
        yield Done(
            project=project,
            instance=instance,
            layer=project.run(instance, *LAYER),
            scenes=project.run(instance, *SCENES, span=DATES),
            events=project.run(instance, *EVENTS, span=("2026-06-01", "2026-06-03")),
        )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        made.add_dynamic_partitions("scenes", list(DATES))
        yield made


@pytest.fixture
def copied(done: Done, tmp_path: Path) -> Project:
    """The materialized project with a source and a root that a test may spoil."""
    shutil.copytree(done.project.source, tmp_path / "source")
    shutil.copytree(done.project.root, tmp_path / "root")
    return replace(done.project, source=tmp_path / "source", root=tmp_path / "root")


@pytest.fixture
def fresh(world: WorldReport, tmp_path: Path) -> Project:
    """The project with an empty root."""
    return Project(source=world.folder, root=tmp_path / "root", scratch=tmp_path / "scratch")


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Runs start worker processes: on a busy machine each takes its time."""
    for item in items:
        if "whole" in item.nodeid and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(240))
