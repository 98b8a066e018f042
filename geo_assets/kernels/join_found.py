"""What a join has found, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo_assets.kernels.label_grid import Array


@dataclass(frozen=True, slots=True)
class Pairs:
    """The complete result for the left rows from `start` to `stop` of a batch."""

    start: int
    stop: int
    left: Array
    """Position in the batch; ascending."""
    right: Array
    """Right row; ascending for the same left one."""
    distance: Array | None = None
    """For `nearest`, in units of the join's CRS."""

    @classmethod
    def of(cls, start: int, stop: int, parts: Sequence[tuple[Array, Array]]) -> Pairs:
        """All pairs, (left, right) each, of some rows in order; each pair is in one part only."""
        parts = [part for part in parts if len(part[0])]
        if not parts:
            return cls(start, stop, np.zeros(0, np.intp), np.zeros(0, np.intp))
        left, right = (np.concatenate(side) for side in zip(*parts, strict=True))
        if not (np.diff(left) > 0).all():
            width = int(right.max()) + 1
            key = left.astype(np.int64) * width + right
            key.sort(kind="stable")  # the parts ascend: they are merged
            left, right = key // width, key % width
        return cls(start, stop, left, right)


@dataclass(slots=True)
class Tally:
    """How the work was done, for the facts of the chunk."""

    left_rows: int = 0
    not_comparable: int = 0
    """Left rows that are null, empty or not finite: they never match."""
    by_label: int = 0
    """Left rows decided by a look at the label grid alone."""
    box: tuple[float, float, float, float] | None = None
    """Box of the comparable left rows in the join's CRS."""

    def see(self, bounds: Array) -> None:
        """Take note of some rows by their boxes; NaN means not comparable."""
        self.left_rows += len(bounds)
        known = np.isfinite(bounds).all(axis=1)
        self.not_comparable += int(len(bounds) - known.sum())
        if not known.all():
            bounds = bounds[known]
        if len(bounds):
            own = (*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0))
            old = self.box or own
            self.box = (min(own[0], old[0]), min(own[1], old[1]),
                        max(own[2], old[2]), max(own[3], old[3]))  # fmt: skip
