"""What is other between two versions of tiles, from their commits alone."""

from __future__ import annotations

from geo_assets.assets.tile_pictures import coverage_of, difference
from geo_assets.model import COG, PARQUET, Artifact, StoredObject


def tile(column: int, row: int, content: str) -> StoredObject:
    bounds = [column * 10.0, row * 10.0, column * 10.0 + 10, row * 10.0 + 10]
    facts = {"cell": f"{column}/{row}", "bounds": bounds}
    return StoredObject(
        name=f"{column}/{row}.tif", size=1, sha256=content, media_type=COG, facts=facts
    )


INDEX = StoredObject(name="tiles.parquet", size=1, sha256="x", media_type=PARQUET)


def version(*tiles: StoredObject) -> Artifact:
    return Artifact(
        asset=("core", "tiles"), partition="a", sequence=4, version="v", data_prefix="p",
        objects=(INDEX, *tiles), properties={"empty": 3},
    )  # fmt: skip


def test_tiles_are_compared_by_their_hashes():
    before = version(tile(0, 0, "a"), tile(1, 0, "b"), tile(2, 0, "c"))
    picture, numbers = difference(before, [tile(0, 0, "a"), tile(1, 0, "B"), tile(3, 0, "d")])
    assert numbers == {
        "tiles_changed": 1, "tiles_new": 1, "tiles_gone": 1, "tiles_changed_share": 0.75,
    }  # fmt: skip
    words = "core/tiles[a] against commit 4: 4 cells, 1 the same, 1 changed, 1 new, 1 gone"
    assert picture.startswith(f"![{words.replace('[', '(').replace(']', ')')}](data:image/svg+xml")


def test_the_same_tiles_have_no_difference():
    tiles = [tile(0, 0, "a"), tile(1, 0, "b")]
    _, numbers = difference(version(*tiles), tiles)
    assert set(numbers.values()) == {0}


def test_what_is_current_already_shows_its_coverage():
    shown = coverage_of(version(tile(0, 0, "a"), tile(1, 0, "b")))
    assert shown.startswith("![core/tiles(a): 2 cells, 2 made, 3 without data](data:image/svg+xml")
    assert coverage_of(version()) == ""
