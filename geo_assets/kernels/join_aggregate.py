"""Statistics of left columns by zone, the same whatever the partition.

Sums are exact: a number is split into whole parts of 32 bits at fixed places of the binary
expansion, and each part is added up in 64-bit integers. So neither the order of the rows nor the
cut into chunks can change a result, and the final rounding happens once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from geo_assets.errors import InputError
from geo_assets.kernels.join_spec import Statistic
from geo_assets.kernels.label_grid import Array

_MASK = np.uint64(0xFFFFFFFF)
_LIMB = "limb"

_ENDS = {"min": "low", "max": "high"}
"""Where the sums of a column keep its ends."""


@dataclass(slots=True)
class ColumnSums:
    """What is known about one column, for each zone."""

    name: str
    whole: bool
    """Whole numbers: minimum, maximum and sum are too."""
    count: Array
    low: Array
    high: Array
    special: Array
    """Sum of the infinite values; 0 without any."""
    limbs: dict[int, Array] = field(default_factory=dict)
    """k: the number of times 2**(32 k) that the sum holds, not carried."""

    @classmethod
    def empty(cls, name: str, zones: int, *, whole: bool) -> ColumnSums:
        """Nothing added up yet."""
        kind = np.int64 if whole else np.float64
        least, most = (
            (np.iinfo(np.int64).min, np.iinfo(np.int64).max) if whole else (-np.inf, np.inf)
        )
        return cls(name=name, whole=whole, count=np.zeros(zones, np.int64),
                   low=np.full(zones, most, kind), high=np.full(zones, least, kind),
                   special=np.zeros(zones))  # fmt: skip

    def add(self, zone: Array, values: pa.Array) -> None:
        """Add values, at most 2**20 of them; nulls and NaN are left out."""
        given = values.is_valid().to_numpy(zero_copy_only=False)
        number = values.fill_null(0).to_numpy(zero_copy_only=False)
        if not self.whole:
            number = number.astype(np.float64)
            given &= ~np.isnan(number)
        elif number.dtype == np.uint64 and (number > np.uint64(2**63 - 1)).any():
            raise InputError(
                "Whole numbers to add up fit into 63 bits", str(number.max()), self.name
            )
        if not given.all():
            zone, number = zone[given], number[given]
        number = number.astype(self.low.dtype)
        self.count += np.bincount(zone, minlength=len(self.count))
        np.minimum.at(self.low, zone, number)
        np.maximum.at(self.high, zone, number)
        if self.whole:
            self._put(0, zone, (number & 0xFFFFFFFF).astype(np.float64))
            self._put(1, zone, (number >> 32).astype(np.float64))
        else:
            finite = np.isfinite(number)
            if not finite.all():
                np.add.at(self.special, zone[~finite], number[~finite])
                zone, number = zone[finite], number[finite]
            for place, at, part in _split(number):
                self._put(place, zone[at], part)

    def _put(self, place: int, zone: Array, part: Array) -> None:
        # Parts are below 2**32 and at most 2**20 of them: their sum is exact in a float64.
        sums = np.bincount(zone, part, len(self.count)).astype(np.int64)
        self.limbs[place] = self.limbs[place] + sums if place in self.limbs else sums

    def total(self) -> Array:
        """The sums: exact for whole numbers, rounded once or twice for others.

        Raises:
            InputError: A sum of whole numbers does not fit into 64 bits.
        """
        if self.whole:
            low, high = (self.limbs.get(k, np.zeros(len(self.count), np.int64)) for k in (0, 1))
            high = high + (low >> 32)
            if ((high < -(2**31)) | (high >= 2**31)).any():
                raise InputError("A sum of whole numbers fits into 64 bits", "one that does not",
                                 self.name, "Make the column floating point.")  # fmt: skip
            whole: Array = (high << 32) | (low & 0xFFFFFFFF)
            return whole
        first = self._carried(1)
        negative = first[1][-1] < 0 if first[1] else np.zeros(len(self.count), bool)
        sign = np.where(negative, -1, 1)
        places, parts = self._carried(sign)
        total = np.zeros(len(self.count))
        for place, part in zip(places, parts, strict=True):
            total += np.ldexp(part.astype(np.float64), 32 * place)
        return total * sign + self.special

    def _carried(self, sign: Array | int) -> tuple[list[int], list[Array]]:
        """The limbs from low to high, each in [0, 2**32) but the last."""
        places, parts = [], []
        carry = np.zeros(len(self.count), np.int64)
        for place in range(min(self.limbs, default=0), max(self.limbs, default=-1) + 1):
            part: Array = self.limbs.get(place, 0) * sign + carry
            carry = part >> 32
            places.append(place)
            parts.append(part & 0xFFFFFFFF)
        if places:
            places.append(places[-1] + 1)
            parts.append(carry)
        return places, parts


def _split(number: Array) -> Iterator[tuple[int, Array, Array]]:
    """(place, positions, parts) with the sum of parts * 2**(32 place) equal to the numbers."""
    fraction, exponent = np.frexp(number)
    mantissa = np.abs(np.ldexp(fraction, 53)).astype(np.uint64)
    sign = np.sign(number)
    place, shift = np.divmod(exponent.astype(np.int64) - 53, 32)
    shift = shift.astype(np.uint64)
    low = (mantissa & _MASK) << shift
    middle = (low >> np.uint64(32)) + ((mantissa >> np.uint64(32)) << shift)
    parts = (low & _MASK, middle & _MASK, middle >> np.uint64(32))
    for base in np.unique(place):
        at = np.flatnonzero(place == base)
        for step, part in enumerate(parts):
            yield int(base) + step, at, part[at].astype(np.float64) * sign[at]


@dataclass(slots=True)
class Aggregate:
    """Statistics by zone, while they are being gathered."""

    rows: Array
    """Left rows that belong to each zone."""
    columns: dict[str, ColumnSums]

    @classmethod
    def of(cls, statistics: Sequence[Statistic], schema: pa.Schema, zones: int) -> Aggregate:
        """Nothing gathered yet.

        Raises:
            InputError: A column is not of numbers.
        """
        columns = {}
        for name in dict.fromkeys(s.column for s in statistics if s.column is not None):
            kind = schema.field(name).type
            whole = pa.types.is_integer(kind)
            if not (whole or pa.types.is_floating(kind)):
                raise InputError("A column to add up holds numbers", str(kind), name)
            columns[name] = ColumnSums.empty(name, zones, whole=whole)
        return cls(rows=np.zeros(zones, np.int64), columns=columns)

    def add(self, zone: Array, table: pa.Table | pa.RecordBatch, left: Array) -> None:
        """Add pairs: `zone` is the right row, `left` the row of `table`, of each."""
        for start in range(0, len(zone), 1 << 20):
            part = slice(start, start + (1 << 20))
            self.rows += np.bincount(zone[part], minlength=len(self.rows))
            rows = pa.array(left[part])
            for name, sums in self.columns.items():
                sums.add(zone[part], table.column(name).take(rows))

    @classmethod
    def merged(
        cls, statistics: Sequence[Statistic], parts: Sequence[pa.Table], zones: int
    ) -> Aggregate:
        """What several parts have gathered, together."""
        columns = {}
        for i, name in enumerate(dict.fromkeys(s.column for s in statistics if s.column)):
            whole = pa.types.is_integer(parts[0].schema.field(f"{i}.low").type)
            columns[name] = ColumnSums.empty(name, zones, whole=whole)
        total = cls(rows=np.zeros(zones, np.int64), columns=columns)
        for part in parts:
            total.load(part)
        return total

    def dump(self) -> pa.Table:
        """What was gathered, for the zones that have any."""
        hit = np.flatnonzero(self.rows)
        values: dict[str, Array] = {"zone": hit, "rows": self.rows[hit]}
        for i, sums in enumerate(self.columns.values()):
            for name in ("count", "low", "high", "special"):
                values[f"{i}.{name}"] = getattr(sums, name)[hit]
            for place, limb in sorted(sums.limbs.items()):
                values[f"{i}.{_LIMB}.{place}"] = limb[hit]
        return pa.table(values)

    def load(self, table: pa.Table) -> None:
        """Add what another part has gathered."""
        zone = table["zone"].to_numpy()
        self.rows[zone] += table["rows"].to_numpy()
        for i, sums in enumerate(self.columns.values()):
            sums.count[zone] += table[f"{i}.count"].to_numpy()
            sums.special[zone] += table[f"{i}.special"].to_numpy()
            sums.low[zone] = np.minimum(sums.low[zone], table[f"{i}.low"].to_numpy())
            sums.high[zone] = np.maximum(sums.high[zone], table[f"{i}.high"].to_numpy())
            for name in table.column_names:
                if name.startswith(f"{i}.{_LIMB}."):
                    place = int(name.rsplit(".", 1)[1])
                    limb = sums.limbs.setdefault(place, np.zeros(len(self.rows), np.int64))
                    limb[zone] += table[name].to_numpy()

    def values(self, statistic: Statistic) -> pa.Array:
        """One statistic for every zone: 0 or null where nothing belongs to it."""
        if statistic.column is None:
            return pa.array(self.rows)
        sums = self.columns[statistic.column]
        none = sums.count == 0
        if statistic.name == "count":
            return pa.array(sums.count)
        if statistic.name == "mean":
            mean = sums.total() / np.where(none, 1, sums.count)
            return pa.array(mean.astype(np.float64), mask=none)
        found = sums.total() if statistic.name == "sum" else getattr(sums, _ENDS[statistic.name])
        return pa.array(found, mask=none)
