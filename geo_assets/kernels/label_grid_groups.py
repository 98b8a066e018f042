"""Which polygons the mixed cells of a label grid hold, and with which edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from geo_assets.kernels.label_grid import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """A polygon in a cell each; ascending by cell and then by polygon."""

    cell: Array
    polygon: Array
    inside: Array
    """(groups,) bool: the polygon holds the cell's reference point."""
    first: Array
    """(groups + 1,): where the entries of each start in the list of all."""

    @classmethod
    def of(cls, cell: Array, polygon: Array, labels: Array) -> Groups:
        """The groups of entries.

        Args:
            cell: The cell of each entry; ascending.
            polygon: Its polygon; ascending within a cell.
            labels: The polygon that alone holds a cell's reference point, for each cell.
        """
        first = starts(cell, polygon)
        cell, polygon = cell.take(first[:-1]), polygon.take(first[:-1])
        return cls(cell=cell, polygon=polygon, inside=labels[cell] == polygon, first=first)

    def with_members(self, pairs: Iterable[tuple[Array, Array]]) -> Groups:
        """With more (cell, polygon) that are inside, each of them once; those without edges too."""
        cells, polygons = (np.concatenate(side) for side in zip(*pairs, strict=True))
        if not len(cells):
            return self
        width = 1 + int(max(polygons.max(), self.polygon.max(initial=0)))
        key, member = self.cell * np.int64(width) + self.polygon, cells * np.int64(width) + polygons
        member.sort()
        at = np.searchsorted(key, member)
        new = np.append(key, -1)[at] != member
        inside = self.inside.copy()
        inside[at[~new]] = True
        at, member = at[new], member[new]
        return Groups(
            cell=np.insert(self.cell, at, member // width),
            polygon=np.insert(self.polygon, at, member % width),
            inside=np.insert(inside, at, True),
            first=np.insert(self.first, at, self.first[at]),
        )


def starts(*keys: Array) -> Array:
    """Where a run of equal keys starts, all of them being ascending together; and the end."""
    new = np.ones(len(keys[0]) + 1, bool)
    new[1:-1] = False
    for key in keys:
        new[1:-1] |= key[1:] != key[:-1]
    return np.flatnonzero(new)
