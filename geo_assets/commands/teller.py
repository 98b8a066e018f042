"""Tells a run: one line for each step, and on a terminal a live line with a bar under them."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

import click

from geo_assets.commands.shared import size
from geo_assets.progress import duration, watching
from geo_assets.runner import CHUNKS, News

_BAR = 24
_WIDE = 100
"""Columns of a terminal from which on the bar has its full length, else half of it."""
_REDRAW_S = 0.2
_CALM_S = 15.0
"""Seconds between two plain lines about chunks, where there is no terminal."""

_NAMES_SHOWN = 3
_BYTES = "geo_assets/bytes"


@dataclass(slots=True)
class _Step:
    """What is known of one step so far."""

    name: str
    began: float = field(default_factory=time.monotonic)
    news: list[News] = field(default_factory=list)

    def of(self, kind: str) -> list[News]:
        return [item for item in self.news if item.kind == kind]


class Teller:
    """Writes to one stream; may be called from several threads.

    Args:
        stream: Where to write; stdout by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._lock = threading.RLock()
        self._step: _Step | None = None
        self._told: set[tuple[str, str]] = set()
        self._chunks: dict[tuple[tuple[str, ...], str | None], tuple[int, int]] = {}
        self._drawn = 0.0
        self._calm = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[Teller]:
        """Show chunks while they are done in this process."""
        ended = threading.Event()
        clock = threading.Thread(target=self._tick, args=(ended,), name="geo-teller", daemon=True)
        clock.start()
        try:
            with watching(self._chunk):
                yield self
        finally:
            ended.set()
            clock.join()
            with self._lock:
                self._wipe()

    def line(
        self, text: str = "", *, fg: str | None = None, bold: bool = False, dim: bool = False
    ) -> None:
        """One line that stays."""
        with self._lock:
            self._wipe()
            styled = bool(fg or bold or dim)
            click.secho(
                text, file=self._stream, fg=fg, bold=bold or None, dim=dim or None, reset=styled
            )

    def watch(self, news: News) -> None:
        """Take one thing that happened, for the live line only."""
        with self._lock:
            if news.kind == "began":
                self._step = _Step(news.step)
                self._chunks.clear()
            elif news.kind in ("ended", "failed"):
                self._step = None
            elif self._step is not None:
                self._step.news.append(news)

    def tell(self, news: News) -> None:
        """Take one thing that happened; a step is told when it is over."""
        with self._lock:
            if news.kind == "began":
                self._step = _Step(news.step)
                self._chunks.clear()
                self._calm = time.monotonic()
            elif self._step is None or self._step.name != news.step:
                self._step = _Step(news.step)
            self._step.news.append(news)
            if news.kind in ("ended", "failed"):
                self._conclude(self._step)
                self._step = None

    def _conclude(self, step: _Step) -> None:
        seconds = duration(time.monotonic() - step.began)
        failed = step.of("failed")
        if made := step.of("made"):
            self.line(f"  {step.name:26} {_made(made)}, {seconds}")
        if checked := self._untold(step.of("checked")):
            for text, bad in _checked(checked[0].asset, checked):
                self.line(text, fg="yellow" if bad else None)
        for item in failed:
            head, *rest = item.text.splitlines() or ["failed"]
            self.line(f"  {item.step:26} FAILED: {head}", fg="red")
            for text in rest:
                self.line(f"  {'':26} {text}", fg="red")

    def _untold(self, checked: list[News]) -> list[News]:
        """Without the sums of verdicts that were told by partition in an earlier step."""
        left = [one for one in checked if one.partition or (one.asset, one.check) not in self._told]
        self._told |= {(one.asset, one.check) for one in left if one.partition}
        return left

    def _chunk(self, asset: tuple[str, ...], partition: str | None, done: int, total: int) -> None:
        with self._lock:
            self._chunks[asset, partition] = (done, total)

    def _tick(self, ended: threading.Event) -> None:
        while not ended.wait(_REDRAW_S):
            with self._lock:
                if self._step is None:
                    continue
                if self._live:
                    self._draw(self._step)
                elif time.monotonic() - self._calm > _CALM_S and self._chunks:
                    self._calm = time.monotonic()
                    self.line(f"  {self._step.name:26} {self._state(self._step)}")

    def _draw(self, step: _Step) -> None:
        width = shutil.get_terminal_size().columns
        done, total = self._counted()
        wide = _BAR if width >= _WIDE else _BAR // 2
        bar = "█" * (wide * done // total) if total else ""
        text = f"  {step.name:26} {bar:{'░' if total else ' '}<{wide}} {self._state(step)}"
        self._stream.write(f"\r\x1b[2K{text[: width - 1]}")
        self._stream.flush()
        self._drawn = time.monotonic()

    def _state(self, step: _Step) -> str:
        done, total = self._counted()
        spent = time.monotonic() - step.began
        parts = [f"{done} of {total} chunks"] if total else []
        if made := step.of("made"):
            parts.append(f"{len(made)} partitions done")
        if checked := {item.partition for item in step.of("checked") if item.partition}:
            parts.append(f"{len(checked)} partitions checked")
        parts.append(duration(spent))
        if 0 < done < total and spent > 1:
            parts.append(f"{done / spent:.1f}/s, {duration(spent / done * (total - done))} left")
        return ", ".join(parts)

    def _counted(self) -> tuple[int, int]:
        pairs = self._chunks.values()
        return sum(done for done, _ in pairs), sum(total for _, total in pairs)

    def _wipe(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[2K")
            self._drawn = 0.0


def _made(made: list[News]) -> str:
    fresh = [item for item in made if not item.current]
    if not fresh:
        return "current" if len(made) == 1 else f"{len(made)} partitions, all current"
    parts = ["made" if len(made) == 1 else f"{len(fresh)} of {len(made)} partitions made"]
    if len(fresh) == len(made) > 1:
        parts = [f"{len(made)} partitions made"]
    chunks = int(sum(item.numbers.get(CHUNKS, 0) for item in fresh))
    parts += [f"{chunks} chunks"] if chunks > len(fresh) else []
    parts += [size(sum(item.numbers.get(_BYTES, 0) for item in fresh))]
    return ", ".join(parts)


def _checked(asset: str, checked: list[News]) -> Iterator[tuple[str, bool]]:
    """One line for all that passed, one for each that found something; whether it did."""
    names = dict.fromkeys(item.check for item in checked)
    alone = {name: [item for item in checked if item.check == name] for name in names}
    details = {  # of a range, the verdicts by partition without their sum
        name: [item for item in items if item.partition] or items for name, items in alone.items()
    }
    good = [name for name, items in details.items() if all(item.passed for item in items)]
    if good:
        partitions = len(details[good[0]])
        where = f" in {partitions} partitions" if partitions > 1 else ""
        yield f"  {asset:26} passed {', '.join(good)}{where}", False
    for name, items in details.items():
        bad = [item for item in items if not item.passed]
        for item in bad[:_NAMES_SHOWN]:
            place = f"[{item.partition}]" if item.partition else ""
            yield f"  {asset:26} FOUND  {name}{place}: {item.text}", True
        if len(bad) > _NAMES_SHOWN:
            yield f"  {asset:26} FOUND  {name} in {len(bad) - _NAMES_SHOWN} more partitions", True
