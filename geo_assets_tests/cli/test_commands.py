"""`run`, `plan`, `ls`, `show`, `gc`, `demo`, help texts and signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.instance.ref import InstanceRef

from geo_assets.demo import build_world
from geo_assets.demo.defects import Defects
from geo_assets_tests.cli.conftest import DAYS, Town

COMMANDS = ("check", "demo", "gc", "ls", "plan", "profile", "run", "show")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_exit_codes_mean(fresh: Town, command: str) -> None:
    text = fresh(command, "--help").output
    assert "Exit code:\n" in text
    assert max(map(len, text.splitlines())) <= 100


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, geo_assets.cli; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["dagster", "rasterio", "geopandas", "pandas", "pyarrow", "obstore", "numpy"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_plan_names_what_is_missing_stale_and_waiting(fresh: Town, clean: Town) -> None:
    def states(town: Town, *args: str) -> dict[tuple[str, str | None], str]:
        value = json.loads(town("plan", "--json", *args).output)
        return {(item["asset"], item["partition"]): item["state"] for item in value}

    assert set(states(clean).values()) == {"current"}
    missing = states(fresh)
    assert missing["raw/events", DAYS[0]] == "missing"
    assert missing["core/events", DAYS[0]] == "waits"
    assert missing["raw/scenes", "2026-06-01"] == "missing"
    assert not (fresh.folder / "store").exists()  # a plan makes nothing
    said = fresh("plan").output
    assert "layers/districts.gpkg is new" in said
    reads = {item["asset"]: item["input_bytes"] for item in json.loads(
        fresh("plan", '+key:"core/districts"', "--json").output)}  # fmt: skip
    delivery = fresh.folder / "source/layers/districts.gpkg"
    assert reads == {"raw/districts": delivery.stat().st_size, "core/districts": None}


def test_a_changed_source_makes_new_versions_and_gc_removes_the_old(
    clean: Town, tmp_path: Path
) -> None:
    town = clean.copy(tmp_path)
    build_world(tmp_path / "source", size_px=512, polygons=61, events_per_day=300,
                dates=["2026-06-01"], days=3, defects=Defects.none())  # fmt: skip
    plan = town("plan", "group:core or group:raw").output
    assert "layers/districts.gpkg is changed" in plan
    said = town("run", "+core/districts").output
    assert "2 made, 0 current already" in said
    chunks = json.loads(town("plan", "out/topology_report", "--json").output)
    assert [item["state"] for item in chunks] == ["stale"]
    assert chunks[0]["why"] == "core/districts changed"
    inputs = json.loads(town("ls", "core/districts", "--json").output)[0]["objects"]
    assert chunks[0]["input_bytes"] == sum(item["size"] for item in inputs)

    versions = town("show", "core/districts").output
    assert "version" in versions
    folders = list((tmp_path / "store/core/districts/all/data").iterdir())
    assert len(folders) == 2
    dry = town("gc", "core/districts", "--keep", "1", "--dry-run").output
    assert "would delete 1 version" in dry
    assert all(path.exists() for path in folders)
    assert "deleted 1 version" in town("gc", "core/districts", "--keep", "1").output
    assert sum(path.exists() for path in folders) == 1
    assert town("check", "core/districts", "--no-record").exit_code == 0


def test_ls_and_show_name_objects_that_exist(clean: Town) -> None:
    table = clean("ls").output.splitlines()
    assert table[0].split() == ["asset", "partitions", "objects", "size", "published"]
    assert [line.split()[0] for line in table[1:]] == [
        "core/districts", "core/events", "core/scene_tiles", "out/topology_report",
        "raw/districts", "raw/events", "raw/scenes",
    ]  # fmt: skip
    days = clean("ls", "core/events").output.splitlines()
    assert [line.split()[0] for line in days[1:]] == DAYS

    shown = clean("show", "core/events", "--partition", DAYS[0]).output
    value = json.loads(clean("show", "core/events", "--partition", DAYS[0], "--json").output)
    for item in value[0]["objects"]:
        assert Path(item["uri"]).stat().st_size == item["size"]
        assert item["uri"] in shown
    assert value[0]["version"] in shown
    assert "rows" in shown


@pytest.mark.parametrize("args", [["ls", "no/asset"], ["show", "core/events", "--partition", "x"]])
def test_what_is_not_published_is_code_2(clean: Town, args: list[str]) -> None:
    assert "geo-assets ls" in clean(*args, code=2).stderr


def test_run_goes_on_after_a_failed_asset_and_ends_with_1(clean: Town, tmp_path: Path) -> None:
    town = clean.copy(tmp_path)
    (tmp_path / "source/layers/districts.gpkg").write_bytes(b"not a geopackage")
    said = town("run", '+key:"core/districts" or +key:"core/events"', code=1).output
    assert "raw/districts" in said
    assert "FAILED" in said
    assert "Traceback" not in said
    assert "core/events                3 partitions, all current" in said


def test_output_that_is_no_terminal_has_no_control_characters(clean: Town) -> None:
    said = clean("run", "+core/events").output
    assert "\x1b" not in said
    assert "\r" not in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_its_workers_and_its_scratch(
    fresh: Town, number: signal.Signals, code: int
) -> None:
    process = fresh.process(
        "geo-assets", "run",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    workers = _workers(process.pid)
    process.send_signal(number)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == code, output
    assert f"Interrupted by {number.name}." in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert alive == []
    scratch = fresh.folder / "scratch"
    assert [path for path in scratch.rglob("*") if path.is_file()] == []
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(fresh.folder / "home"))) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]


def _workers(pid: int) -> list[psutil.Process]:
    """The processes below `pid`, once there are some that compute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        below = psutil.Process(pid).children(recursive=True)
        if len(below) > 1:
            return below
        time.sleep(0.02)
    pytest.fail("no worker was started")
