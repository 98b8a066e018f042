"""Symbolic links on the way: found, also where a folder was believed to be none."""

from __future__ import annotations

import pytest

from geo_assets.store import folders
from geo_assets.store.folders import Ways


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "b" / "file").touch()
    (tmp_path / "outside").mkdir()
    return tmp_path / "root"


def test_links_at_every_place_of_a_way(root):
    ways = Ways(f"{root}/")
    assert not ways.has_link(f"{root}/a/b/file")
    assert not ways.has_link(f"{root}/a/none/file")
    assert not ways.has_link(str(root))
    (root / "a" / "b" / "link").symlink_to(root / "a" / "b" / "file")
    (root / "a" / "way").symlink_to(root / "a" / "b")
    assert ways.has_link(f"{root}/a/b/link"), "in a folder that was looked at just before"
    assert ways.has_link(f"{root}/a/way/file")
    assert ways.has_link(f"{root}/a/way")


def test_the_root_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "alias").symlink_to(root)
    assert not Ways(f"{tmp_path}/alias/").has_link(f"{tmp_path}/alias/a/b/file")


def test_a_folder_that_becomes_a_link_is_found_after_a_moment(root, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(folders.time, "monotonic", lambda: now[0])
    ways = Ways(f"{root}/")
    assert not ways.has_link(f"{root}/a/b/file")
    (root / "a" / "b").rename(root / "a" / "c")
    (root / "a" / "b").symlink_to(root.parent / "outside")
    now[0] += 1.1
    assert ways.has_link(f"{root}/a/b/file")


def test_a_file_is_looked_at_each_time(root):
    ways = Ways(f"{root}/")
    assert not ways.has_link(f"{root}/a/b/file")
    (root / "a" / "b" / "file").unlink()
    (root / "a" / "b" / "file").symlink_to(root.parent / "outside")
    assert ways.has_link(f"{root}/a/b/file")
