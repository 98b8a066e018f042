"""What a step did over time: its longest chunks, the loop's lag and the memory, with limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from geo_assets.pictures.svg import (
    BLUE,
    GREEN,
    GREY,
    LIMIT,
    TEXT,
    VIOLET,
    bar,
    curve,
    document,
    lettered,
    line,
    words,
)

LAG_LIMIT_S = 0.05
"""Lag of the event loop above which something is wrong, drawn in its curve."""

STAGES = {"fetch": BLUE, "compute": GREEN, "stage": VIOLET}

_WIDTH = 640
_LABEL = 170
_ROW = 15
_CURVE = 46
_NAME = 24
_MIB = 1 << 20
_FAR = 6
"""A limit so many times above the whole curve is told and not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkBar:
    """One chunk in the timeline; times in seconds since the step began."""

    name: str
    worker: str
    begin: float
    end: float
    parts: tuple[tuple[str, float, float], ...]
    """Stage, begin and end."""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is drawn."""

    seconds: float
    """Length of the step."""
    chunks: int
    """All chunks, of which `bars` are the longest."""
    bars: Sequence[ChunkBar] = ()
    """In the order in which they began."""
    lag: Sequence[float] = ()
    """Lag of the event loop in seconds, at even steps."""
    lag_seconds: float = 0.0
    """Time that the lag covers."""
    lag_p99: float = 0.0
    memory: Sequence[int | float] = ()
    """Bytes that chunks used together, at even steps."""
    memory_seconds: float = 0.0
    budget: int = 0
    """Bytes that they may use together."""
    workers: int = 1
    alt: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alt", _told(self))


def load_thumbnail(load: Load) -> str:
    """Lag and memory as two tiny curves with their limits, some 600 bytes."""
    body = ""
    for row, (values, limit, colour) in enumerate(_curves(load)):
        # Few points: each costs some six bytes of the thousand.
        few = _fewer(values, 24)
        top = _top(few, limit)
        y = 1 + row * 19
        body += curve(few, (0, y, 96, 16), top, colour)
        if limit <= top:
            at = y + round(16 - 16 * limit / top)
            body += line(0, at, 96, at, LIMIT, dashed=True)
    return document(97, 38, "", f'<g fill="none">{body}</g>')


def load_picture(load: Load) -> str:
    """The longest chunks as bars over the time, with the curves below them."""
    left, right = _LABEL, _WIDTH - 12
    scale = (right - left) / max(load.seconds, 1e-9)
    body, y = _legend(load), 30
    for item in load.bars:
        body += _bar_row(item, left, y, scale)
        y += _ROW
    y += 6
    body += _axis(load.seconds, left, y, scale)
    y += 22
    names = (f"loop lag, limit {LAG_LIMIT_S * 1000:.0f} ms",
             f"chunks' memory, limit {_size(load.budget)}")  # fmt: skip
    covered = (load.lag_seconds, load.memory_seconds)
    for (values, limit, colour), name, seconds in zip(_curves(load), names, covered, strict=True):
        top = _top(values, limit)
        width = round(min(max(seconds, 1e-9), load.seconds) * scale)
        body += words(left, y + 10, f"{name}; most {_most(values, colour)}")
        box = (left, y + 14, max(1, width), _CURVE)
        body += curve(values, box, top, colour)
        if limit <= top:
            at = y + 14 + round(_CURVE - _CURVE * limit / top)
            body += line(left, at, right, at, LIMIT, dashed=True)
        y += _CURVE + 26
    return document(_WIDTH, y, load.alt, lettered(body))


def _curves(load: Load) -> list[tuple[Sequence[float], float, str]]:
    return [(load.lag, LAG_LIMIT_S, VIOLET), (load.memory, float(load.budget), BLUE)]


def _top(values: Sequence[float], limit: float) -> float:
    """The value at the upper edge: above the limit, unless the curve would lie on the ground."""
    most = max(values, default=0.0)
    return max(most * 1.25, 1e-9) if 0 < most < limit / _FAR else max(limit * 1.15, most, 1e-9)


def _fewer(values: Sequence[float], points: int) -> list[float]:
    """At most `points` values, each the largest of its neighbours."""
    step = -(-len(values) // points) or 1
    return [max(values[start : start + step]) for start in range(0, len(values), step)]


def _legend(load: Load) -> str:
    body = words(0, 14, f"{len(load.bars)} longest of {load.chunks} chunks")
    x = _LABEL
    for name, colour in {**STAGES, "waiting": GREY, "given up": LIMIT}.items():
        body += bar(x, 5, 10, 10, colour) + words(x + 14, 14, name)
        x += 78
    return body


def _bar_row(item: ChunkBar, left: int, y: int, scale: float) -> str:
    name = item.name if len(item.name) <= _NAME else item.name[: _NAME - 1] + "…"
    body = words(left - 8, y + 10, f"{name} {item.worker}".strip(), anchor="end",
                 colour=LIMIT if item.failed else TEXT)  # fmt: skip
    x = left + item.begin * scale
    body += bar(x, y + 5, (item.end - item.begin) * scale, 2, LIMIT if item.failed else GREY)
    for stage, begin, end in item.parts:
        body += bar(left + begin * scale, y + 1, (end - begin) * scale, 10, STAGES[stage])
    return body


def _axis(seconds: float, left: int, y: int, scale: float) -> str:
    step = next((s for s in _steps() if seconds / s <= 8), seconds or 1.0)
    body = line(left, y, left + seconds * scale, y, TEXT)
    for number in range(int(seconds / step) + 1):
        x = round(left + number * step * scale)
        body += line(x, y, x, y + 3, TEXT)
        body += words(x, y + 14, f"{number * step:g} s", anchor="middle")
    return body


def _steps() -> list[float]:
    return [base * 10.0**power for power in range(-3, 5) for base in (1, 2, 5)]


def _most(values: Sequence[float], colour: str) -> str:
    largest = max(values, default=0.0)
    return f"{largest * 1000:.1f} ms" if colour == VIOLET else _size(largest)


def _size(number: float) -> str:
    return f"{number / _MIB:.0f} MiB" if number < 2048 * _MIB else f"{number / _MIB / 1024:.1f} GiB"


def _told(load: Load) -> str:
    text = f"{load.chunks} chunks on {load.workers} workers in {load.seconds:.1f} s"
    if load.bars:
        longest = max(load.bars, key=lambda item: item.end - item.begin)
        spent = {name: sum(e - b for n, b, e in longest.parts if n == name) for name in STAGES}
        stages = ", ".join(f"{name} {value:.2f} s" for name, value in spent.items() if value)
        text += f"; longest {longest.name} with {longest.end - longest.begin:.2f} s ({stages})"
    text += f"; loop lag p99 {load.lag_p99 * 1000:.1f} ms, most {_most(load.lag, VIOLET)}"
    text += f" (limit {LAG_LIMIT_S * 1000:.0f} ms); memory of chunks at most "
    return text + f"{_size(max(load.memory, default=0))} of {_size(load.budget)}"
