"""A histogram of durations in bounded memory."""

from __future__ import annotations

import math

_SMALLEST_S = 1e-4
_GROWTH = 1.1
_BUCKETS = 150


class Histogram:
    """Counts durations in buckets that grow by 10%, from 0.1 ms to some 160 s."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.number = 0
        """Durations recorded."""
        self.largest = 0.0
        """The largest one, exact, in seconds."""

    def add(self, seconds: float) -> None:
        """Record one duration."""
        place = 0
        if seconds > _SMALLEST_S:
            place = math.ceil(math.log(seconds / _SMALLEST_S, _GROWTH))
        self._counts[min(place, _BUCKETS - 1)] += 1
        self.number += 1
        self.largest = max(self.largest, seconds)

    def quantile(self, part: float) -> float:
        """The duration in seconds that `part` of all do not exceed, to within 10%; 0 if none."""
        rank, seen = math.ceil(self.number * part), 0
        for place, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return min(_SMALLEST_S * _GROWTH**place, self.largest)
        return 0.0
