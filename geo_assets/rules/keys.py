"""Finds features whose key an earlier feature has, in 8 bytes of memory for each feature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray


class KeySet:
    """Hashes of all keys in order; the few that coincide are compared exactly."""

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.uint64]] = []

    def add(self, keys: pa.Array) -> None:
        """Append the keys of the next features; none is null."""
        self._hashes.append(_hashes(keys))

    def repeated(self, batches: Iterable[pa.Array]) -> NDArray[np.int64]:
        """Positions of features whose key occurred before, ascending.

        Args:
            batches: The same keys again, in the same order; read only where hashes coincide.
        """
        return np.array([at for at, _ in self._repeats(batches)], dtype=np.int64)

    def repeated_values(self, batches: Iterable[pa.Array]) -> list[Any]:
        """The keys at those positions."""
        return [key for _, key in self._repeats(batches)]

    def _repeats(self, batches: Iterable[pa.Array]) -> Iterator[tuple[int, Any]]:
        if not self._hashes:
            return
        hashes = np.concatenate(self._hashes)
        ordered = np.sort(hashes)
        shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(shared):
            return
        candidates = np.isin(hashes, shared)
        seen: set[Any] = set()
        at = 0
        for keys in batches:
            for row in np.flatnonzero(candidates[at : at + len(keys)]):
                key = keys[int(row)].as_py()
                if key in seen:
                    yield at + int(row), key
                seen.add(key)
            at += len(keys)


def _hashes(keys: pa.Array) -> NDArray[np.uint64]:
    """64-bit hashes, the same in every process."""
    if pa.types.is_integer(keys.type):
        exact = keys.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)
        # A copy: a view would keep the whole batch alive that OGR delivered the keys in.
        numbers: NDArray[np.int64] = exact.copy()
        return numbers.view(np.uint64)
    if not pa.types.is_string(keys.type):
        keys = keys.cast(pa.string())
    values = keys.to_numpy(zero_copy_only=False)
    hashed: NDArray[np.uint64] = pd.util.hash_array(values, categorize=False)
    return hashed
