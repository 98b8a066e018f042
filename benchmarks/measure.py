"""Measuring peers fairly on a shared machine: each run a process tree of its own, in turns.

CPU is user and system time of every process of the tree; memory is the highest sum of their
proportional set sizes, sampled ten times a second. Wall time is noisy where others work too, so
ratios are taken within a round, and their median is what counts.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
_SUBREAPER = 36  # prctl: orphans of a tree come to us, so that nothing is left uncounted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    answer: str
    """The last line the run printed."""


def interleave(
    script: Path, peers: Mapping[str, Sequence[str]], rounds: int
) -> dict[str, list[Cost]]:
    """Run `script --run <words>` for every peer, in turns.

    Args:
        script: The benchmark.
        peers: Name -> the words after `--run`.
        rounds: Runs of each peer.
    """
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    costs: dict[str, list[Cost]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, words in peers.items():
            costs[name].append(_measure([sys.executable, str(script), "--run", *words]))
            print(name, costs[name][-1], file=sys.stderr)
    return costs


def _measure(command: list[str]) -> Cost:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    stop, peak = threading.Event(), [0.0]
    sampler = threading.Thread(target=_sample, args=(stop, peak))
    sampler.start()
    lines = process.stdout.read().strip().splitlines()
    cpu, status = _reap(process.pid)
    wall = time.perf_counter() - begin
    stop.set()
    sampler.join()
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Cost(wall_s=wall, cpu_s=cpu, peak_mib=peak[0], answer=lines[-1] if lines else "")


def _reap(main: int) -> tuple[float, int]:
    """CPU seconds of the whole tree and the exit status of its main process."""
    cpu, status = 0.0, 0
    while True:
        try:
            pid, code, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return cpu, status
        cpu += usage.ru_utime + usage.ru_stime
        if pid == main:
            status = code


def _sample(stop: threading.Event, peak: list[float]) -> None:
    import psutil

    me = psutil.Process()
    while not stop.wait(0.1):
        total = 0
        for child in me.children(recursive=True):
            try:
                text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
            except OSError:
                continue
            pss = [line for line in text.splitlines() if line.startswith("Pss:")]
            total += sum(int(line.split()[1]) for line in pss)
        peak[0] = max(peak[0], total / 1024)


def table(title: str, costs: Mapping[str, list[Cost]], against: str) -> str:
    """A Markdown table: medians, and ratios to one peer within the same round."""
    lines = [f"### {title}", "", f"| | wall s | wall / {against} | CPU s | peak MiB | answer |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name, runs in costs.items():
        wall, cpu, peak = (statistics.median(getattr(run, field) for run in runs)
                           for field in ("wall_s", "cpu_s", "peak_mib"))  # fmt: skip
        pairs = zip(runs, costs[against], strict=True)
        ratio = statistics.median(run.wall_s / other.wall_s for run, other in pairs)
        lines.append(
            f"| {name} | {wall:.1f} | {ratio:.2f} | {cpu:.1f} | {peak:.0f} | {runs[0].answer} |"
        )
    return "\n".join(lines)


def save(name: str, title: str, sections: Sequence[str]) -> None:
    """Write a benchmark's own section of RESULTS.md, between its markers."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    body = "\n\n".join([start, f"## {title}", *sections, end])
    text = RESULTS.read_text() if RESULTS.exists() else "# What was measured\n"
    if start in text and end in text:
        text = text[: text.index(start)] + body + text[text.index(end) + len(end) :]
    else:
        text = text.rstrip() + "\n\n" + body + "\n"
    RESULTS.write_text(text)
