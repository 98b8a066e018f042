"""A run that is killed or terminated leaves nothing behind but finished chunks."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import psutil
import pytest

from geo_assets.demo.scenes import write_scene
from geo_assets.demo.world import World
from geo_assets.kernels import tiling
from geo_assets_tests.whole.process import CHUNK_PIXELS, SCENE
from geo_assets_tests.whole.project import SCENES, Project, commits, failures, made, stored

RAW, CORE = SCENES
PLACE = f"core/scene_tiles/{SCENE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """The same work, once, by a run that nobody interrupts."""

    before: Project
    """Only the raw scene is there."""
    after: Project
    chunks: int


@pytest.fixture(scope="module")
def small_chunks() -> Iterator[None]:
    """Runs in this process cut scenes as those in the other process do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiling, "CHUNK_PIXELS", CHUNK_PIXELS)
        yield


@pytest.fixture(scope="module")
def undisturbed(small_chunks, tmp_path_factory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    scene = folder / "source/scenes" / f"{SCENE}.tif"
    scene.parent.mkdir(parents=True)
    write_scene(scene, World(seed=3, size_px=1024), dt.date.fromisoformat(SCENE))
    before = Project(source=folder / "source", root=folder / "raw", scratch=folder / "scratch")
    after = replace(before, root=folder / "root")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("scenes", [SCENE])
        first = before.run(instance, RAW, partition=SCENE)
        assert first.success, failures(first)
        shutil.copytree(before.root, after.root)
        second = after.run(instance, CORE, partition=SCENE)
        assert second.success, failures(second)
        (shown,) = made(second, *CORE).values()
    assert shown["geo_assets/chunks_resumed"] == 0
    return Undisturbed(before=before, after=after, chunks=shown["geo_assets/chunks"])


@pytest.fixture
def project(undisturbed, tmp_path) -> Project:
    shutil.copytree(undisturbed.before.root, tmp_path / "root")
    return replace(undisturbed.before, root=tmp_path / "root", scratch=tmp_path / "scratch")


class Run:
    """The run in a process group of its own."""

    def __init__(self, project: Project, home: Path) -> None:
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        self.id = str(uuid.uuid4())
        self.home = home
        self.root = project.root
        self.log = home / "log"
        command = [sys.executable, "-m", "geo_assets_tests.whole.process", str(project.source),
                   str(project.root), str(project.scratch), self.id]  # fmt: skip
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=os.environ | {"DAGSTER_HOME": str(home)}, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip

    def receipts(self) -> int:
        return len(list((self.root / PLACE).glob("data/*/_chunks/*.json")))

    def until_halfway(self) -> list[psutil.Process]:
        """Wait for two finished chunks; all processes of the run at that moment."""
        deadline = time.monotonic() + 90
        while self.receipts() < 2:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            assert not self.published()
            time.sleep(0.005)
        return psutil.Process(self.process.pid).children(recursive=True)

    def published(self) -> list[str]:
        """What anybody could take for a result."""
        names = ("_commits", "item.json", "collection.json")
        found = [path for path in (self.root / "core").rglob("*") if path.name in names]
        return [str(path) for path in found if path.name != "_commits" or any(path.iterdir())]

    def status(self) -> dg.DagsterRunStatus:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            run = instance.get_run_by_id(self.id)
            assert run is not None
            return run.status


@pytest.fixture
def started(project, tmp_path) -> Iterator[Run]:
    run = Run(project, tmp_path / "home")
    yield run
    if run.process.poll() is None:
        os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()


def assert_gone(processes: list[psutil.Process], within: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=within)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def assert_resumed(project: Project, instance, undisturbed: Undisturbed, done: int) -> None:
    """The next run does what is missing, and the result is that of an undisturbed run."""
    again = project.run(instance, CORE, partition=SCENE)
    assert again.success, failures(again)
    (shown,) = made(again, *CORE).values()
    assert shown["geo_assets/chunks"] == undisturbed.chunks
    assert 2 <= done <= shown["geo_assets/chunks_resumed"] < undisturbed.chunks
    assert shown["geo_assets/chunks_done"] >= (
        undisturbed.chunks - shown["geo_assets/chunks_resumed"]
    ), "and only those, besides the index"
    assert shown["geo_assets/chunks_done"] <= undisturbed.chunks - done + 1
    assert stored(project.root) == stored(undisturbed.after.root)
    assert commits(project.root) == commits(undisturbed.after.root)
    assert list(project.scratch.iterdir()) == [], "what the dead run left is swept"


def test_kill_9_in_mid_run_then_only_the_missing_chunks_are_done(
    started, project, undisturbed, instance
):
    workers = started.until_halfway()
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()
    assert len(workers) >= 2
    assert_gone(workers, within=5)
    assert not started.published()
    done = started.receipts()
    assert_resumed(project, instance, undisturbed, done)


def test_a_terminated_run_ends_in_time_and_is_resumed(started, project, undisturbed, instance):
    workers = started.until_halfway()
    began = time.monotonic()
    started.process.send_signal(signal.SIGTERM)
    started.process.wait(15)
    assert time.monotonic() - began < 5
    assert_gone(workers, within=1)
    assert started.status() in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)
    assert not started.published()
    assert list(project.scratch.iterdir()) == []
    assert_resumed(project, instance, undisturbed, started.receipts())
