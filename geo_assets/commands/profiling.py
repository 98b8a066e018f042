"""Recording one partition with py-spy: this process starts it, a child makes the partition."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from geo_assets.errors import ConfigError
from geo_assets.settings import Settings

_SAID = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What came of a recording."""

    error: str = ""
    """Why the partition could not be made."""
    lines: tuple[str, ...] = ()
    """What it cost."""


def record(
    asset: str, partition: str | None, definitions: str, output: Path, rate: int
) -> Recorded:
    """Make the partition under py-spy, into a folder that is deleted afterwards.

    Raises:
        ConfigError: py-spy is not there or not allowed, or the asset or partition is not known.
    """
    spy = _spy()
    scratch = Settings.from_env().scratch
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="profile-") as name:
        folder = Path(name)
        child = [sys.executable, "-m", "geo_assets.commands.profiled", str(folder), definitions,
                 asset, *([partition] if partition else [])]  # fmt: skip
        kind = "flamegraph" if output.suffix == ".svg" else "speedscope"
        command = [spy, "record", "--subprocesses", "--format", kind, "--rate", str(rate),
                   "--output", str(output), "--", *child]  # fmt: skip
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        verdict = folder / "verdict.json"
        told = json.loads(verdict.read_text(encoding="utf-8")) if verdict.exists() else None
    if told is None or not output.exists():
        raise ConfigError(
            "py-spy may look into the processes that it starts",
            done.stdout.strip()[-_SAID:] or f"exit code {done.returncode}",
            spy,
            "In a container it takes --cap-add SYS_PTRACE; on macOS it takes root.",
        )
    if told["refused"]:
        output.unlink()
        raise ConfigError(*told["refused"])
    return Recorded(error=told["error"], lines=tuple(told["lines"]))


def _spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise ConfigError("Profiling has py-spy installed", "none", "",
                          "pip install 'geo_assets[observability]'")  # fmt: skip
    return found
