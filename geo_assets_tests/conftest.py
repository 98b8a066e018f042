"""Shared by all tests: an S3 server over real HTTP, and an empty PostgreSQL."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from geo_assets.store.objects import S3Access


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """Where the test server is, and keys that it takes (it takes any)."""

    endpoint: str
    access_key: str = "test-access-key"
    secret: str = "test-secret-that-no-log-shows"
    region: str = "us-east-1"

    @property
    def port(self) -> int:
        return int(self.endpoint.rsplit(":", 1)[1])

    def access(self, endpoint: str | None = None) -> S3Access:
        """Explicit credentials, for `open_store`."""
        return S3Access(
            endpoint_url=endpoint or self.endpoint,
            access_key=self.access_key,
            secret=self.secret,
            region=self.region,
        )

    def bucket(self) -> str:
        """A fresh bucket; its name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.put(f"/{name}")
        return name

    def put(self, path: str, body: bytes = b"") -> None:
        """One plain PUT, by no client of ours."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        # The server tells services apart by this header; it checks no signature.
        scope = f"{self.access_key}/20260101/{self.region}/s3/aws4_request"
        token = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        connection.request("PUT", path, body, headers={"Authorization": token})
        assert connection.getresponse().status == 200
        connection.close()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A ministack process on a free port, with honest conditional writes and checksums."""
    port = free_port()
    folder = tmp_path_factory.mktemp("s3")
    env = os.environ | {
        "GATEWAY_PORT": str(port), "EDGE_PORT": str(port), "BIND_HOST": "127.0.0.1",
        "HOME": str(folder), "TMPDIR": str(folder),
    }  # fmt: skip
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=env, cwd=folder,
        )  # fmt: skip
    try:
        wait_for_port(port, process, log)
        yield S3Server(endpoint=f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers HTTP, or fail with what it wrote."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty database of a server of its own."""
    pytest.importorskip("dagster_postgres")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(binaries[-1]) if binaries else None)
    if initdb is None:
        pytest.skip("there is no PostgreSQL on this machine")
    as_user = {"user": "postgres"} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="geo-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if as_user:
            shutil.chown(folder, "postgres")
        data, port = folder / "data", free_port()
        quiet = {"cwd": folder, "capture_output": True, "check": True, **as_user}
        subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "dagster", "-N"], **quiet)
        server = subprocess.Popen(
            [Path(initdb).with_name("postgres"), "-D", data, "-p", str(port), "-k", folder,
             "-c", "listen_addresses=127.0.0.1"],
            cwd=folder, stderr=subprocess.DEVNULL, **as_user,
        )  # fmt: skip
        try:
            yield _created(port)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def _created(port: int) -> str:
    import psycopg2

    deadline = time.monotonic() + 30
    while True:
        try:
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user="dagster", dbname="postgres"
            )
            break
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE dagster")
    connection.close()
    return f"postgresql+psycopg2://dagster@127.0.0.1:{port}/dagster"
