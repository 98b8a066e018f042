"""Keys are compared exactly, in memory that does not hold on to what they came from."""

from __future__ import annotations

import pyarrow as pa
import pytest

from geo_assets.rules.keys import KeySet


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([[1, 2, 3], [4, 2], [1]], [4, 5]),
        ([["a", "b"], ["b", "ä"], ["a", "ä"]], [2, 4, 5]),
        ([[1.5, 2.5], [1.5]], [2]),
        ([[], [7]], []),
    ],
)
def test_later_features_with_a_key_that_occurred_are_named(
    batches: list[list], expected: list[int]
) -> None:
    kind = pa.array(batches[-1]).type
    arrays = [pa.array(batch, kind) for batch in batches]
    keys = KeySet()
    for array in arrays:
        keys.add(array)
    assert keys.repeated(arrays).tolist() == expected
    assert len(keys.repeated_values(arrays)) == len(expected)


def test_batches_are_not_kept_alive() -> None:
    keys = KeySet()
    before = pa.total_allocated_bytes()
    batch = pa.array(range(100_000), pa.int64())
    assert pa.total_allocated_bytes() > before
    keys.add(batch)
    del batch
    assert pa.total_allocated_bytes() == before
