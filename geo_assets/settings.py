"""Configuration from the environment; every value has a default that works."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_assets.errors import ConfigError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_bytes(text: str) -> int:
    """`1500M`, `2GiB` or `4096` as a number of bytes (powers of 1024).

    Raises:
        ConfigError: `text` is not a positive size.
    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in "KMGT" else ""
    try:
        value = int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        value = 0
    if value <= 0:
        raise ConfigError("A memory size is a number with an optional unit", repr(text), "",
                          "Write for example 1500M or 2G.")  # fmt: skip
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where data comes from, where results go and what this machine may use."""

    source: str = "data/source"
    """Folder or URL that sources are relative to (`GEO_ASSETS_SOURCE`)."""
    root: str = "data/store"
    """Folder or URL that results are published under (`GEO_ASSETS_ROOT`)."""
    workers: int = 0
    """Worker processes; 0 means one for each CPU this process may use (`GEO_ASSETS_WORKERS`)."""
    partitions: int = 4
    """Partitions of one run that are fetched and made at the same time
    (`GEO_ASSETS_PARTITIONS`)."""
    run_partitions: int = 0
    """Partitions of one run of a backfill at most; 0 means all that follow each other
    (`GEO_ASSETS_RUN_PARTITIONS`)."""
    memory_bytes: int = 0
    """Memory budget of all running chunks; 0 takes it from the cgroup (`GEO_ASSETS_MEMORY`)."""
    scratch: Path = Path(tempfile.gettempdir()) / "geo_assets"
    """Folder for files in flight (`GEO_ASSETS_SCRATCH`)."""
    log_format: str = "console"
    """`console` or `json` (`GEO_ASSETS_LOG`)."""
    log_level: str = "info"
    """`debug` also logs each stage of a chunk and each request to an object store
    (`GEO_ASSETS_LOG_LEVEL`)."""
    otel: str = ""
    """OTLP endpoint that spans are sent to, `http://collector:4318` (`GEO_ASSETS_OTEL`)."""
    prometheus: str = ""
    """Pushgateway that metrics are pushed to, `http://gateway:9091`
    (`GEO_ASSETS_PROMETHEUS`)."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the `GEO_ASSETS_*` variables.

        Raises:
            ConfigError: A variable has a value that makes no sense.
        """
        env = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for name, (field, read) in _READERS.items():
            if text := env.get(f"GEO_ASSETS_{name}"):
                given[field] = read(text)
        return cls(**given)

    @property
    def worker_count(self) -> int:
        """The number of workers after the default is applied."""
        return self.workers or len(os.sched_getaffinity(0))


def _some(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ConfigError("GEO_ASSETS_PARTITIONS is a number of partitions", repr(text), "",
                          "Write 4, or more for many small partitions.")  # fmt: skip
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise ConfigError("GEO_ASSETS_WORKERS is a number of processes", repr(text), "",
                          "Write 0 for one per CPU.")  # fmt: skip
    return int(text)


def _most(text: str) -> int:
    if not text.isdigit():
        raise ConfigError("GEO_ASSETS_RUN_PARTITIONS is a number of partitions", repr(text), "",
                          "Write 0 for all of a backfill in one run.")  # fmt: skip
    return int(text)


def _choice(text: str) -> str:
    if text not in ("console", "json"):
        raise ConfigError("GEO_ASSETS_LOG is console or json", repr(text))
    return text


def _level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigError("GEO_ASSETS_LOG_LEVEL is debug, info, warning or error", repr(text))
    return text.lower()


def _url(name: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.startswith(("http://", "https://")):
            raise ConfigError(f"{name} is the URL of a server", repr(text), "",
                              "Write http:// or https:// before the host.")  # fmt: skip
        return text

    return read


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "SOURCE": ("source", str),
    "ROOT": ("root", str),
    "WORKERS": ("workers", _count),
    "PARTITIONS": ("partitions", _some),
    "RUN_PARTITIONS": ("run_partitions", _most),
    "MEMORY": ("memory_bytes", parse_bytes),
    "SCRATCH": ("scratch", Path),
    "LOG": ("log_format", _choice),
    "LOG_LEVEL": ("log_level", _level),
    "OTEL": ("otel", _url("GEO_ASSETS_OTEL")),
    "PROMETHEUS": ("prometheus", _url("GEO_ASSETS_PROMETHEUS")),
}
