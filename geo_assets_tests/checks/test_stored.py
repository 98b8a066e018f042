"""Damage done by hand is found: sizes always, bytes where a run is thorough."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from geo_assets.checks.depth import thorough
from geo_assets.checks.stored import damaged, stored_checks
from geo_assets.model import Artifact
from geo_assets.partitions import THOROUGH_TAG
from geo_assets_tests.checks.conftest import Shelf

ASSET = "core/parcels"


@pytest.fixture
def bins(tmp_path: Path) -> list[tuple[Path, str]]:
    paths = [tmp_path / f"{letter}.bin" for letter in "abcd"]
    for path in paths:
        path.write_bytes(f"these are the bytes of {path.name}".encode())
    return [(path, "application/octet-stream") for path in paths]


def _break(shelf: Shelf, artifact: Artifact) -> None:
    """Delete one object, cut one short, flip a byte of a third."""
    shelf.path(artifact, "a.bin").unlink()
    shelf.path(artifact, "b.bin").write_bytes(b"1")
    victim = shelf.path(artifact, "c.bin")
    victim.write_bytes(victim.read_bytes()[:-1] + b"X")


async def test_every_kind_of_damage_is_found_and_named(
    shelf: Shelf, bins: list[tuple[Path, str]]
) -> None:
    artifact = await shelf.publish(ASSET, "one", bins)
    assert (await damaged(artifact, shelf.store)).total == 0
    assert (await damaged(artifact, shelf.store)).checked == 4
    _break(shelf, artifact)

    quick = await damaged(artifact, shelf.store)
    token = thorough.set(True)
    deep = await damaged(artifact, shelf.store)
    thorough.reset(token)

    assert [(one.kind, one.feature) for one in quick.samples] == [
        ("object_missing", "a.bin"), ("object_size", "b.bin"),
    ]  # fmt: skip
    assert deep.counts == {"object_missing": 1, "object_size": 1, "object_bytes": 1}
    assert deep.samples[2].feature == "c.bin"


@pytest.mark.parametrize(("tags", "passed"), [({}, True), ({THOROUGH_TAG: "true"}, False)])
async def test_a_flipped_byte_is_found_by_a_run_that_is_tagged(
    shelf: Shelf, bins: list[tuple[Path, str]], tags: dict[str, str], passed: bool
) -> None:
    artifact = await shelf.publish(ASSET, "one", bins)
    victim = shelf.path(artifact, "d.bin")
    victim.write_bytes(victim.read_bytes()[:-1] + b"X")
    declared = dg.Definitions(asset_checks=[stored_checks(("core", "parcels"), None)])

    found = await shelf.check(declared, asset=ASSET, tags=tags)

    assert found["objects"].passed is passed
    assert found["objects"].severity == dg.AssetCheckSeverity.ERROR
    if not passed:
        assert "1 object_bytes" in (found["objects"].description or "")
