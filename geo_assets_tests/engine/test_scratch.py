"""Scratch folders live as long as their run, however it ends."""

from __future__ import annotations

import os
import signal

import pytest

from geo_assets.engine.scratch import Space, scratch_folder, sweep
from geo_assets.errors import ConfigError


def test_a_folder_of_its_own_that_is_removed(tmp_path):
    with scratch_folder(tmp_path / "deep" / "root") as one, scratch_folder(one.parent) as two:
        assert one != two
        (one / "a" / "b").mkdir(parents=True)
        (one / "a" / "b" / "file").touch()
        assert one.stat().st_mode & 0o777 == 0o700
        assert sweep(one.parent) == 0
    assert not list((tmp_path / "deep" / "root").iterdir())


def test_removed_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), scratch_folder(tmp_path) as folder:
        raise RuntimeError
    assert not folder.exists()


def test_a_dead_run_is_swept_and_a_living_one_is_not(tmp_path, script):
    source = """
        import sys, time
        from pathlib import Path
        from geo_assets.engine.scratch import scratch_folder
        with scratch_folder(Path(sys.argv[1]) / "root") as folder:
            (folder / "big.tif").write_bytes(b"x")
            print(folder, flush=True)
            time.sleep(60)
    """
    program = script(source)
    folder = type(tmp_path)(program.stdout.readline().strip())
    with scratch_folder(tmp_path / "root"):
        assert folder.exists()
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    assert (folder / "big.tif").exists()
    with scratch_folder(tmp_path / "root") as mine:
        assert {path.name for path in mine.parent.iterdir()} == {mine.name, f"{mine.name}.lock"}


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").touch()
    (tmp_path / "run-folder").mkdir()
    with scratch_folder(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "run-folder"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="GEO_ASSETS_SCRATCH"), scratch_folder(tmp_path / "file"):
        raise AssertionError


def test_space(tmp_path):
    space = Space(tmp_path)
    assert space.free > 0
    assert space.reserve <= 256 << 20
    space.free = space.reserve - 1
    assert space.short
    space.sample()
    assert not space.short
