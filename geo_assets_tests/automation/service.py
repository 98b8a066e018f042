"""A deployment as `docs/deployment.md` has it: code server, daemon and web server."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml
from dagster._grpc.client import DagsterGrpcClient

from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets_tests.conftest import free_port

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[2]
LOCATION = "geo_assets"
PATIENCE_S = 150
REPOSITORIES = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
LAUNCH_BACKFILL = """mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RETRY_BACKFILL = """mutation ($params: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status isAssetBackfill } } }"""
STATS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
    ... on AssetNode { partitionStats { numMaterialized numFailed numPartitions } } } }"""
LAUNCH_RUN = """mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""
TERMINATE = """mutation ($id: String!) { terminateRun(runId: $id) {
    __typename ... on PythonError { message } } }"""
STATUS = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"""
SENSOR = """query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
    ... on Sensor { sensorState { status ticks(limit: 100) {
      status runIds logEvents { events { message } } } } } } }"""
START_SENSOR = """mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
    __typename ... on PythonError { message } } }"""
RESET_SENSOR = """mutation ($selector: SensorSelector!) { resetSensor(sensorSelector: $selector) {
    __typename ... on PythonError { message } } }"""
AUTOMATION = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    sensors { name sensorState { status ticks { status } } }
    schedules { name scheduleState { status ticks { status } } } } } } }"""
VERDICTS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetChecksOrError { ... on AssetChecks { checks { partitionStatuses {
      ... on AssetCheckMultiPartitionStatuses { ranges { primaryDimStartKey primaryDimEndKey
        secondaryDim { ... on AssetCheckDefaultPartitionStatuses { succeededPartitions } }
      } } } } } } } } }"""


class Service:
    """A running deployment, spoken to as the UI does."""

    def __init__(self, port: int, processes: list[subprocess.Popen[bytes]]) -> None:
        self._url = f"http://127.0.0.1:{port}/graphql"
        self._processes = processes

    def ask(self, query: str, **variables: Any) -> Any:
        """The one field that a query or mutation asks for."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            self._url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            pytest.fail(error.read().decode())
        assert "errors" not in answer, answer["errors"]
        (value,) = answer["data"].values()
        return value

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """The first value of `look` that is true."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for process in self._processes:
                assert process.poll() is None, f"{process.args} has ended"
            if found := look():
                return found
            time.sleep(0.3)
        pytest.fail(f"waited too long for {what}")

    def backfill(self, asset: tuple[str, ...], partitions: list[str]) -> str:
        """Launch one; its id."""
        params = {"assetSelection": [{"path": list(asset)}], "partitionNames": partitions}
        return self.ask(LAUNCH_BACKFILL, params=params)["backfillId"]

    def backfill_ended(self, backfill: str) -> str:
        """Its last status."""

        def look() -> str | None:
            status = self.ask(BACKFILL, id=backfill)["status"]
            return status if status.startswith(("COMPLETED", "FAILED", "CANCELED")) else None

        return self.until(f"backfill {backfill}", look)

    def launch(self, job: str, first: str, last: str, asset: tuple[str, ...] = ()) -> str:
        """Launch a job for a range, as its Launchpad does with two tags; the run's id.

        Args:
            job: Its name.
            first: A partition.
            last: A later one, or the opposite corner of a rectangle.
            asset: Only this one, without its checks.
        """
        only = {"assetSelection": [{"path": list(asset)}] if asset else []}
        selector = {
            "repositoryName": "__repository__", "repositoryLocationName": LOCATION,
            "pipelineName": job, **only, **({"assetCheckSelection": []} if asset else {}),
        }  # fmt: skip
        tags = [{"key": RANGE_START, "value": first}, {"key": RANGE_END, "value": last}]
        params = {"selector": selector, "mode": "default", "runConfigData": "{}",
                  "executionMetadata": {"tags": tags}}  # fmt: skip
        run: str = self.ask(LAUNCH_RUN, params=params)["run"]["runId"]
        return run

    def run_ended(self, run: str) -> str:
        """Its last status."""

        def look() -> str | None:
            status = self.ask(STATUS, id=run)["status"]
            return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

        return self.until(f"run {run}", look)

    def automation(self) -> dict[str, tuple[str, int]]:
        """The status of every sensor and schedule, and how often it was evaluated."""
        (repository,) = self.ask(AUTOMATION)["nodes"]
        found = {item["name"]: item["sensorState"] for item in repository["sensors"]}
        found |= {item["name"]: item["scheduleState"] for item in repository["schedules"]}
        return {name: (state["status"], len(state["ticks"])) for name, state in found.items()}

    def partitions(self, *asset: str) -> tuple[int, int]:
        """How many partitions the UI shows as materialized and as failed."""
        stats = self.ask(STATS, key={"path": list(asset)})["partitionStats"]
        return stats["numMaterialized"], stats["numFailed"]

    def pids(self) -> set[int]:
        """Of the deployment's processes."""
        found = set()
        for process in self._processes:
            top = psutil.Process(process.pid)
            found |= {top.pid, *(child.pid for child in top.children(recursive=True))}
        return found


@contextmanager
def serving(folder: Path, module: str, variables: Mapping[str, str]) -> Iterator[Service]:
    """Start the three processes as the units of `deploy/` do; once more, too, on the same home."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    code, web = free_port(), free_port()
    server = {"host": "127.0.0.1", "port": code, "location_name": LOCATION}
    workspace = home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    env = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(REPOSITORY), **variables}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    commands = [
        ["-m", "dagster", "code-server", "start", "-m", module, "-h", "127.0.0.1", "-p", str(code)],
        ["-m", "geo_assets_tests.automation.quick_daemon", "run", "-w", str(workspace)],
        ["-m", "dagster_webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(web)],
    ]  # fmt: skip
    with ExitStack() as stack:
        processes = []
        for number, command in enumerate(commands):
            log = stack.enter_context((folder / f"service-{number}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, *command], cwd=folder, env=env, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            stack.callback(_end, process)
            processes.append(process)
            if not number:
                _until_it_answers(code, process)
        service = Service(web, processes)
        service.until("the code location", lambda: _loaded(service))
        yield service


def _until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    client = DagsterGrpcClient(port=port, host="127.0.0.1")
    deadline = time.monotonic() + PATIENCE_S
    with redirect_stdout(io.StringIO()):  # where the client tells that it waits
        while client.health_check_query() != "SERVING":
            assert process.poll() is None, "the code server has ended"
            assert time.monotonic() < deadline, "waited too long for the code server"
            time.sleep(0.3)


def _loaded(service: Service) -> bool:
    try:
        found = service.ask(REPOSITORIES)
    except OSError:
        return False
    return bool(found.get("nodes"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell all processes of a unit, as systemd does."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
