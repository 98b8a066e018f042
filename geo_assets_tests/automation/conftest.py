"""Sources made of small files, whose times are set so that they count as settled."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from geo_assets.resources import GeoStore

LONG_AGO = 1_700_000_000


class Folder:
    """A folder of sources."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, *paths: str, body: bytes = b"x", at: float = LONG_AGO) -> None:
        for path in paths:
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            os.utime(file, (at, at))

    def remove(self, path: str) -> None:
        (self.root / path).unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "source")


@pytest.fixture
def geo_store(tmp_path: Path, folder: Folder) -> GeoStore:
    return GeoStore(root=str(tmp_path / "store"), source=str(folder.root), s3=S3Resource())


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made
