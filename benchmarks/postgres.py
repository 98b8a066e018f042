"""A PostgreSQL server of its own for a measurement, with its defaults; gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def initdb() -> str | None:
    """The program that makes a server, if this machine has one."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return shutil.which("initdb") or (str(installed[-1]) if installed else None)


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database."""
    program = initdb()
    if program is None:
        raise SystemExit("there is no PostgreSQL on this machine")
    user = {"user": "postgres"} if os.getuid() == 0 else {}  # it refuses to be run by root
    with tempfile.TemporaryDirectory(prefix="bench-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = folder / "data"
        make = [program, "-D", data, "-A", "trust", "-U", "dagster"]
        subprocess.run(make, cwd=folder, capture_output=True, check=True, **user)
        running = subprocess.Popen(
            [Path(program).with_name("postgres"), "-D", data, "-p", str(port), "-k", folder,
             "-c", "listen_addresses=127.0.0.1"],
            cwd=folder, stderr=subprocess.DEVNULL, **user,
        )  # fmt: skip
        try:
            yield _database(port)
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(30)


def _database(port: int) -> str:
    import psycopg2

    deadline = time.monotonic() + 60
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
