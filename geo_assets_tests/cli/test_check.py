"""`geo-assets check`: exit codes, what is looked at, and the reports for CI."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import dagster as dg
import pytest

from geo_assets_tests.cli.conftest import DAYS, Town

ROOT = Path(__file__).parents[2]


def test_planted_defects_fail_and_are_named_in_every_report(flawed: Town, tmp_path: Path) -> None:
    junit, file = tmp_path / "reports/junit.xml", tmp_path / "checks.json"
    result = flawed("check", "--github", "--junit", str(junit), "--json", str(file), code=1)
    value = json.loads(file.read_text())
    failed = {
        (item["asset"], item["check"]): item
        for item in value["checks"]
        if item["status"] == "failed"
    }
    assert set(failed) == {
        ("core/districts", "geometry"),
        *(("out/topology_report", name) for name in ("gaps", "overlaps", "duplicates", "shapes")),
    }
    assert value["exit_code"] == 1
    assert value["counts"]["failed"] == 5
    planted = flawed.truth["districts"]["defects"]
    for check, kind in (("gaps", "gap"), ("overlaps", "overlap"), ("duplicates", "duplicate")):
        found = {
            frozenset(sample["feature"].split("+"))
            for sample in failed["out/topology_report", check]["samples"]
        }
        assert found == {frozenset(ids) for ids in planted[kind]}

    root = ET.parse(junit).getroot()
    assert int(root.get("tests", "")) == len(value["checks"])
    assert int(root.get("failures", "")) == 5
    assert int(root.get("errors", "")) == 0
    assert {case.get("classname") for case in root.iter("testcase") if len(case)} == {
        "core/districts",
        "out/topology_report",
    }

    errors = [line for line in result.output.splitlines() if line.startswith("::")]
    assert len(errors) == 5
    assert all(line.startswith("::error title=") for line in errors)
    gap = "+".join(planted["gap"][0]), "+".join(reversed(planted["gap"][0]))
    assert any(ids in line for line in errors for ids in gap)


def test_a_world_without_defects_passes(clean: Town) -> None:
    result = clean("check", "--json", "-")
    checks = json.loads(result.stdout)["checks"]
    assert {item["status"] for item in checks} == {"passed"}
    events = {item["partition"] for item in checks if item["asset"] == "core/events"}
    assert events == set(DAYS)
    assert {item["partition"] for item in checks if item["asset"] == "core/scene_tiles"} == {
        "2026-06-01"
    }
    assert "passed" in result.stderr  # the lines for people make room for the JSON


def test_verdicts_are_recorded_for_each_partition_unless_unwanted(clean: Town) -> None:
    def runs() -> int:
        with dg.DagsterInstance.from_config(str(clean.folder / "home")) as instance:
            return instance.get_runs_count()

    before = runs()
    clean("check", "core/events", "--no-record")
    assert runs() == before
    clean("check", "core/events", "--partition", DAYS[1])
    assert runs() == before + 1


def test_what_is_not_materialized_cannot_be_checked(fresh: Town) -> None:
    result = fresh("check", "--no-record", code=2)
    assert "nothing is materialized yet" in result.output
    assert "passed" not in result.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing_like_that"], "selection"),
        (["group:nobody"], "selection"),
        (["core/events", "--partition", "1999-01-01"], "1999-01-01"),
        (["core/events", "--partitions", "2026-06-03..2026-06-01"], "upwards"),
        (["-d", "no.such.module"], "module"),
        (["-d", "no_such_file.py"], "file"),
        (["--changed-since", "feedbeef"], "feedbeef"),
        (["--changed-since", "2026-13-01"], "ISO 8601"),
    ],
)
def test_a_wrong_question_is_one_line_and_code_2(clean: Town, args: list[str], said: str) -> None:
    result = clean("check", "--no-record", *args, code=2)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert "Traceback" not in result.output


def test_damaged_data_fails_and_the_other_partitions_are_checked(
    clean: Town, tmp_path: Path
) -> None:
    town = clean.copy(tmp_path)
    victim = next((tmp_path / f"store/core/events/{DAYS[1]}/data").rglob("events.parquet"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-40])
    result = town("check", "core/events", "--no-record", "--json", "-", code=1)
    checks = json.loads(result.stdout)["checks"]
    failed = [item for item in checks if item["status"] == "failed"]
    assert [(item["partition"], item["check"]) for item in failed] == [(DAYS[1], "objects")]
    assert failed[0]["samples"][0]["kind"] == "object_size"
    states = {(item["partition"], item["status"]) for item in checks if item not in failed}
    assert states >= {(DAYS[0], "passed"), (DAYS[1], "unable"), (DAYS[2], "passed")}
    assert (DAYS[0], "unable") not in states


@pytest.mark.parametrize(("args", "code"), [((), 1), (("--quick",), 0)])
def test_bytes_that_no_other_check_reads_are_compared_unless_it_shall_be_quick(
    clean: Town, tmp_path: Path, args: tuple[str, ...], code: int
) -> None:
    town = clean.copy(tmp_path)
    victim = next((tmp_path / "store/raw/districts/all/data").rglob("districts.gpkg"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    result = town("check", 'key:"raw/districts"', "--no-record", *args, code=code)
    assert ("object_bytes districts.gpkg" in result.output) is (code == 1)


def test_committed_partitions_need_not_follow_each_other(fresh: Town) -> None:
    fresh("run", "+core/events", "--partition", DAYS[0], "--partition", DAYS[2])
    result = fresh("check", "core/events", "--json", "-")
    checks = json.loads(result.stdout)["checks"]
    assert {item["partition"] for item in checks} == {DAYS[0], DAYS[2]}
    assert {item["status"] for item in checks} == {"passed"}
    missing = fresh("check", "core/events", "--partitions", f"{DAYS[0]}..{DAYS[1]}", code=2)
    assert f"core/events[{DAYS[1]}]" in missing.output


def test_changed_since_checks_only_what_is_newer(clean: Town) -> None:
    def checked(since: str) -> set[tuple[str, str]]:
        args = ("check", "core/events", "--no-record", "--json", "-", "--changed-since", since)
        value = json.loads(clean(*args).stdout)
        return {(item["asset"], item["partition"]) for item in value["checks"]}

    published = json.loads(clean("ls", "core/events", "--json").output)
    in_order = sorted(published, key=lambda item: item["created"])
    assert checked("0") == {("core/events", day) for day in DAYS}
    assert checked("1") == set()
    assert checked("2026-01-01") == {("core/events", day) for day in DAYS}
    assert checked("2126-01-01T04:00+01:00") == set()
    first, last = in_order[0], in_order[-1]
    later = {("core/events", item["partition"]) for item in in_order[1:]}
    assert checked(first["version"]) == later
    newer_at_most = {
        ("core/events", item["partition"])
        for item in published
        if item["created"] == last["created"] and item is not last
    }
    assert checked(last["version"][:12]) <= newer_at_most
    assert {item["run_id"] for item in published} == {last["run_id"]}
    assert checked(last["run_id"][:8]) == set()


@pytest.mark.timeout(600)
def test_ci_fails_on_planted_defects_and_passes_when_they_are_repaired(
    flawed: Town, tmp_path: Path
) -> None:
    shutil.copytree(flawed.folder / "source", tmp_path / "source")
    town = Town(tmp_path, flawed.truth)
    script = ROOT / "geo_assets_tests/cli/ci/defects_then_repaired.sh"
    for executable in (script, ROOT / "examples/ci/check.sh"):
        assert os.access(executable, os.X_OK)
    process = town.process(str(script), str(ROOT))
    output, _ = process.communicate(timeout=590)
    assert process.returncode == 0, output

    planted = flawed.truth["districts"]["defects"]
    junit = (tmp_path / "reports/delivered/junit.xml").read_text()
    for kind in ("gap", "overlap", "duplicate"):
        for pair in planted[kind]:
            assert "+".join(pair) in junit or "+".join(reversed(pair)) in junit
    for feature in planted["bowtie"]:
        assert f"self_intersection {feature} at " in junit
    counts = {
        stage: json.loads((tmp_path / f"reports/{stage}/checks.json").read_text())["counts"]
        for stage in ("delivered", "repaired", "corrected")
    }
    assert [counts[stage]["failed"] for stage in counts] == [5, 1, 0]
    assert all(each["unable"] == each["warned"] == 0 for each in counts.values())
