"""Where the budget comes from."""

from __future__ import annotations

import os

import psutil
import pytest

from geo_assets.engine.memory import RESTING_BYTES, budget_bytes, cgroup_limit, proportional, sizes
from geo_assets.settings import Settings

MIB = 1 << 20


def lay(folder, **limits):
    """A cgroup tree: path to the limit in its file."""
    for path, text in limits.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def membership(tmp_path, text):
    path = tmp_path / "cgroup"
    path.write_text(text)
    return path


def test_v2_takes_the_tightest_level(tmp_path):
    lay(
        tmp_path / "fs",
        **{
            "memory.max": "max\n",
            "pod/memory.max": f"{300 * MIB}\n",
            "pod/run/memory.max": f"{500 * MIB}\n",
        },
    )
    own = membership(tmp_path, "0::/pod/run\n")
    assert cgroup_limit(tmp_path / "fs", own) == 300 * MIB


def test_v1_and_a_path_that_the_container_does_not_see(tmp_path):
    lay(tmp_path / "fs", **{"memory/memory.limit_in_bytes": f"{200 * MIB}\n"})
    own = membership(tmp_path, "5:cpu:/x\n4:cpuset,memory:/docker/abc\n0::/\n")
    assert cgroup_limit(tmp_path / "fs", own) == 200 * MIB


def test_no_limit(tmp_path):
    lay(tmp_path / "fs", **{"memory/memory.limit_in_bytes": "9223372036854771712\n"})
    own = membership(tmp_path, "4:memory:/\n0::/\n")
    assert cgroup_limit(tmp_path / "fs", own) is None
    assert cgroup_limit(tmp_path / "none", tmp_path / "none") is None


def test_a_setting_is_taken_as_it_is():
    assert budget_bytes(Settings(memory_bytes=123 * MIB)) == 123 * MIB


def test_from_the_cgroup_less_ourselves_and_resting_workers(monkeypatch):
    monkeypatch.setattr("geo_assets.engine.memory.cgroup_limit", lambda: 2048 * MIB)
    found = budget_bytes(Settings(workers=2))
    own = psutil.Process().memory_info().rss
    assert found == pytest.approx(0.8 * 2048 * MIB - own - 2 * RESTING_BYTES, abs=8 * MIB)
    monkeypatch.setattr("geo_assets.engine.memory.cgroup_limit", lambda: 10 * MIB)
    assert budget_bytes(Settings(workers=2)) == 64 * MIB


def test_sizes_against_psutil():
    resident, anonymous = sizes(os.getpid())
    info = psutil.Process().memory_full_info()
    assert resident == pytest.approx(info.rss, rel=0.1)
    assert 0 < anonymous < resident
    assert proportional(os.getpid()) == pytest.approx(info.pss, rel=0.1)
    with pytest.raises(ProcessLookupError):
        sizes(2**22 + 1)
