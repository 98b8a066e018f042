"""The runs that cover partitions: a range of keys, or with two dimensions a rectangle of them.

A run has one range. For Dagster a range of keys with two dimensions is a rectangle: from the start
to the end in each dimension. Its own backfills still ask for one run for each row, so what is
launched here asks for rectangles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.partitions import MOST_RUNS, WORTH_A_RUN, KeyRange, enclosing_ranges

SEPARATOR = "|"
"""Stands between the two keys of a partition; neither may contain it."""

_Span: TypeAlias = tuple[int, int]
"""First and last place, both included."""


def enclosing_runs(
    definition: dg.PartitionsDefinition[Any],
    wanted: Collection[str],
    order: Sequence[str],
    *,
    worth: int = WORTH_A_RUN,
    most: int = MOST_RUNS,
) -> list[KeyRange]:
    """Few ranges or rectangles that together hold all wanted keys, and others between them.

    With two dimensions they are apart in the rows alone, which are the days if there are days.

    Args:
        definition: The partitions.
        wanted: Keys; those that `order` lacks are left out.
        order: All keys in the order of the definition.
        worth: Runs with at least this many keys between them are separate.
        most: Number of runs at most.
    """
    if not isinstance(definition, dg.MultiPartitionsDefinition):
        return enclosing_ranges(wanted, order, worth=worth, most=most)
    table = _Table.of(definition, order)
    cells = table.cells(wanted)
    rows = [table.rows[row] for row in cells]
    runs = []
    for part in enclosing_ranges(
        rows, table.rows, worth=max(1, worth // max(1, len(table.columns))), most=most
    ):
        span = (table.rows.index(part.start), table.rows.index(part.end))
        inside = [column for row in cells if span[0] <= row <= span[1] for column in cells[row]]
        first, last = table.corners(span, (min(inside), max(inside)))
        runs.append(KeyRange(start=first, end=last, wanted=len(inside)))
    return runs


def exact_runs(
    definition: dg.PartitionsDefinition[Any], wanted: Collection[str], order: Sequence[str]
) -> Iterator[list[str]]:
    """The keys of runs that together hold all wanted keys and no others.

    The first and the last key of each are the start and the end of its range.
    """
    if not isinstance(definition, dg.MultiPartitionsDefinition):
        for part in enclosing_ranges(wanted, order, worth=1, most=len(wanted) + 1):
            yield list(order[order.index(part.start) : order.index(part.end) + 1])
        return
    table = _Table.of(definition, order)
    for rows, columns in _filled(table.cells(wanted)):
        yield table.keys(rows, columns)


def keys_between(
    definition: dg.PartitionsDefinition[Any], order: Sequence[str], first: str, last: str
) -> list[str]:
    """The keys of the range or rectangle from `first` to `last`; none if it goes downwards."""
    if not isinstance(definition, dg.MultiPartitionsDefinition):
        return list(order[order.index(first) : order.index(last) + 1])
    table = _Table.of(definition, order)
    (top, left), (bottom, right) = table.place(first), table.place(last)
    return table.keys((top, bottom), (left, right))


@dataclass(frozen=True, slots=True)
class _Table:
    """Keys with two dimensions: a row for each key of one, a column for each of the other."""

    rows: list[str]
    columns: list[str]
    rows_first: bool
    """Whether the row's key stands first in a partition's key."""

    @classmethod
    def of(cls, definition: dg.MultiPartitionsDefinition, order: Sequence[str]) -> _Table:
        """Days are rows: a delivery is a row."""
        first, second = definition.partitions_defs
        pairs = [key.split(SEPARATOR) for key in order]
        left, right = (list(dict.fromkeys(pair[place] for pair in pairs)) for place in (0, 1))
        in_time = [
            isinstance(each.partitions_def, dg.TimeWindowPartitionsDefinition)
            for each in (first, second)
        ]
        if in_time == [False, True]:
            return cls(right, left, False)
        return cls(left, right, True)

    def cells(self, wanted: Collection[str]) -> dict[int, list[int]]:
        """The wanted columns of each row that has some, both in order."""
        rows = {key: place for place, key in enumerate(self.rows)}
        columns = {key: place for place, key in enumerate(self.columns)}
        found: dict[int, list[int]] = {}
        for key in wanted:
            row, column = self._parts(key)
            if row in rows and column in columns:
                found.setdefault(rows[row], []).append(columns[column])
        return {row: sorted(found[row]) for row in sorted(found)}

    def place(self, key: str) -> tuple[int, int]:
        """The row and the column of a key."""
        row, column = self._parts(key)
        return self.rows.index(row), self.columns.index(column)

    def corners(self, rows: _Span, columns: _Span) -> tuple[str, str]:
        """The keys that a rectangle starts and ends with."""
        return self._key(rows[0], columns[0]), self._key(rows[1], columns[1])

    def keys(self, rows: _Span, columns: _Span) -> list[str]:
        """All keys of a rectangle, from its first corner to its last."""
        cells = product(range(rows[0], rows[1] + 1), range(columns[0], columns[1] + 1))
        return [self._key(row, column) for row, column in cells]

    def _parts(self, key: str) -> tuple[str, str]:
        first, _, second = key.partition(SEPARATOR)
        return (first, second) if self.rows_first else (second, first)

    def _key(self, row: int, column: int) -> str:
        parts = (self.rows[row], self.columns[column])
        return SEPARATOR.join(parts if self.rows_first else reversed(parts))


def _filled(cells: dict[int, list[int]]) -> Iterator[tuple[_Span, _Span]]:
    """Rectangles without a hole: rows that follow each other and have the same columns."""
    growing: dict[_Span, int] = {}
    before = -2
    for row, columns in cells.items():
        spans = list(_spans(columns))
        for span in list(growing):
            if row != before + 1 or span not in spans:
                yield (growing.pop(span), before), span
        for span in spans:
            growing.setdefault(span, row)
        before = row
    for span, start in growing.items():
        yield (start, before), span


def _spans(places: Sequence[int]) -> Iterator[_Span]:
    """Places that follow each other, together."""
    start = 0
    for at, place in enumerate(places):
        if at + 1 == len(places) or places[at + 1] != place + 1:
            yield places[start], place
            start = at + 1
