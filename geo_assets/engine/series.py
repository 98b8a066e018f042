"""A curve over time in bounded memory."""

from __future__ import annotations

from time import monotonic

POINTS = 120
"""Points of a curve, at most."""

_FIRST_WIDTH_S = 0.05


class Series:
    """Keeps the largest value of each span of time; spans double when there are too many.

    Peaks survive, however long the run: a curve of an hour still shows the 60 ms that the loop
    stood still once.
    """

    def __init__(self, start: float | None = None) -> None:
        self._start = monotonic() if start is None else start
        self._width = _FIRST_WIDTH_S
        self._values: list[float] = []

    def add(self, value: float, now: float | None = None) -> None:
        """Note a value, at `now` by the monotonic clock."""
        place = int(((monotonic() if now is None else now) - self._start) / self._width)
        while place >= POINTS:
            pairs = zip(self._values[::2], [*self._values[1::2], 0.0], strict=False)
            self._values = [max(pair) for pair in pairs]
            self._width *= 2
            place //= 2
        values = self._values
        if place >= len(values):
            values.extend([0.0] * (place + 1 - len(values)))
        values[place] = max(values[place], value)

    @property
    def points(self) -> tuple[float, ...]:
        """The largest value of each span, from the start on; 0 where none was noted."""
        return tuple(self._values)

    @property
    def seconds(self) -> float:
        """Time that the points cover."""
        return len(self._values) * self._width
