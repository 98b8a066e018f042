"""Names become paths: no two alike, none outside the root, and back again."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geo_assets.errors import ConfigError, ContractError, InputError
from geo_assets.store import paths
from geo_assets.store.paths import (
    Place,
    checked_name,
    checked_path,
    decode_segment,
    encode_segment,
    is_spare,
)

HOSTILE = [
    "..", ".", "...", "/", "a/b", "/etc/passwd", "../../x", "\\", "a\\b", "%2F", "%", "%%", "a%2Fb",
    "~", "~2F", "a~2Fb", "~7E", "_commits", "data", "all", "item.json", "collection.json",
    "_chunks", "_probe", "Data", ".tmp", " ", "a ", "a\nb", "\x00", "\x7f", "a|b", "é", "e\u0301",
    "日本", "😀", "\ud800", "a:b", "a*b?", "#", "-", "=", "CON", "a.json", "\u202etxt", "\u2028",
]  # fmt: skip

keys = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(min_size=1, max_size=12),
    st.text("~25FfAa./_", min_size=1, max_size=8),
).filter(bool)


@given(keys)
def test_a_segment_is_safe_and_decodes_to_its_key(key):
    segment = encode_segment(key)
    assert decode_segment(segment) == key
    assert segment.isascii() and "/" not in segment and not segment.startswith(".")
    assert segment not in paths._RESERVED
    assert checked_path(segment, "root") == segment


@given(keys, keys)
@example("a/b", "a~2Fb")
@example("data", "~64ata")
def test_two_keys_never_share_a_segment(one, other):
    assert (encode_segment(one) == encode_segment(other)) == (one == other)


@given(keys)
def test_a_key_never_leaves_the_root(key):
    root = Place.of(["raw", key], key).root
    assert os.path.normpath(f"/top/{root}") == f"/top/{root}"
    assert root.count("/") == 2


places = st.builds(
    Place.of,
    st.lists(st.sampled_from(["a", "b", "all", "data", "_commits"]), min_size=1, max_size=3),
    st.none() | st.sampled_from(["a", "b", "all", "data", "item.json", "collection.json"]),
)


@given(places, places)
def test_no_two_partitions_share_an_object(one, other):
    """Also when the key of one asset begins with that of another."""
    if one == other:
        return

    def owned(place: Place) -> set[str]:
        return {place.item, place.commit(1), f"{place.version(0, 'f')}/x", place.collection}

    shared = owned(one) & owned(other)
    assert shared <= {one.collection} and (not shared or one.asset == other.asset)
    folders = {f"{path}/" for path in owned(one)}
    assert not any(path.startswith(folder) for path in owned(other) for folder in folders)


@pytest.mark.parametrize(
    "segment", ["a/b", "data", "..", "", "~2e", "~41", "a b", "~zz", "é", "~FF", "%2F", "~"]
)
def test_what_was_never_encoded_does_not_decode(segment):
    with pytest.raises(InputError):
        decode_segment(segment)


def test_keys_that_no_store_can_hold_are_refused():
    for asset, partition in (
        (["a"], ""),
        ([], "x"),
        ("raw", "x"),
        (["a"], "é" * 40),
        (["k" * 170] * 3, None),
    ):
        with pytest.raises(ConfigError):
            _ = Place.of(asset, partition).root


@pytest.mark.parametrize(
    "name", ["10/523/381.tif", "tiles.parquet", "date=2026/a_b-c.tif", "_metadata"]
)
def test_plain_object_names_pass(name):
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a b", "é", "a~2Fb", "_chunks/1.json"]
)
def test_other_object_names_are_refused(name):
    with pytest.raises(ContractError):
        checked_name(name)


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "..", "a/../b", "./a", "a/.hidden", "a\x00b", "a\\b", "a\nb"]
)
def test_paths_that_leave_the_root_are_refused(path):
    with pytest.raises(InputError):
        checked_path(path, "root")


@pytest.mark.parametrize(
    ("path", "spare"),
    [
        ("raw/scenes/collection.json", True),
        ("raw/scenes/day/item.json", True),
        (f"raw/scenes/day/data/{0:012d}-v/_chunks/1.json", True),
        (f"raw/scenes/day/data/{0:012d}-v/item.json", False),
        (f"raw/scenes/day/data/{0:012d}-v/a/_chunks/1.json", False),
        (f"raw/scenes/day/data/{0:012d}-v/x/data/y/_chunks/1.json", False),
        (f"raw/scenes/day/_commits/{1:012d}.json", False),
        ("_sensors/scenes/1.json.gz", False),
    ],
)
def test_only_what_can_be_made_again_is_spare(path, spare):
    assert is_spare(path) == spare
