"""`geo-assets profile`: a flame graph of loop and workers, and nothing published."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geo_assets.commands import profiling
from geo_assets_tests.cli.conftest import DAYS, Town


@pytest.fixture(scope="module")
def spy() -> None:
    """Skip where py-spy is missing or may not look into its children."""
    try:
        command = [profiling._spy(), "record", "-d", "1", "-f", "raw", "-o", os.devnull,
                   "--", sys.executable]  # fmt: skip
    except Exception:  # noqa: BLE001 - no py-spy
        pytest.skip("py-spy is not installed")
    done = subprocess.run([*command, "-c", "import time; time.sleep(0.5)"], capture_output=True)
    if done.returncode:
        pytest.skip(f"py-spy is not allowed here: {done.stderr.decode()[:300]}")


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


@pytest.mark.usefixtures("spy")
def test_loop_and_workers_are_recorded_and_nothing_is_touched(clean: Town, tmp_path: Path) -> None:
    before = content(clean.folder / "store")
    file = tmp_path / "out.speedscope.json"
    said = clean("profile", "core/districts", "-o", str(file), "--rate", "200").output
    assert "chunks on 2 workers" in said
    assert f"Recorded in {file}" in said
    recorded = json.loads(file.read_text())
    frames = {frame["name"] for frame in recorded["shared"]["frames"]}
    assert any(name.endswith("_serve") for name in frames), "a worker"
    assert any("run_until_complete" in name for name in frames), "the loop"
    assert len({profile["name"].split()[1] for profile in recorded["profiles"]}) >= 2
    assert content(clean.folder / "store") == before
    assert not list((clean.folder / "scratch").glob("profile-*"))


@pytest.mark.usefixtures("spy")
def test_a_partition_of_a_raw_asset_as_a_flame_graph(clean: Town, tmp_path: Path) -> None:
    file = tmp_path / "out.svg"
    clean("profile", "raw/events", "--partition", DAYS[0], "-o", str(file))
    assert file.read_text().rstrip().endswith("</svg>")


@pytest.mark.usefixtures("spy")
def test_what_cannot_be_profiled_is_refused(clean: Town, tmp_path: Path) -> None:
    file = str(tmp_path / "out.svg")
    assert "Name one of raw/districts" in clean("profile", "core/x", "-o", file, code=2).output
    said = clean("profile", "core/events", "-o", file, code=2).output
    assert "Use --partition KEY" in said
    said = clean("profile", "core/events", "--partition", "1999-01-01", "-o", file, code=2).output
    assert "1999-01-01" in said
    assert not Path(file).exists()


@pytest.mark.usefixtures("spy")
def test_a_partition_that_cannot_be_made_is_told_and_recorded(fresh: Town, tmp_path: Path) -> None:
    file = tmp_path / "out.svg"
    said = fresh("profile", "core/districts", "-o", str(file), code=1).output
    assert "FAILED: A layer is fetched before it is read" in said
    assert file.exists()


def test_without_py_spy_it_says_what_to_install(clean: Town, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(profiling.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(profiling.shutil, "which", lambda name: None)
    said = clean("profile", "core/districts", code=2).output
    assert "pip install 'geo_assets[observability]'" in said


def test_where_py_spy_is_not_allowed_it_says_how(clean: Town, tmp_path: Path, monkeypatch) -> None:
    fake = tmp_path / "py-spy"
    fake.write_text("#!/bin/sh\necho 'Permission Denied'\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(profiling, "_spy", lambda: str(fake))
    said = clean("profile", "core/districts", "-o", str(tmp_path / "x"), code=2).output
    assert "Permission Denied" in said
    assert "SYS_PTRACE" in said
