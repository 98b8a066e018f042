"""Dagster as people run it: a code server, the web server and the daemon, on a small world."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from geo_assets_tests.conftest import free_port, wait_for_port

REPOSITORY = Path(__file__).parents[2]

# Dagster looks for backfills every 30 s, which no setting changes.
_DAEMON = """
import dagster._daemon.controller as controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
from dagster._daemon.cli import main
main()
"""

_RUNS = "{runsOrError(limit: 100) {... on Runs {results {runId status}}}}"
_BACKFILL = """query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}
}"""
_EVENT = """query($path: [String!]!, $partitions: [String!]) {
  assetOrError(assetKey: {path: $path}) {... on Asset {
    assetMaterializations(limit: 1, partitions: $partitions) {
      metadataEntries {... on MarkdownMetadataEntry {mdStr}}
    }
  }}
}"""
_OVER = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running Dagster."""

    url: str
    source: Path
    """The folder that sources are delivered to."""

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer to a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", data=body, headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def end_of_run(self, prefix: str) -> str:
        """Wait for a run, of which the UI shows the start of the id; its status."""

        def over() -> str | None:
            runs = self.ask(_RUNS)["runsOrError"]["results"]
            (status,) = [run["status"] for run in runs if run["runId"].startswith(prefix)]
            return status if status in _OVER else None

        return str(wait_until(over))

    def end_of_backfill(self, backfill: str) -> str:
        """Wait for a backfill; its status."""

        def over() -> str | None:
            status = self.ask(_BACKFILL, id=backfill)["partitionBackfillOrError"]["status"]
            return status if status.startswith(("COMPLETED", "FAILED", "CANCELED")) else None

        return str(wait_until(over))

    def drawn(self, key: str, partition: str | None) -> list[str]:
        """The Markdown of all pictures of the newest materialization of an asset."""
        partitions = [partition] if partition else None
        asset = self.ask(_EVENT, path=key.split("/"), partitions=partitions)["assetOrError"]
        (event,) = asset["assetMaterializations"]
        texts = [entry.get("mdStr") or "" for entry in event["metadataEntries"]]
        return [text for text in texts if "](data:image" in text]


def wait_until(ready: Callable[[], Any], seconds: float = 240.0) -> Any:
    """What `ready` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, f"{ready.__qualname__}: not in {seconds} s"
        time.sleep(0.25)
    return found


@contextmanager
def running(folder: Path, source: Path, module: str, scenes: list[str]) -> Iterator[Stack]:
    """A stack with a home, a store and logs in `folder`; ends all its processes.

    Args:
        folder: An empty folder.
        source: The world.
        module: The module with the definitions.
        scenes: The dynamic partitions; a sensor would find them.
    """
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    grpc, web = free_port(), free_port()
    server = {"host": "127.0.0.1", "port": grpc, "location_name": "geo_assets"}
    workspace = home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    env = _environment(folder, home, source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.delenv("DAGSTER_POSTGRES_URL", raising=False)
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions("scenes", scenes)
    stack = Stack(url=f"http://127.0.0.1:{web}", source=source)
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str) -> subprocess.Popen[bytes]:
        with (folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=folder, env=env, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        started.append(process)
        return process

    try:
        code = start("code", "-m", "dagster", "api", "grpc", "-m", module,
                     "-h", "127.0.0.1", "-p", str(grpc))  # fmt: skip
        _wait_for_line(folder / "code.log", "Started Dagster code server", code)
        start("daemon", "-c", _DAEMON, "run", "-w", str(workspace))
        server = start("web", "-m", "dagster_webserver", "-w", str(workspace),
                       "-h", "127.0.0.1", "-p", str(web))  # fmt: skip
        wait_for_port(web, server, folder / "web.log")
        yield stack
    finally:
        _end(started)


def _environment(folder: Path, home: Path, source: Path) -> Mapping[str, str]:
    ours = ("GEO_ASSETS_", "DAGSTER_", "AWS_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "DAGSTER_HOME": str(home),
        "GEO_ASSETS_SOURCE": str(source),
        "GEO_ASSETS_ROOT": str(folder / "store"),
        "GEO_ASSETS_SCRATCH": str(folder / "scratch"),
        "GEO_ASSETS_WORKERS": "2",
        "GEO_ASSETS_MEMORY": "2G",
        "PYTHONPATH": str(REPOSITORY),
    }


def _wait_for_line(log: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while text not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the code server did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _end(started: list[subprocess.Popen[bytes]]) -> None:
    """End processes and all that they started."""
    family = [
        process
        for parent in started
        if psutil.pid_exists(parent.pid)
        for process in [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(True)]
    ]
    for process in reversed(started):
        process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=10)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)
    for process in started:
        process.wait(10)
