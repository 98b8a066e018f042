"""Three small projects: with planted defects, without, and with nothing made yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geo_assets.cli import main
from geo_assets.demo import build_world
from geo_assets.demo.defects import Defects

DEFINITIONS = Path(__file__).with_name("project_definitions.py")
DAYS = ["2026-06-01", "2026-06-02", "2026-06-03"]


@dataclass(frozen=True)
class Town:
    """One project: its sources, its results, its Dagster home."""

    folder: Path
    truth: Mapping[str, Any]

    @property
    def env(self) -> dict[str, str]:
        return {
            "GEO_ASSETS_SOURCE": str(self.folder / "source"),
            "GEO_ASSETS_ROOT": str(self.folder / "store"),
            "GEO_ASSETS_SCRATCH": str(self.folder / "scratch"),
            "GEO_ASSETS_DEFINITIONS": str(DEFINITIONS),
            "GEO_ASSETS_WORKERS": "2",
            "GEO_ASSETS_LOG": "console",
            "DAGSTER_HOME": str(self.folder / "home"),
        }

    def settle(self) -> None:
        """A Dagster home, which tells nobody about the tests."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")

    def __call__(self, *args: str, code: int | None = 0) -> Result:
        """The command in this process; it must end with `code`."""
        self.settle()
        result = CliRunner().invoke(main, args, env=self.env)
        if code is not None:
            assert result.exit_code == code, result.output
        return result

    def process(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """A command as a process of its own, `geo-assets` first on its path."""
        self.settle()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            command, env={**os.environ, **self.env, "PATH": path}, cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
        )  # fmt: skip

    def copy(self, folder: Path) -> Town:
        """Another town with the same sources and results."""
        for name in ("source", "store"):
            if (self.folder / name).exists():
                shutil.copytree(self.folder / name, folder / name)
        return Town(folder, self.truth)


def build(folder: Path, defects: Defects) -> Town:
    report = build_world(
        folder / "source", size_px=512, polygons=60, events_per_day=300, dates=["2026-06-01"],
        days=3, defects=defects,
    )  # fmt: skip
    return Town(folder, report.truth)


@pytest.fixture(scope="session")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Materialized, with defects."""
    planted = Defects(gap=1, overlap=1, bowtie=1, duplicate=1, nan=1, swapped=0)
    town = build(tmp_path_factory.mktemp("flawed"), planted)
    town("run")
    return town


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Materialized, without defects."""
    town = build(tmp_path_factory.mktemp("clean"), Defects.none())
    town("run")
    return town


@pytest.fixture
def fresh(clean: Town, tmp_path: Path) -> Town:
    """Sources, and nothing made of them."""
    shutil.copytree(clean.folder / "source", tmp_path / "source")
    return Town(tmp_path, clean.truth)
